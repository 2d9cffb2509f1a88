"""Batches of runs: StartRunBatch, GetBatch, ListBatch, ListRunsInBatch, CancelRunBatch, DeleteRunBatch, DeleteBatch.

CREATING -> PENDING -> SUBMITTING -> INPROGRESS -> PROCESSED       FAILED: the settings are not acceptable
CancelRunBatch: STOPPING -> CANCELLED      DeleteRunBatch: RUNS_DELETING -> RUNS_DELETED | RUNS_DELETE_FAILED
"""

from __future__ import annotations

import uuid
from collections import Counter
from typing import Any

from labrelay.emulator.operation import Params, conflict, invalid, not_found, operation
from labrelay.emulator.service import Service, timestamp
from labrelay.emulator.state import Body, Snapshot, Transaction
from labrelay.emulator.tags import drop_tags, set_tags
from labrelay.emulator.workflow_requests import items, once, tagged

FIRST_ID = 6_000_001
CANCELLABLE = ("PENDING", "SUBMITTING", "INPROGRESS")
RUNS_DELETABLE = ("PROCESSED", "CANCELLED")
TERMINAL = ("PROCESSED", "CANCELLED", "FAILED", "RUNS_DELETED", "RUNS_DELETE_FAILED")
RUN_COUNTS = {
    "PENDING": "pendingRunCount",
    "STARTING": "startingRunCount",
    "RUNNING": "runningRunCount",
    "STOPPING": "stoppingRunCount",
    "COMPLETED": "completedRunCount",
    "DELETED": "deletedRunCount",
    "FAILED": "failedRunCount",
    "CANCELLED": "cancelledRunCount",
}


def existing_batch(state: Snapshot, key: str) -> Body:
    """Return a batch's body; ResourceNotFoundException when there is none."""
    body = state.get("runBatch", key)
    if body is None:
        raise not_found("batch", key)
    return body


@operation("StartRunBatch")
def start_run_batch(service: Service, asked: Params) -> Params:
    """Take a batch; its runs are started in the background."""
    settings = asked["batchRunSettings"]
    if len(settings) != 1:
        raise invalid("batchRunSettings is either inlineSettings or s3UriSettings.")

    def make(state: Transaction) -> Params:
        key = str(state.next_number("runBatch", FIRST_ID))
        body = {
            "id": key,
            "arn": service.arn("runBatch", key),
            "uuid": str(uuid.uuid4()),
            "name": asked.get("batchName"),
            "status": "CREATING",
            "defaultRunSetting": asked["defaultRunSetting"],
            "totalRuns": len(settings.get("inlineSettings", ())),
            "creationTime": timestamp(),
            "tags": asked.get("tags", {}),
            "_settings": settings,
        }
        state.put("runBatch", key, body)
        set_tags(state, body["arn"], body["tags"])
        return {name: body[name] for name in ("id", "arn", "status", "uuid", "tags")}

    answer = once(service, "StartRunBatch", asked, make)
    service.wake()
    return answer


@operation("GetBatch")
def get_batch(service: Service, asked: Params) -> Params:
    """Return one batch with the numbers of its submissions and of its runs by state."""
    with service.state.read() as state:
        body = tagged(state, existing_batch(state, asked["batchId"]))
        return body | summaries(state, body)


def summaries(state: Snapshot, body: Body) -> dict[str, dict[str, int]]:
    """Return `submissionSummary` and `runSummary` of a batch."""
    outcomes: Counter[str] = Counter()
    runs: Counter[str] = Counter()
    for row in state.each("batchRun", body["id"]):
        outcomes[row.get("submissionStatus", "")] += 1
        if "runId" in row:
            run = state.get("run", row["runId"])
            there = run is not None and run["uuid"] == row["runInternalUuid"]
            runs[run["status"] if run is not None and there else "DELETED"] += 1
    started = sum(runs.values())
    failed = outcomes["FAILED"]
    submissions = {
        "successfulStartSubmissionCount": started,
        "failedStartSubmissionCount": failed,
        "pendingStartSubmissionCount": max(0, body["totalRuns"] - started - failed),
        "successfulCancelSubmissionCount": outcomes["CANCEL_SUCCESS"],
        "failedCancelSubmissionCount": outcomes["CANCEL_FAILED"],
        "successfulDeleteSubmissionCount": outcomes["DELETE_SUCCESS"],
        "failedDeleteSubmissionCount": outcomes["DELETE_FAILED"],
    }
    return {
        "submissionSummary": submissions,
        "runSummary": {member: runs[status] for status, member in RUN_COUNTS.items()},
    }


