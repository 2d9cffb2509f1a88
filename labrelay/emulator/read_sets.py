"""Read sets: listed, described, read in parts, deleted."""

from __future__ import annotations

import shutil

from labrelay.emulator.asking import found, listed
from labrelay.emulator.objects import store_folder, touch
from labrelay.emulator.operation import Params, conflict, not_found, operation
from labrelay.emulator.read_set_imports import read_set_event
from labrelay.emulator.references import reference_detail
from labrelay.emulator.service import Service, worker
from labrelay.emulator.state import Body
from labrelay.emulator.stored_files import file_of, remove_objects, slice_of
from labrelay.emulator.tags import drop_tags
from labrelay.model.faults import faultpoint

KIND = "readSet"
# These belong to something that works on them.
BUSY = ("ACTIVATING", "PROCESSING_UPLOAD")


@operation("ListReadSets")
def list_read_sets(service: Service, asked: Params) -> Params:
    """Return one page of the read sets of a store."""
    store = asked["sequenceStoreId"]
    with service.state.read() as state:
        found(state, "sequenceStore", store)
        return listed(state, asked, "readSets", KIND, store, generatedFrom="sequenceInformation.generatedFrom")


@operation("GetReadSetMetadata")
def get_read_set_metadata(service: Service, asked: Params) -> Params:
    """Return what is known of a read set."""
    with service.state.read() as state:
        return found(state, KIND, asked["id"], asked["sequenceStoreId"])


@operation("GetReadSet")
def get_read_set(service: Service, asked: Params) -> Params:
    """Return a part of a read set's file."""
    store, key = asked["sequenceStoreId"], asked["id"]
    with service.state.read() as state:
        body = found(state, KIND, key, store)
    if body["status"] == "DELETING":
        raise not_found(KIND, key)
    if body["status"] != "ACTIVE":
        raise conflict(f"The read set {key} is {body['status']}; only an ACTIVE one can be read.")
    path, entry = file_of(service, (store, KIND, key), body, asked.get("file", "SOURCE1").lower())
    touch(path.parent)
    return {"payload": slice_of(path, entry, asked["partNumber"])}


@operation("BatchDeleteReadSet")
def batch_delete_read_set(service: Service, asked: Params) -> Params:
    """Begin to delete read sets; each that cannot be deleted has an error of its own."""
    store = asked["sequenceStoreId"]
    errors, deleted = [], []
    with service.state.write() as state:
        found(state, "sequenceStore", store)
        for key in asked["ids"]:
            body = state.get(KIND, key, store)
            if body is None:
                errors.append(_error(key, "ResourceNotFoundException", f"The read set {key} does not exist."))
            elif body["status"] in BUSY:
                errors.append(_error(key, "ConflictException", f"The read set {key} is {body['status']}."))
            else:
                body["status"] = "DELETING"
                state.put(KIND, key, body, store)
                deleted.append(body)
    for body in deleted:
        service.announce(*read_set_event(body))
    service.wake()
    return {"errors": errors}


@worker("deletions")
def delete_files(service: Service) -> float | None:
    """Remove what read sets and references in deletion have on disk and in S3, and then themselves."""
    with service.state.read() as state:
        read_sets = list(state.each(KIND, None, "DELETING"))
        references = list(state.each("reference", None, "DELETING"))
    for body in read_sets:
        remove_objects(service, body)
        _delete(service, KIND, body, body["sequenceStoreId"])
        service.announce(*read_set_event({**body, "status": "DELETED"}))
    for body in references:
        _delete(service, "reference", body, body["referenceStoreId"])
        service.announce("Reference Status Change", [body["arn"]], reference_detail(body, "DELETED"))
    return None


def _delete(service: Service, kind: str, body: Body, store: str) -> None:
    # Files first: what is known of them is the only way to find them again after a kill.
    shutil.rmtree(store_folder(service, store, kind, body["id"]), ignore_errors=True)
    faultpoint("emulator.deletion.files_gone")
    with service.state.write() as state:
        state.delete(kind, body["id"], store)
        drop_tags(state, body["arn"])


def _error(key: str, code: str, message: str) -> Params:
    return {"id": key, "code": code, "message": message}
