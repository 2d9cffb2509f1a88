"""Job queues: Create-, Describe-, Update-, DeleteJobQueue."""

from __future__ import annotations

from labrelay.emulator.batch.compute_environments import environment_named, on_fargate
from labrelay.emulator.batch.described import described
from labrelay.emulator.batch.job_states import stop_jobs_of
from labrelay.emulator.batch.naming import (
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

KIND = "job-queue"
MOST_ENVIRONMENTS = 3
PRIORITIES = range(1001)
DELETED = "The job queue was deleted."


def queue_named(service: Service, state: Snapshot, given: str) -> Body:
    """Return the queue that a name or an ARN says.

    Raises:
        Failure: `ClientException`, there is none.
    """
    body = state.get(QUEUE, plain_name(service, KIND, given))
    if body is None:
        raise refused(f"The job queue {given} does not exist.")
    return body


@batch_operation("CreateJobQueue")
def create_job_queue(service: Service, asked: Params) -> Params:
    """Make a queue, which is VALID at once."""
    name = check_name(asked["jobQueueName"], "jobQueueName")
    if "serviceEnvironmentOrder" in asked:
        raise refused("Service environments are not emulated; name compute environments.")
    with service.state.write() as state:
        if state.get(QUEUE, name) is not None:
            raise refused(f"The job queue {name} exists already.")
        made: Body = {
            "jobQueueName": name,
            "jobQueueArn": arn(service, KIND, name),
            "state": asked.get("state", "ENABLED"),
            "status": "VALID",
            "statusReason": "JobQueue Healthy",
            "jobStateTimeLimitActions": asked.get("jobStateTimeLimitActions", []),
        } | _checked(service, state, asked)
        state.put(QUEUE, name, made)
        set_tags(state, made["jobQueueArn"], asked.get("tags", {}))
    return {"jobQueueName": name, "jobQueueArn": made["jobQueueArn"]}


@batch_operation("DescribeJobQueues")
def describe_job_queues(service: Service, asked: Params) -> Params:
    """Return the queues that are named, or all; names that nothing has are left out."""
    return described(service, asked, state_kind=QUEUE, arn_kind=KIND, member="jobQueue")


@batch_operation("UpdateJobQueue")
def update_job_queue(service: Service, asked: Params) -> Params:
    """Change state, priority or environments; jobs that wait keep their places."""
    with service.state.write() as state:
        body = queue_named(service, state, asked["jobQueue"])
        body |= _checked(service, state, body | asked)
        body |= {member: asked[member] for member in ("state", "jobStateTimeLimitActions") if member in asked}
        state.put(QUEUE, body["jobQueueName"], body)
    service.batch_bell.ring()
    return body


@batch_operation("DeleteJobQueue")
def delete_job_queue(service: Service, asked: Params) -> Params:
    """Delete a queue that is disabled, and end its jobs; what is not there is no error."""
    with service.state.write() as state:
        name = plain_name(service, KIND, asked["jobQueue"])
        body = state.get(QUEUE, name)
        if body is None:
            return {}
        if body["state"] != "DISABLED":
            raise refused(f"Cannot delete, the job queue {name} is ENABLED; disable it first.")
        state.delete(QUEUE, name)
        drop_tags(state, body["jobQueueArn"])
    stop_jobs_of(service, body["jobQueueArn"], DELETED)
    return {}


def _checked(service: Service, state: Snapshot, asked: Params) -> Params:
    """Return priority and environments, the latter as ARNs, in their order."""
    if asked.get("schedulingPolicyArn"):
        raise refused("Scheduling policies are not emulated: a queue is first in, first out; leave the ARN out.")
    if asked["priority"] not in PRIORITIES:
        raise refused(f"priority is 0 to {PRIORITIES[-1]}, not {asked['priority']}.")
    order = sorted(asked.get("computeEnvironmentOrder", []), key=lambda entry: int(entry["order"]))
    if not 1 <= len(order) <= MOST_ENVIRONMENTS:
        raise refused(f"computeEnvironmentOrder has 1 to {MOST_ENVIRONMENTS} entries, not {len(order)}.")
    found = [environment_named(service, state, entry["computeEnvironment"]) for entry in order]
    if len({on_fargate(environment) for environment in found}) > 1:
        raise refused("A job queue has compute environments of EC2 or of Fargate, not of both.")
    entries = [
        {"order": entry["order"], "computeEnvironment": environment["computeEnvironmentArn"]}
        for entry, environment in zip(order, found, strict=True)
    ]
    kind = "ECS_FARGATE" if on_fargate(found[0]) else "ECS"
    return {"priority": asked["priority"], "computeEnvironmentOrder": entries, "jobQueueType": kind}
