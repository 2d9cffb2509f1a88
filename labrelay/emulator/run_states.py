"""How a run and its tasks change: one place that writes states, so that each change is told once and never goes back.

PENDING -> STARTING -> RUNNING -> STOPPING -> COMPLETED | FAILED | CANCELLED
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labrelay.emulator.operation import not_found
from labrelay.emulator.service import Service, timestamp
from labrelay.emulator.state import Body, Snapshot

BUSY = ("PENDING", "STARTING", "RUNNING", "STOPPING")
UNDER_WAY = ("STARTING", "RUNNING", "STOPPING")
ENDED = ("COMPLETED", "FAILED", "CANCELLED")
OMICS_VERSION = "1.0.0"


def existing_run(state: Snapshot, key: str) -> Body:
    """Return a run's body; ResourceNotFoundException when there is none."""
    body = state.get("run", key)
    if body is None:
        raise not_found("run", key)
    return body


def change_run(
    service: Service, run: str, identity: str, change: Callable[[Body], dict[str, Any] | None]
) -> Body | None:
    """Change a run in one transaction, tell about a new state, and return the new body.

    Args:
        service: Whose run.
        run: Its id, which may be another run's by now.
        identity: Its uuid, which never is.
        change: Returns the members that change, or None to leave the run as it is.

    Returns:
        The body as it is now; None when the run is gone.
    """
    with service.state.write() as state:
        body = state.get("run", run)
        if body is None or body["uuid"] != identity:
            return None
        before = body["status"]
        changed = change(body)
        if changed is None or (before in ENDED and changed.get("status", before) != before):
            return body
        body |= changed
        if body["status"] in ENDED:
            body.setdefault("stopTime", timestamp())
        state.put("run", run, body)
    if body["status"] != before:
        announce_run(service, body)
    return body


def announce_run(service: Service, body: Body) -> None:
    """Send the event of a run's state."""
    detail = {
        "omicsVersion": OMICS_VERSION,
        "arn": body["arn"],
        "status": body["status"],
        "uuid": body["uuid"],
        "runId": body["id"],
        "runName": body.get("name", ""),
        "runOutputUri": body["runOutputUri"],
        "workflowId": body.get("workflowId", ""),
        "workflowName": body.get("_workflow_name", ""),
    }
    service.announce("Run Status Change", [body["arn"]], detail)


def announce_task(service: Service, run: Body, task: Body) -> None:
    """Send the event of a task's state."""
    arn = service.arn("task", task["taskId"])
    detail = {
        "omicsVersion": OMICS_VERSION,
        "arn": arn,
        "status": task["status"],
        "runArn": run["arn"],
        "runUuid": run["uuid"],
        "runId": run["id"],
        "runName": run.get("name", ""),
        "workflowId": run.get("workflowId", ""),
        "workflowName": run.get("_workflow_name", ""),
    }
    service.announce("Task Status Change", [arn], detail)
