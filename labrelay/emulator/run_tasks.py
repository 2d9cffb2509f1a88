"""Tasks of runs: ListRunTasks, GetRunTask."""

from __future__ import annotations

from labrelay.emulator.operation import Params, not_found, operation
from labrelay.emulator.run_states import existing_run
from labrelay.emulator.service import Service
from labrelay.emulator.workflow_requests import items


@operation("ListRunTasks")
def list_run_tasks(service: Service, asked: Params) -> Params:
    """Return a page of a run's tasks in the order in which they were begun."""
    with service.state.read() as state:
        existing_run(state, asked["id"])
        return items(state, asked, "task", asked["id"])


@operation("GetRunTask")
def get_run_task(service: Service, asked: Params) -> Params:
    """Return one task of a run."""
    with service.state.read() as state:
        existing_run(state, asked["id"])
        body = state.get("task", asked["taskId"], asked["id"])
    if body is None:
        raise not_found("task", f"{asked['taskId']} of run {asked['id']}")
    return body
