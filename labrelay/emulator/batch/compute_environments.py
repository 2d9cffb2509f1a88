"""Compute environments: what bounds the vCPUs that run at one time. Create-, Describe-, Update-, Delete…"""

from __future__ import annotations

from labrelay.emulator.batch.described import described
from labrelay.emulator.batch.naming import (
    ENVIRONMENT,
    QUEUE,
    arn,
    batch_operation,
    check_name,
    plain_name,
    refused,
)
from labrelay.emulator.operation import Params
from labrelay.emulator.service import Service
from labrelay.emulator.state import Body, Snapshot
from labrelay.emulator.tags import drop_tags, set_tags

KIND = "compute-environment"
FARGATE = ("FARGATE", "FARGATE_SPOT")


def environment_named(service: Service, state: Snapshot, given: str) -> Body:
    """Return the compute environment that a name or an ARN says.

    Raises:
        Failure: `ClientException`, there is none.
    """
    body = state.get(ENVIRONMENT, plain_name(service, KIND, given))
    if body is None:
        raise refused(f"The compute environment {given} does not exist.")
    return body


def on_fargate(environment: Body) -> bool:
    """Whether the environment is one of Fargate."""
    return environment.get("computeResources", {}).get("type") in FARGATE


def most_vcpus(environment: Body) -> float:
    """Return the vCPUs that run in the environment at one time; an unmanaged one has no limit that Batch knows."""
    return float(environment.get("computeResources", {}).get("maxvCpus", "inf"))


@batch_operation("CreateComputeEnvironment")
def create_compute_environment(service: Service, asked: Params) -> Params:
    """Make a compute environment, which is VALID at once: there are no instances to start."""
    name = check_name(asked["computeEnvironmentName"], "computeEnvironmentName")
    _check(asked)
    made = {
        "computeEnvironmentName": name,
        "computeEnvironmentArn": arn(service, KIND, name),
        "ecsClusterArn": f"arn:aws:ecs:{service.region}:{service.account}:cluster/AWSBatch-{name}",
        "type": asked["type"],
        "state": asked.get("state", "ENABLED"),
        "status": "VALID",
        "statusReason": "ComputeEnvironment Healthy",
        "computeResources": asked.get("computeResources"),
        "serviceRole": asked.get("serviceRole")
        or f"arn:aws:iam::{service.account}:role/aws-service-role/batch.amazonaws.com/AWSServiceRoleForBatch",
        "containerOrchestrationType": "ECS",
    } | {member: asked[member] for member in ("unmanagedvCpus", "context", "ecsSettings") if member in asked}
    made = {member: value for member, value in made.items() if value is not None}
    with service.state.write() as state:
        if state.get(ENVIRONMENT, name) is not None:
            raise refused(f"The compute environment {name} exists already.")
        state.put(ENVIRONMENT, name, made)
        set_tags(state, made["computeEnvironmentArn"], asked.get("tags", {}))
    return {"computeEnvironmentName": name, "computeEnvironmentArn": made["computeEnvironmentArn"]}


@batch_operation("DescribeComputeEnvironments")
def describe_compute_environments(service: Service, asked: Params) -> Params:
    """Return the environments that are named, or all; names that nothing has are left out."""
    return described(service, asked, state_kind=ENVIRONMENT, arn_kind=KIND, member="computeEnvironment")


@batch_operation("UpdateComputeEnvironment")
def update_compute_environment(service: Service, asked: Params) -> Params:
    """Change state, role or resources; jobs that run go on."""
    with service.state.write() as state:
        body = environment_named(service, state, asked["computeEnvironment"])
        body |= {
            member: asked[member] for member in ("state", "serviceRole", "context", "updatePolicy") if member in asked
        }
        if asked.get("computeResources"):
            body["computeResources"] = body.get("computeResources", {}) | asked["computeResources"]
            _check(body)
        state.put(ENVIRONMENT, body["computeEnvironmentName"], body)
    service.batch_bell.ring()
    return body


@batch_operation("DeleteComputeEnvironment")
def delete_compute_environment(service: Service, asked: Params) -> Params:
    """Delete an environment that is disabled and that no queue names; what is not there is no error."""
    with service.state.write() as state:
        name = plain_name(service, KIND, asked["computeEnvironment"])
        body = state.get(ENVIRONMENT, name)
        if body is None:
            return {}
        if body["state"] != "DISABLED":
            raise refused(f"Cannot delete, the compute environment {name} is ENABLED; disable it first.")
        own = body["computeEnvironmentArn"]
        for queue in state.each(QUEUE):
            if own in (entry["computeEnvironment"] for entry in queue["computeEnvironmentOrder"]):
                raise refused(f"Cannot delete, found existing JobQueue relationship: {queue['jobQueueName']}.")
        state.delete(ENVIRONMENT, name)
        drop_tags(state, own)
    return {}


def _check(asked: Params) -> None:
    """Refuse what is no environment of containers."""
    if "eksConfiguration" in asked:
        raise refused("Compute environments on EKS are not emulated; leave eksConfiguration out.")
    resources = asked.get("computeResources")
    if asked["type"] == "UNMANAGED":
        return
    if resources is None:
        raise refused("computeResources are required for a MANAGED compute environment.")
    if resources.get("maxvCpus", 0) < 1:
        raise refused("computeResources.maxvCpus is at least 1.")
    if not resources.get("subnets"):
        raise refused("computeResources.subnets are required.")
    if resources["type"] in FARGATE:
        unfit = [member for member in ("instanceTypes", "instanceRole", "minvCpus", "imageId") if resources.get(member)]
        if unfit or not resources.get("securityGroupIds"):
            why = f"{unfit[0]} is none of Fargate's" if unfit else "securityGroupIds are required on Fargate"
            raise refused(f"computeResources: {why}.")
    elif resources["type"] != "ECS_MANAGED_INSTANCES" and not resources.get("instanceRole"):
        raise refused(f"computeResources.instanceRole is required for {resources['type']}.")
