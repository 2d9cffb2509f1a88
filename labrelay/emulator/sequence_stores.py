"""Sequence stores, each with a bucket of the emulator's S3 where its read sets can be read as objects."""

from __future__ import annotations

import hashlib

from botocore.exceptions import ClientError

from labrelay.emulator.asking import found, idempotent, listed, storage_id
from labrelay.emulator.buckets import make_bucket
from labrelay.emulator.operation import Failure, Params, conflict, invalid, operation
from labrelay.emulator.service import Service, timestamp
from labrelay.emulator.state import Body, Transaction
from labrelay.emulator.tags import drop_tags, set_tags

MOST_STORES = 20
MOST_PROPAGATED_TAGS = 5
KIND = "sequenceStore"
# What must be gone before a store can be deleted.
CONTENT = ("readSet", "multipartUpload")


@operation("CreateSequenceStore")
def create_sequence_store(service: Service, asked: Params) -> Params:
    """Make a store and its bucket."""
    _check_tags(asked)

    def make(state: Transaction) -> Params:
        if state.count(KIND) >= MOST_STORES:
            raise Failure("ServiceQuotaExceededException", f"An account may have {MOST_STORES} sequence stores.")
        key, now = storage_id(state), timestamp()
        body = {
            "eTagAlgorithmFamily": "MD5up",
            **{name: value for name, value in asked.items() if name not in ("clientToken", "s3AccessConfig", "tags")},
            "id": key,
            "arn": service.arn(KIND, key),
            "status": "ACTIVE",
            "creationTime": now,
            "updateTime": now,
            "s3Access": _s3_access(service, key, asked.get("s3AccessConfig", {})),
        }
        state.put(KIND, key, body)
        set_tags(state, body["arn"], asked.get("tags", {}))
        return body

    answer = idempotent(service, "CreateSequenceStore", asked, make)
    # Asked for again when the token is repeated: a server killed between the two has a store without its bucket.
    with service.state.read() as state:
        found(state, KIND, answer["id"])
    ensure_bucket(service, answer)
    _announce(service, answer, "ACTIVE")
    return answer


@operation("GetSequenceStore")
def get_sequence_store(service: Service, asked: Params) -> Params:
    """Return a store."""
    with service.state.read() as state:
        return found(state, KIND, asked["id"])


@operation("UpdateSequenceStore")
def update_sequence_store(service: Service, asked: Params) -> Params:
    """Change a store's members; propagated tags reach the objects in the background."""
    _check_tags(asked)

    def make(state: Transaction) -> Params:
        body = found(state, KIND, asked["id"])
        changed = {name: value for name, value in asked.items() if name not in ("clientToken", "s3AccessConfig")}
        before = body.get("propagatedSetLevelTags")
        if changed.get("propagatedSetLevelTags", before) != before:
            changed["status"] = "UPDATING"
        body |= {**changed, "updateTime": timestamp()}
        body["s3Access"] |= asked.get("s3AccessConfig", {})
        state.put(KIND, body["id"], body)
        return body

    answer = idempotent(service, "UpdateSequenceStore", asked, make)
    _announce(service, answer, answer["status"])
    service.wake()
    return answer


@operation("DeleteSequenceStore")
def delete_sequence_store(service: Service, asked: Params) -> Params:
    """Delete an empty store and its bucket."""
    with service.state.write() as state:
        body = found(state, KIND, asked["id"])
        if any(state.count(kind, body["id"]) for kind in CONTENT):
            raise conflict(f"The sequence store {body['id']} is not empty; delete its read sets and uploads first.")
        for job in ("readSetImportJob", "readSetExportJob", "readSetActivationJob"):
            if state.count(job, body["id"], "SUBMITTED") or state.count(job, body["id"], "IN_PROGRESS"):
                raise conflict(f"The sequence store {body['id']} has jobs that are not done.")
        state.delete(KIND, body["id"])
        drop_tags(state, body["arn"])
    try:
        service.s3.delete_bucket(Bucket=bucket_of(body))
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise
    _announce(service, body, "DELETED")
    return {}


@operation("ListSequenceStores")
def list_sequence_stores(service: Service, asked: Params) -> Params:
    """Return one page of the stores."""
    with service.state.read() as state:
        return listed(state, asked, "sequenceStores", KIND)


def bucket_of(store: Body) -> str:
    """Return the name of a store's bucket."""
    return str(store["s3Access"]["s3Uri"]).removeprefix("s3://").partition("/")[0]


def ensure_bucket(service: Service, store: Body) -> None:
    """Make a store's bucket unless it is there."""
    make_bucket(service, bucket_of(store))


def _s3_access(service: Service, key: str, config: Params) -> Params:
    # Of the account, the id and the region only, so that a bucket made before a kill is found again.
    token = hashlib.sha256(f"{service.account}/{service.region}/{key}".encode()).hexdigest()[:20]
    return {
        "s3Uri": f"s3://{service.account}-{key}-{token}-s3alias/{service.account}/{KIND}/{key}/",
        "s3AccessPointArn": f"arn:aws:s3:{service.region}:{service.account}:accesspoint/{service.account}-{key}",
        **config,
    }


def _check_tags(asked: Params) -> None:
    tags = asked.get("propagatedSetLevelTags", ())
    if len(tags) > MOST_PROPAGATED_TAGS:
        raise invalid(f"A sequence store propagates at most {MOST_PROPAGATED_TAGS} tag keys, not {len(tags)}.")
    if len(set(tags)) < len(tags):
        raise invalid("propagatedSetLevelTags names a key twice.")


def _announce(service: Service, body: Body, status: str) -> None:
    detail = {"omicsVersion": "1.0.0", "arn": body["arn"], "id": body["id"], "status": status}
    service.announce("Sequence Store Status Change", [body["arn"]], detail)