@operation("ListBatch")
def list_batch(service: Service, asked: Params) -> Params:
    """Return a page of batches, by one filter at most."""
    _one_filter(asked, "status", "name", "runGroupId")
    group = asked.get("runGroupId")
    with service.state.read() as state:
        page = items(
            state,
            asked,
            "runBatch",
            equal=["name"],
            keep=lambda body: group in (None, body["defaultRunSetting"].get("runGroupId")),
            limit="maxItems",
        )
    for body in page["items"]:
        body |= {"createdAt": body["creationTime"], "workflowId": body["defaultRunSetting"]["workflowId"]}
    return page


@operation("ListRunsInBatch")
def list_runs_in_batch(service: Service, asked: Params) -> Params:
    """Return a page of what became of a batch's settings, by one filter at most."""
    filters = ("submissionStatus", "runSettingId", "runId")
    _one_filter(asked, *filters)
    with service.state.read() as state:
        existing_batch(state, asked["batchId"])
        page = items(state, asked, "batchRun", asked["batchId"], equal=filters, limit="maxItems")
    return {"runs": page["items"], "nextToken": page["nextToken"]}


@operation("CancelRunBatch")
def cancel_run_batch(service: Service, asked: Params) -> Params:
    """Cancel the runs of a batch; those that are not submitted yet never are."""
    return _turn(service, asked["batchId"], CANCELLABLE, "STOPPING", "cancelled")


@operation("DeleteRunBatch")
def delete_run_batch(service: Service, asked: Params) -> Params:
    """Delete the runs of a batch that has ended; the batch itself stays."""
    return _turn(service, asked["batchId"], RUNS_DELETABLE, "RUNS_DELETING", "deleted")


@operation("DeleteBatch")
def delete_batch(service: Service, asked: Params) -> Params:
    """Forget a batch that has ended; its runs stay."""
    with service.state.write() as state:
        body = existing_batch(state, asked["batchId"])
        if body["status"] not in TERMINAL:
            raise conflict(f"Batch {body['id']} is {body['status']}; only one that has ended can be deleted.")
        for row in list(state.each("batchRun", body["id"])):
            state.delete("batchRun", row["runSettingId"], body["id"])
        state.delete("runBatch", body["id"])
        drop_tags(state, body["arn"])
    return {}


def _turn(service: Service, key: str, allowed: tuple[str, ...], status: str, what: str) -> Params:
    with service.state.write() as state:
        body = existing_batch(state, key)
        if body["status"] not in allowed:
            states = ", ".join(allowed)
            raise conflict(f"Batch {key} is {body['status']}; its runs can be {what} when it is {states}.")
        state.put("runBatch", key, body | {"status": status})
    announce_batch(service, key)
    service.wake()
    return {}


def announce_batch(service: Service, key: str) -> None:
    """Send the event of a batch's state; all numbers in it are text."""
    with service.state.read() as state:
        body = state.get("runBatch", key)
        if body is None:
            return
        counts = summaries(state, body)
    detail: dict[str, Any] = {
        "omicsVersion": "1.0.0",
        "arn": body["arn"],
        "status": body["status"],
        "batchId": key,
        "uuid": body["uuid"],
        "batchName": body.get("name") or "",
        "workflowId": body["defaultRunSetting"]["workflowId"],
        "totalRuns": str(body["totalRuns"]),
    }
    detail |= {name: str(number) for part in counts.values() for name, number in part.items()}
    if "failureReason" in body:
        detail |= {"failureReason": "VALIDATION_EXCEPTION", "failureMessage": body["failureReason"]}
    service.announce("RunBatch Status Change", [body["arn"]], detail)


def _one_filter(asked: Params, *names: str) -> None:
    given = [name for name in names if name in asked]
    if len(given) > 1:
        raise invalid(f"Only one filter can be given at a time; {', '.join(given)} were.")
