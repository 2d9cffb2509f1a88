"""Runs: StartRun, GetRun, ListRuns, CancelRun, DeleteRun."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path

from labrelay.emulator.definitions import definition_folder, shown
from labrelay.emulator.operation import Failure, Params, conflict, operation
from labrelay.emulator.run_request import run_body
from labrelay.emulator.run_settings import load_settings
from labrelay.emulator.run_states import ENDED, announce_run, change_run, existing_run
from labrelay.emulator.service import Service, timestamp
from labrelay.emulator.state import Body, Transaction
from labrelay.emulator.tags import drop_tags, set_tags
from labrelay.emulator.workflow_requests import items, once, tagged
from labrelay.stores.durable import fsync_dir, make_dirs

MAX_RUNS = 100_000
FIRST_ID = 4_000_001
STREAMS = "log-group:/aws/omics/WorkflowLog:log-stream:"


def run_folder(service: Service, identity: str) -> Path:
    """Return where a run keeps its own copy of the definition: `definition.zip` and `schema.json`."""
    return service.folder / "runs" / identity


@operation("StartRun")
def start_run(service: Service, asked: Params) -> Params:
    """Take a run; it waits as PENDING until there is room."""
    made: list[Body] = []
    removed: list[Body] = []
    identity = str(uuid.uuid4())

    def make(state: Transaction) -> Params:
        members, definition = run_body(state, asked)
        removed.extend(_make_room(state))
        _keep_definition(service, definition["uuid"], identity)
        key = _new_id(state, load_settings(service.folder).reuse_run_ids)
        body = {**members, "id": key, "uuid": identity, "arn": service.arn("run", key), "status": "PENDING"}
        own_prefix = asked.get("outputUriPrefixMode") != "NONE_WITH_OVERWRITE"
        body["runOutputUri"] = f"{body['outputUri']}/{key}" if own_prefix else body["outputUri"]
        body["creationTime"] = timestamp()
        body["startedBy"] = f"arn:aws:iam::{service.account}:root"
        logs = f"arn:aws:logs:{service.region}:{service.account}:{STREAMS}run/{key}"
        if body["logLevel"] != "OFF":
            body["logLocation"] = {"engineLogStream": f"{logs}/engine", "runLogStream": logs}
        state.put("run", key, body)
        set_tags(state, body["arn"], body["tags"])
        made.append(body)
        return {name: body[name] for name in ("arn", "id", "status", "tags", "uuid", "runOutputUri", "networkingMode")}

    try:
        answer = once(service, "StartRun", asked, make)
    except BaseException:
        _drop_folder(service, identity)
        raise
    for body in removed:
        _drop_folder(service, body["uuid"])
    for body in made:
        announce_run(service, body)
    service.wake()
    return answer


@operation("GetRun")
def get_run(service: Service, asked: Params) -> Params:
    """Return one run."""
    with service.state.read() as state:
        body = tagged(state, existing_run(state, asked["id"]))
    archive = run_folder(service, body["uuid"]) / "definition.zip"
    return shown(service, body, asked.get("export", []), archive)


@operation("ListRuns")
def list_runs(service: Service, asked: Params) -> Params:
    """Return a page of runs in the order in which they were started."""
    with service.state.read() as state:
        page = items(state, asked, "run", equal=["name", "runGroupId", "batchId"])
    for body in page["items"]:
        body["workflowName"] = body.get("_workflow_name")
    return page


@operation("CancelRun")
def cancel_run(service: Service, asked: Params) -> Params:
    """Ask for the end of a run; what waits ends at once, what runs is stopped and exports nothing."""
    with service.state.read() as state:
        identity = existing_run(state, asked["id"])["uuid"]

    def change(body: Body) -> Params | None:
        if body["status"] in ENDED:
            raise conflict(f"Run {body['id']} is {body['status']}; only one that has not ended can be cancelled.")
        if body["status"] == "PENDING":
            return {"status": "CANCELLED", "_cancelled": True}
        # One that stops already ends as it was going to.
        return {"status": "STOPPING", "_cancelled": True} if body["status"] != "STOPPING" else None

    change_run(service, asked["id"], identity, change)
    service.wake()
    return {}


@operation("DeleteRun")
def delete_run(service: Service, asked: Params) -> Params:
    """Remove a run that has ended; its outputs in S3 and its logs stay."""
    with service.state.write() as state:
        body = existing_run(state, asked["id"])
        if body["status"] not in ENDED:
            raise conflict(f"Run {body['id']} is {body['status']}; cancel it or let it end before it is deleted.")
        _remove(state, body)
    _drop_folder(service, body["uuid"])
    announce_run(service, body | {"status": "DELETED"})
    return {}


def _remove(state: Transaction, body: Body) -> None:
    for task in list(state.each("task", body["id"])):
        state.delete("task", task["taskId"], body["id"])
    state.delete("run", body["id"])
    drop_tags(state, body["arn"])
    state.put("freeRunId", body["id"], {"id": body["id"]})


def _drop_folder(service: Service, identity: str) -> None:
    """Remove what a run kept, after the state has forgotten the run."""
    shutil.rmtree(run_folder(service, identity), ignore_errors=True)


def _make_room(state: Transaction) -> list[Body]:
    """Hold the number of runs that are kept: remove the oldest that may go, or refuse the new one; return what went."""
    if state.count("run") < MAX_RUNS:
        return []
    for body in state.each("run"):
        if body["retentionMode"] == "REMOVE" and body["status"] in ENDED:
            _remove(state, body)
            return [body]
    message = f"There are {MAX_RUNS:,} runs; delete some, or start runs with retentionMode REMOVE."
    raise Failure("ServiceQuotaExceededException", message)


def _new_id(state: Transaction, reuse: bool) -> str:
    """Return an id for a run; ids of deleted runs come again where the settings say so, as they do at HealthOmics."""
    if reuse:
        free, _ = state.page("freeRunId", limit=1)
        if free:
            state.delete("freeRunId", free[0]["id"])
            return str(free[0]["id"])
    return str(state.next_number("run", FIRST_ID))


def _keep_definition(service: Service, definition: str, identity: str) -> None:
    """Give the run its own names for the definition's files, so that the workflow may be deleted meanwhile."""
    source, target = definition_folder(service, definition), run_folder(service, identity)
    make_dirs(target)
    for name in ("definition.zip", "schema.json"):
        os.link(source / name, target / name)
    fsync_dir(target)
