"""SubmitJob: what is asked for is checked, and a job is made of it that is durable when the answer goes out."""

from __future__ import annotations

from labrelay.emulator.batch.container import check_environment, check_requirements, container_of, override_length
from labrelay.emulator.batch.job_definitions import active_definition
from labrelay.emulator.batch.job_queues import queue_named
from labrelay.emulator.batch.job_states import changing, job_with, now_ms
from labrelay.emulator.batch.naming import arn, batch_operation, check_name, check_size, new_id, refused
from labrelay.emulator.batch.retries import check_retries, check_timeout
from labrelay.emulator.operation import Params
from labrelay.emulator.service import Service
from labrelay.emulator.state import Body, Snapshot
from labrelay.emulator.tags import set_tags

ARRAY_SIZES = (2, 10_000)
MOST_DEPENDENCIES = 20
MOST_KIB = 30
NOT_EMULATED = (
    "nodeOverrides",
    "eksPropertiesOverride",
    "ecsPropertiesOverride",
    "consumableResourcePropertiesOverride",
    "shareIdentifier",
    "schedulingPriorityOverride",
)


@batch_operation("SubmitJob")
def submit_job(service: Service, asked: Params) -> Params:
    """Make a job; as on AWS a second call with the same name makes a second one."""
    _check(asked)
    with changing(service) as changes:
        queue = queue_named(service, changes.state, asked["jobQueue"])
        if queue["state"] != "ENABLED":
            raise refused(f"The job queue {queue['jobQueueName']} is DISABLED and takes no jobs.")
        definition = active_definition(service, changes.state, asked["jobDefinition"])
        _check_dependencies(changes.state, asked)
        job = _job(service, queue, definition, asked)
        set_tags(changes.state, job["jobArn"], asked.get("tags", {}))
        changes.move(job, "SUBMITTED")
    service.batch_bell.ring()
    return {member: job[member] for member in ("jobArn", "jobName", "jobId")}


def _job(service: Service, queue: Body, definition: Body, asked: Params) -> Body:
    key = new_id()
    parameters = definition.get("parameters", {}) | asked.get("parameters", {})
    overrides = asked.get("containerOverrides", {})
    container = container_of(definition["containerProperties"], overrides, parameters)
    job: Body = {
        "jobId": key,
        "jobArn": arn(service, "job", key),
        "jobName": asked["jobName"],
        "jobQueue": queue["jobQueueArn"],
        "jobDefinition": definition["jobDefinitionArn"],
        "createdAt": now_ms(),
        "attempts": [],
        "dependsOn": asked.get("dependsOn", []),
        "parameters": parameters,
        "container": container,
        "_override_length": override_length(definition["containerProperties"], overrides, container),
        "propagateTags": asked.get("propagateTags", definition.get("propagateTags", False)),
        "platformCapabilities": definition["platformCapabilities"],
        "isCancelled": False,
        "isTerminated": False,
    }
    for member in ("retryStrategy", "timeout"):
        chosen = asked.get(member, definition.get(member))
        if chosen:
            job[member] = chosen
    if "arrayProperties" in asked:
        job["arrayProperties"] = {"size": asked["arrayProperties"]["size"]}
    return job


def _check(asked: Params) -> None:
    check_name(asked["jobName"], "jobName")
    check_size(asked, "Job", MOST_KIB)
    for member in NOT_EMULATED:
        if member in asked:
            raise refused(f"{member} is not emulated; leave it out.")
    if "arrayProperties" in asked:
        size = asked["arrayProperties"].get("size")
        if size is None or not ARRAY_SIZES[0] <= size <= ARRAY_SIZES[1]:
            raise refused(f"arrayProperties.size is {ARRAY_SIZES[0]} to {ARRAY_SIZES[1]}, not {size}.")
    overrides = asked.get("containerOverrides", {})
    check_environment(overrides.get("environment", []))
    check_requirements(overrides)
    check_retries(asked.get("retryStrategy"))
    check_timeout(asked.get("timeout"))


def _check_dependencies(state: Snapshot, asked: Params) -> None:
    """Refuse dependencies on what there is not, and those of arrays where there is none."""
    depends = asked.get("dependsOn", [])
    size = asked.get("arrayProperties", {}).get("size")
    if len(depends) > MOST_DEPENDENCIES:
        raise refused(f"A job depends on at most {MOST_DEPENDENCIES} jobs, not {len(depends)}.")
    for entry in depends:
        kind, other = entry.get("type"), entry.get("jobId")
        if kind is not None and size is None:
            raise refused(f"A dependency of the type {kind} is for array jobs; this one is none.")
        if kind == "SEQUENTIAL":
            if other is not None:
                raise refused("A SEQUENTIAL dependency has no jobId: the children wait for each other.")
            continue
        if other is None:
            raise refused("A dependency names a jobId.")
        there = job_with(state, other)
        if kind == "N_TO_N" and there.get("arrayProperties", {}).get("size") != size:
            raise refused(f"An N_TO_N dependency is on an array job of the same size; {other} is none.")
