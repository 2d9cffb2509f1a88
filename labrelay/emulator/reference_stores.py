"""The reference store; an account has one in a region."""

from __future__ import annotations

from labrelay.emulator.asking import found, idempotent, listed, storage_id
from labrelay.emulator.operation import Failure, Params, conflict, operation
from labrelay.emulator.service import Service, timestamp
from labrelay.emulator.state import Body, Transaction
from labrelay.emulator.tags import drop_tags, set_tags

KIND = "referenceStore"


@operation("CreateReferenceStore")
def create_reference_store(service: Service, asked: Params) -> Params:
    """Make the reference store."""

    def make(state: Transaction) -> Params:
        if state.count(KIND):
            raise Failure("ServiceQuotaExceededException", "An account may have one reference store in a region.")
        key = storage_id(state)
        body = {
            **{name: value for name, value in asked.items() if name not in ("clientToken", "tags")},
            "id": key,
            "arn": service.arn(KIND, key),
            "creationTime": timestamp(),
        }
        state.put(KIND, key, body)
        set_tags(state, body["arn"], asked.get("tags", {}))
        return body

    answer = idempotent(service, "CreateReferenceStore", asked, make)
    _announce(service, answer, "CREATED")
    return answer


@operation("GetReferenceStore")
def get_reference_store(service: Service, asked: Params) -> Params:
    """Return the store."""
    with service.state.read() as state:
        return found(state, KIND, asked["id"])


@operation("DeleteReferenceStore")
def delete_reference_store(service: Service, asked: Params) -> Params:
    """Delete the store when it holds no reference."""
    with service.state.write() as state:
        body = found(state, KIND, asked["id"])
        if state.count("reference", body["id"]):
            raise conflict(f"The reference store {body['id']} is not empty; delete its references first.")
        if any(state.count("referenceImportJob", body["id"], status) for status in ("SUBMITTED", "IN_PROGRESS")):
            raise conflict(f"The reference store {body['id']} has import jobs that are not done.")
        state.delete(KIND, body["id"])
        drop_tags(state, body["arn"])
    _announce(service, body, "DELETED")
    return {}


@operation("ListReferenceStores")
def list_reference_stores(service: Service, asked: Params) -> Params:
    """Return one page of the stores."""
    with service.state.read() as state:
        return listed(state, asked, "referenceStores", KIND)


def _announce(service: Service, body: Body, status: str) -> None:
    detail = {"omicsVersion": "1.0.0", "arn": body["arn"], "id": body["id"], "status": status}
    service.announce("Reference Store Status Change", [body["arn"]], detail)
