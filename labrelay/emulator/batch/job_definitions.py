"""Job definitions: RegisterJobDefinition, DescribeJobDefinitions, DeregisterJobDefinition."""

from __future__ import annotations

import re
from collections import deque

from labrelay.emulator.batch.container import check_properties
from labrelay.emulator.batch.naming import (
    DEFINITION,
    arn,
    batch_operation,
    check_name,
    check_size,
    numbered_page,
    place,
    plain_name,
    refused,
)
from labrelay.emulator.batch.retries import check_retries, check_timeout
from labrelay.emulator.operation import Params
from labrelay.emulator.service import Service
from labrelay.emulator.state import Body, Snapshot
from labrelay.emulator.tags import set_tags, shown_tags

KIND = "job-definition"
MOST_DESCRIBED = 100
MOST_KIB = 24
NOT_EMULATED = ("nodeProperties", "eksProperties", "ecsProperties", "consumableResourceProperties")
GIVEN = ("parameters", "retryStrategy", "timeout", "propagateTags", "schedulingPriority")
REVISION = re.compile(r"(.+):([0-9]{1,9})")


def active_definition(service: Service, state: Snapshot, given: str) -> Body:
    """Return the definition that a name, a name with a revision, or an ARN says; without a revision the latest.

    Raises:
        Failure: `ClientException`, there is none that is ACTIVE.
    """
    plain = plain_name(service, KIND, given)
    numbered = REVISION.fullmatch(plain)
    if numbered:
        found = state.get(DEFINITION, numbered[2], numbered[1])
        if found is not None and found["status"] != "ACTIVE":
            raise refused(f"The job definition {given} is INACTIVE; register it again.")
    else:
        [found] = deque(state.each(DEFINITION, plain, "ACTIVE"), maxlen=1) or [None]
    if found is None:
        raise refused(f"The job definition {given} does not exist, or no revision of it is ACTIVE.")
    return found


@batch_operation("RegisterJobDefinition")
def register_job_definition(service: Service, asked: Params) -> Params:
    """Make the next revision of a definition."""
    name = check_name(asked["jobDefinitionName"], "jobDefinitionName")
    check_size(asked, "Job definition", MOST_KIB)
    if asked["type"] != "container" or any(member in asked for member in NOT_EMULATED):
        raise refused("Only job definitions of the type container with containerProperties are emulated.")
    properties = asked.get("containerProperties")
    if properties is None:
        raise refused("containerProperties are required for a job definition of the type container.")
    platforms = asked.get("platformCapabilities") or ["EC2"]
    check_properties(properties, fargate="FARGATE" in platforms)
    check_retries(asked.get("retryStrategy"))
    check_timeout(asked.get("timeout"))
    with service.state.write() as state:
        revision = state.next_number(f"{DEFINITION} {name}")
        made: Body = {
            "jobDefinitionName": name,
            "jobDefinitionArn": arn(service, KIND, f"{name}:{revision}"),
            "revision": revision,
            "status": "ACTIVE",
            "type": "container",
            "parameters": {},
            "containerProperties": _filled(properties),
            "platformCapabilities": platforms,
            "containerOrchestrationType": "ECS",
        } | {member: asked[member] for member in GIVEN if member in asked}
        state.put(DEFINITION, str(revision), made, name)
        set_tags(state, made["jobDefinitionArn"], asked.get("tags", {}))
    return {member: made[member] for member in ("jobDefinitionName", "jobDefinitionArn", "revision")}


@batch_operation("DescribeJobDefinitions")
def describe_job_definitions(service: Service, asked: Params) -> Params:
    """Return definitions by a list of `name:revision` or ARNs, or by name and status, in pages."""
    listed = asked.get("jobDefinitions", [])
    if listed and (asked.get("jobDefinitionName") or asked.get("status")):
        raise refused("jobDefinitions cannot be used with other parameters.")
    if len(listed) > MOST_DESCRIBED:
        raise refused(f"jobDefinitions has at most {MOST_DESCRIBED} entries, not {len(listed)}.")
    wanted = {plain_name(service, KIND, given) for given in listed}
    parent = asked.get("jobDefinitionName")
    with service.state.read() as state:
        bodies, after = state.page(
            DEFINITION,
            None if parent is None else plain_name(service, KIND, parent),
            limit=numbered_page(asked.get("maxResults"), MOST_DESCRIBED),
            token=place(asked.get("nextToken")),
            status=asked.get("status"),
            keep=lambda body: not wanted or f"{body['jobDefinitionName']}:{body['revision']}" in wanted,
        )
        found = [body | shown_tags(state, body["jobDefinitionArn"]) for body in bodies]
    return {"jobDefinitions": found, "nextToken": after}


@batch_operation("DeregisterJobDefinition")
def deregister_job_definition(service: Service, asked: Params) -> Params:
    """Make a revision INACTIVE; one that is so already is no error."""
    numbered = REVISION.fullmatch(plain_name(service, KIND, asked["jobDefinition"]))
    if numbered is None:
        raise refused(f"Name a revision to deregister, as name:revision or ARN; {asked['jobDefinition']} names none.")
    with service.state.write() as state:
        body = state.get(DEFINITION, numbered[2], numbered[1])
        if body is None:
            raise refused(f"The job definition {asked['jobDefinition']} does not exist.")
        state.put(DEFINITION, numbered[2], body | {"status": "INACTIVE"}, numbered[1])
    return {}


def _filled(properties: Params) -> Params:
    """Return the container with the members that Batch shows even where none was given."""
    empty: Params = {"command": [], "volumes": [], "environment": [], "mountPoints": [], "ulimits": [], "secrets": []}
    return {**empty, "resourceRequirements": [], **properties}
