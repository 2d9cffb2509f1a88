"""Workflow versions: Create-, Get-, Update- and DeleteWorkflowVersion, ListWorkflowVersions."""

from __future__ import annotations

from labrelay.emulator.definitions import change_definition, new_definition, remove_definition, shown
from labrelay.emulator.operation import Failure, Params, conflict, not_found, operation
from labrelay.emulator.service import Service
from labrelay.emulator.state import Body, Snapshot, Transaction
from labrelay.emulator.tags import drop_tags, set_tags
from labrelay.emulator.workflow_requests import items, once, tagged
from labrelay.emulator.workflows import existing_workflow

MAX_VERSIONS = 1_000


def existing_version(state: Snapshot, workflow: str, name: str) -> Body:
    """Return a version's body; ResourceNotFoundException when there is no such workflow or version."""
    existing_workflow(state, workflow)
    body = state.get("workflowVersion", name, workflow)
    if body is None:
        raise not_found("workflow version", f"{workflow}/{name}")
    return body


@operation("CreateWorkflowVersion")
def create_workflow_version(service: Service, asked: Params) -> Params:
    """Take a further definition of a workflow; it inherits nothing."""
    workflow, name = asked["workflowId"], asked["versionName"]

    def make(state: Transaction) -> Params:
        existing_workflow(state, workflow)
        if state.get("workflowVersion", name, workflow) is not None:
            raise conflict(f"Workflow {workflow} has a version {name} already; versions do not change.")
        if state.count("workflowVersion", workflow) >= MAX_VERSIONS:
            message = f"Workflow {workflow} has {MAX_VERSIONS:,} versions; delete some first."
            raise Failure("ServiceQuotaExceededException", message)
        body = new_definition(service, asked)
        arn = service.arn("workflow", workflow, "version", name)
        body |= {"workflowId": workflow, "versionName": name, "arn": arn}
        state.put("workflowVersion", name, body, workflow)
        set_tags(state, arn, body["tags"])
        return {key: body[key] for key in ("arn", "workflowId", "versionName", "status", "tags", "uuid")}

    answer = once(service, "CreateWorkflowVersion", asked, make)
    service.wake()
    return answer


@operation("GetWorkflowVersion")
def get_workflow_version(service: Service, asked: Params) -> Params:
    """Return one version."""
    with service.state.read() as state:
        body = tagged(state, existing_version(state, asked["workflowId"], asked["versionName"]))
    return shown(service, body, asked.get("export", []))


@operation("ListWorkflowVersions")
def list_workflow_versions(service: Service, asked: Params) -> Params:
    """Return a page of a workflow's versions."""
    with service.state.read() as state:
        existing_workflow(state, asked["workflowId"])
        return items(state, asked, "workflowVersion", asked["workflowId"])


@operation("UpdateWorkflowVersion")
def update_workflow_version(service: Service, asked: Params) -> Params:
    """Change a version's words and storage; its definition stays as it is."""
    with service.state.write() as state:
        body = existing_version(state, asked["workflowId"], asked["versionName"])
        state.put("workflowVersion", asked["versionName"], change_definition(body, asked), asked["workflowId"])
    return {}


@operation("DeleteWorkflowVersion")
def delete_workflow_version(service: Service, asked: Params) -> Params:
    """Remove a version; its name can be used again."""
    with service.state.write() as state:
        body = existing_version(state, asked["workflowId"], asked["versionName"])
        state.delete("workflowVersion", asked["versionName"], asked["workflowId"])
        drop_tags(state, body["arn"])
    remove_definition(service, body["uuid"])
    return {}
