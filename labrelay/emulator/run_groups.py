"""Run groups: limits on what runs at one time. CreateRunGroup, GetRunGroup, ListRunGroups, UpdateRunGroup, Delete…"""

from __future__ import annotations

from labrelay.emulator.operation import Failure, Params, conflict, not_found, operation
from labrelay.emulator.run_states import BUSY
from labrelay.emulator.service import Service, timestamp
from labrelay.emulator.state import Body, Snapshot, Transaction
from labrelay.emulator.tags import drop_tags, set_tags
from labrelay.emulator.workflow_requests import items, once, tagged

MAX_GROUPS = 1_000
FIRST_ID = 2_000_001
LIMITS = ("name", "maxCpus", "maxGpus", "maxRuns", "maxDuration")


def existing_group(state: Snapshot, key: str) -> Body:
    """Return a run group's body; ResourceNotFoundException when there is none."""
    body = state.get("runGroup", key)
    if body is None:
        raise not_found("run group", key)
    return body


@operation("CreateRunGroup")
def create_run_group(service: Service, asked: Params) -> Params:
    """Make a run group; a limit that is not given does not limit."""

    def make(state: Transaction) -> Params:
        if state.count("runGroup") >= MAX_GROUPS:
            raise Failure("ServiceQuotaExceededException", f"There are {MAX_GROUPS:,} run groups; delete some first.")
        key = str(state.next_number("runGroup", FIRST_ID))
        body = {name: asked[name] for name in LIMITS if name in asked}
        body |= {"id": key, "arn": service.arn("runGroup", key), "creationTime": timestamp()}
        body["tags"] = asked.get("tags", {})
        state.put("runGroup", key, body)
        set_tags(state, body["arn"], body["tags"])
        return {name: body[name] for name in ("arn", "id", "tags")}

    return once(service, "CreateRunGroup", asked, make)


@operation("GetRunGroup")
def get_run_group(service: Service, asked: Params) -> Params:
    """Return one run group."""
    with service.state.read() as state:
        return tagged(state, existing_group(state, asked["id"]))


@operation("ListRunGroups")
def list_run_groups(service: Service, asked: Params) -> Params:
    """Return a page of run groups."""
    with service.state.read() as state:
        return items(state, asked, "runGroup", equal=["name"])


@operation("UpdateRunGroup")
def update_run_group(service: Service, asked: Params) -> Params:
    """Change limits; runs that wait for a raised one are looked at again at once."""
    with service.state.write() as state:
        body = existing_group(state, asked["id"])
        body |= {name: asked[name] for name in LIMITS if name in asked}
        state.put("runGroup", asked["id"], body)
    service.wake()
    return {}


@operation("DeleteRunGroup")
def delete_run_group(service: Service, asked: Params) -> Params:
    """Remove a run group that no run waits or runs in."""
    with service.state.write() as state:
        existing_group(state, asked["id"])
        for status in BUSY:
            if any(run.get("runGroupId") == asked["id"] for run in state.each("run", status=status)):
                raise conflict(f"A run in run group {asked['id']} is {status}; let it end or cancel it first.")
        state.delete("runGroup", asked["id"])
        drop_tags(state, service.arn("runGroup", asked["id"]))
    return {}
