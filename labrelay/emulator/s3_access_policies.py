"""The policies of the access points of stores: kept and given back; nothing here enforces them."""

from __future__ import annotations

import json

from labrelay.emulator.asking import found
from labrelay.emulator.operation import Params, invalid, not_found, operation
from labrelay.emulator.service import Service, timestamp
from labrelay.emulator.state import Body, Snapshot

KIND = "s3AccessPolicy"
MOST_BYTES = 15 * 1024
EVENT = "S3 Access Policy Status Change"


@operation("PutS3AccessPolicy")
def put_s3_access_policy(service: Service, asked: Params) -> Params:
    """Set the policy of a store's access point."""
    arn, policy = asked["s3AccessPointArn"], asked["s3AccessPolicy"]
    if len(policy.encode()) > MOST_BYTES:
        raise invalid(f"A policy has at most {MOST_BYTES} bytes.")
    try:
        is_object = isinstance(json.loads(policy), dict)
    except (ValueError, RecursionError):
        is_object = False
    if not is_object:
        raise invalid("The s3AccessPolicy is not a JSON object.")
    with service.state.write() as state:
        store = _store(state, arn)
        body = {"s3AccessPointArn": arn, "storeId": store["id"], "storeType": "SEQUENCE_STORE"}
        state.put(KIND, arn, {**body, "updateTime": timestamp(), "s3AccessPolicy": policy})
    _announce(service, store, "UPDATED")
    return body


@operation("GetS3AccessPolicy")
def get_s3_access_policy(service: Service, asked: Params) -> Params:
    """Return the policy of a store's access point."""
    with service.state.read() as state:
        _store(state, asked["s3AccessPointArn"])
        return found(state, KIND, asked["s3AccessPointArn"])


@operation("DeleteS3AccessPolicy")
def delete_s3_access_policy(service: Service, asked: Params) -> Params:
    """Remove the policy of a store's access point."""
    with service.state.write() as state:
        store = _store(state, asked["s3AccessPointArn"])
        found(state, KIND, asked["s3AccessPointArn"])
        state.delete(KIND, asked["s3AccessPointArn"])
    _announce(service, store, "DELETED")
    return {}


def _store(state: Snapshot, arn: str) -> Body:
    for store in state.each("sequenceStore"):
        if store["s3Access"]["s3AccessPointArn"] == arn:
            return store
    raise not_found("S3 access point", arn)


def _announce(service: Service, store: Body, status: str) -> None:
    detail = {"omicsVersion": "1.0.0", "arn": store["s3Access"]["s3AccessPointArn"], "storeId": store["id"]}
    service.announce(EVENT, [store["arn"]], {**detail, "status": status})
