"""Activation jobs: archived read sets become readable again, under the same URIs."""

from __future__ import annotations

from labrelay.emulator.asking import found
from labrelay.emulator.objects import store_folder, touch
from labrelay.emulator.operation import Params, operation
from labrelay.emulator.read_set_imports import read_set_event
from labrelay.emulator.service import Service, worker
from labrelay.emulator.state import Body, Transaction
from labrelay.emulator.storage_jobs import ItemDone, ItemFailed, JobKind, Thing, get, list_jobs, start, work
from labrelay.emulator.stored_files import put_objects
from labrelay.emulator.tags import tags_of

JOB = JobKind(
    kind="readSetActivationJob",
    store="sequenceStore",
    operation="StartReadSetActivationJob",
    event="Read Set Activation Job Status Change",
    answer=("id", "sequenceStoreId", "status", "creationTime"),
    most_open=25,
)


@operation("StartReadSetActivationJob")
def start_activation_job(service: Service, asked: Params) -> Params:
    """Start to activate read sets; those that are ACTIVE stay so."""
    return start(service, JOB, asked, _items)


@operation("GetReadSetActivationJob")
def get_activation_job(service: Service, asked: Params) -> Params:
    """Return a job."""
    return get(service, JOB, asked)


@operation("ListReadSetActivationJobs")
def list_activation_jobs(service: Service, asked: Params) -> Params:
    """Return one page of the jobs."""
    return list_jobs(service, JOB, asked, "activationJobs")


@worker("activations")
def activate_read_sets(service: Service) -> float | None:
    """Work through the activation jobs."""
    work(service, JOB, _activate)
    return None


def _items(state: Transaction, asked: Params) -> list[Body]:
    for source in asked["sources"]:
        body = found(state, "readSet", source["readSetId"], asked["sequenceStoreId"])
        if body["status"] == "ARCHIVED":
            body["status"] = "ACTIVATING"
            state.put("readSet", body["id"], body, asked["sequenceStoreId"])
    return list(asked["sources"])


def _activate(service: Service, job: Body, item: Body) -> ItemDone:
    store, key = job["sequenceStoreId"], item["readSetId"]
    with service.state.read() as state:
        body = state.get("readSet", key, store)
        holder = found(state, "sequenceStore", store)
        tags = {} if body is None else tags_of(state, body["arn"])
    if body is None or body["status"] not in ("ACTIVATING", "ACTIVE"):
        raise ItemFailed(f"The read set {key} is {'gone' if body is None else body['status']}.")
    touch(store_folder(service, store, "readSet", key))
    if body["status"] == "ACTIVE":
        return ItemDone({"statusMessage": "The read set is active."})
    body |= {"status": "ACTIVE", "_shown": True}
    put_objects(service, holder, body, tags)
    return ItemDone({}, [Thing("readSet", key, body, store)], [read_set_event(body)])
