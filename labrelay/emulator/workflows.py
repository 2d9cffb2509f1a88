"""Workflows: CreateWorkflow, GetWorkflow, ListWorkflows, UpdateWorkflow, DeleteWorkflow."""

from __future__ import annotations

from labrelay.emulator.definitions import (
    announce_workflow,
    change_definition,
    new_definition,
    remove_definition,
    shown,
)
from labrelay.emulator.operation import Failure, Params, not_found, operation
from labrelay.emulator.service import Service
from labrelay.emulator.state import Body, Snapshot, Transaction
from labrelay.emulator.tags import drop_tags, set_tags
from labrelay.emulator.workflow_requests import items, once, tagged

MAX_WORKFLOWS = 1_000
FIRST_ID = 1_000_001


def existing_workflow(state: Snapshot, key: str) -> Body:
    """Return a workflow's body; ResourceNotFoundException when there is none."""
    body = state.get("workflow", key)
    if body is None:
        raise not_found("workflow", key)
    return body


@operation("CreateWorkflow")
def create_workflow(service: Service, asked: Params) -> Params:
    """Take a definition; whether it is any good turns out in the background."""

    def make(state: Transaction) -> Params:
        if state.count("workflow") >= MAX_WORKFLOWS:
            raise Failure("ServiceQuotaExceededException", f"There are {MAX_WORKFLOWS:,} workflows; delete some first.")
        body = new_definition(service, asked)
        key = str(state.next_number("workflow", FIRST_ID))
        body |= {"id": key, "arn": service.arn("workflow", key)}
        if "name" in asked:
            body["name"] = asked["name"]
        state.put("workflow", key, body)
        set_tags(state, body["arn"], body["tags"])
        return {name: body[name] for name in ("arn", "id", "status", "tags", "uuid")}

    answer = once(service, "CreateWorkflow", asked, make)
    service.wake()
    return answer


@operation("GetWorkflow")
def get_workflow(service: Service, asked: Params) -> Params:
    """Return one workflow."""
    with service.state.read() as state:
        body = tagged(state, existing_workflow(state, asked["id"]))
    return shown(service, body, asked.get("export", []))


@operation("ListWorkflows")
def list_workflows(service: Service, asked: Params) -> Params:
    """Return a page of workflows; there are no Ready2Run workflows here."""
    if asked.get("type") == "READY2RUN":
        return {"items": []}
    with service.state.read() as state:
        return items(state, asked, "workflow", equal=["name"])


@operation("UpdateWorkflow")
def update_workflow(service: Service, asked: Params) -> Params:
    """Change a workflow's name, words and storage."""
    with service.state.write() as state:
        body = change_definition(existing_workflow(state, asked["id"]), asked)
        state.put("workflow", asked["id"], body)
    return {}


@operation("DeleteWorkflow")
def delete_workflow(service: Service, asked: Params) -> Params:
    """Remove a workflow with its versions; runs that were started from them go on."""
    with service.state.write() as state:
        body = existing_workflow(state, asked["id"])
        versions = list(state.each("workflowVersion", asked["id"]))
        for version in versions:
            state.delete("workflowVersion", version["versionName"], asked["id"])
        state.delete("workflow", asked["id"])
        for gone in (body, *versions):
            drop_tags(state, gone["arn"])
    for gone in (body, *versions):
        remove_definition(service, gone["uuid"])
    announce_workflow(service, body, "deletion success")
    return {}
