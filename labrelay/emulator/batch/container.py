"""What a job's container is: properties of the definition, changed by the overrides of SubmitJob. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from typing import Any

from labrelay.emulator.batch.naming import refused
from labrelay.emulator.operation import Params
from labrelay.model.names import is_safe_name

RESERVED = "AWS_BATCH"
PLACEHOLDER = re.compile(r"Ref::([A-Za-z0-9_-]+)")
LOG_GROUP = "/aws/batch/job"
SET_BY_BATCH = ("AWS_BATCH_JOB_ID", "AWS_BATCH_JOB_ATTEMPT", "AWS_BATCH_JQ_NAME", "AWS_BATCH_CE_NAME")
LEAST_MEMORY = 4  # MiB
# vCPUs that Fargate has, and the MiB of memory beside each.
FARGATE_MEMORY: dict[str, Collection[int]] = {
    "0.25": (512, 1024, 2048),
    "0.5": range(1024, 4097, 1024),
    "1": range(2048, 8193, 1024),
    "2": range(4096, 16385, 1024),
    "4": range(8192, 30721, 1024),
    "8": range(16384, 61441, 4096),
    "16": range(32768, 122881, 8192),
}
KEPT_AS_GIVEN = (
    "jobRoleArn", "executionRoleArn", "volumes", "mountPoints", "readonlyRootFilesystem", "privileged", "ulimits",
    "user", "linuxParameters", "logConfiguration", "secrets", "networkConfiguration", "fargatePlatformConfiguration",
    "ephemeralStorage", "runtimePlatform", "repositoryCredentials", "enableExecuteCommand", "instanceType",
)  # fmt: skip


def check_properties(properties: Params, *, fargate: bool) -> None:
    """Refuse a definition's container that Batch would refuse, or that could not be honoured here.

    Raises:
        Failure: `ClientException`.
    """
    if not properties.get("image"):
        raise refused("containerProperties.image is required.")
    check_environment(properties.get("environment", []))
    _check_size(properties, fargate=fargate)
    _check_volumes(properties)
    _check_log(properties.get("logConfiguration"))
    if fargate and not properties.get("executionRoleArn"):
        raise refused("containerProperties.executionRoleArn is required on Fargate.")
    if properties.get("secrets"):
        raise refused("containerProperties.secrets are not emulated; give the job what it needs by its environment.")


def check_environment(environment: Iterable[Params]) -> None:
    """Refuse variables whose names are Batch's own."""
    for pair in environment:
        if pair.get("name", "").startswith(RESERVED):
            raise refused(f"Environment variables cannot begin with {RESERVED}: {pair['name']}.")


def container_of(properties: Params, overrides: Params, parameters: dict[str, str]) -> Params:
    """Return the container of a job as DescribeJobs shows it before it runs.

    Args:
        properties: Of the definition.
        overrides: `containerOverrides` of SubmitJob.
        parameters: What replaces `Ref::name` in the command.
    """
    needs = {kind: entry for entry in _requirements(properties) for kind in [entry["type"]]}
    needs |= {kind: entry for entry in _requirements(overrides) for kind in [entry["type"]]}
    environment = {pair["name"]: pair.get("value", "") for pair in properties.get("environment", []) if "name" in pair}
    environment |= {pair["name"]: pair.get("value", "") for pair in overrides.get("environment", []) if "name" in pair}
    command = overrides.get("command") or properties.get("command", [])
    given = {name: properties[name] for name in KEPT_AS_GIVEN if name in properties}
    return {
        "image": properties["image"],
        "command": [substituted(part, parameters) for part in command],
        "volumes": [],
        "mountPoints": [],
        "ulimits": [],
        "secrets": [],
        "networkInterfaces": [],
        **given,
        "environment": [{"name": name, "value": value} for name, value in environment.items()],
        "resourceRequirements": list(needs.values()),
    }


def override_length(properties: Params, overrides: Params, container: Params) -> int:
    """Return how long what a job changes of its definition is to ECS, which counts the JSON of it.

    The variables that Batch sets are among it; of an array child they are some characters more.
    """
    command = {"command": container["command"]} if container["command"] != properties.get("command") else {}
    environment = [*overrides.get("environment", []), *({"name": name, "value": "x" * 36} for name in SET_BY_BATCH)]
    told = {"containerOverrides": [{"name": "default", **command, "environment": environment}]}
    return len(json.dumps(told, ensure_ascii=False, separators=(",", ":")))


def substituted(part: str, parameters: dict[str, str]) -> str:
    """Return a part of a command with `Ref::name` replaced; a name without a value stays as it is."""
    return PLACEHOLDER.sub(lambda found: parameters.get(found[1], found[0]), part)


def vcpus_of(container: Params) -> float:
    """Return the vCPUs that a job's container asks for."""
    return next((float(need["value"]) for need in container["resourceRequirements"] if need["type"] == "VCPU"), 1.0)


def log_prefix(container: Params, definition_name: str) -> str:
    """Return what the names of the job's log streams begin with."""
    options = (container.get("logConfiguration") or {}).get("options", {})
    return str(options.get("awslogs-stream-prefix") or definition_name)


def _requirements(given: Params) -> list[dict[str, str]]:
    """Return what is asked for as `resourceRequirements`; `vcpus` and `memory` are the older spelling."""
    old = [
        {"type": kind, "value": str(given[member])}
        for member, kind in (("vcpus", "VCPU"), ("memory", "MEMORY"))
        if member in given
    ]
    return [*old, *given.get("resourceRequirements", [])]


def check_requirements(given: Params) -> None:
    """Refuse resources that are no numbers above 0."""
    for need in _requirements(given):
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,4})?", need["value"]) or float(need["value"]) <= 0:
            raise refused(
                f"The value of the resource requirement {need['type']} is no number above 0: {need['value']}."
            )


def _check_size(properties: Params, *, fargate: bool) -> None:
    check_requirements(properties)
    needs = {need["type"]: need["value"] for need in _requirements(properties)}
    if "VCPU" not in needs or "MEMORY" not in needs:
        raise refused(
            "Container properties have vCPUs and memory, as resourceRequirements of the types VCPU and MEMORY."
        )
    memory = float(needs["MEMORY"])
    if memory < LEAST_MEMORY:
        raise refused(f"The memory of a container is at least {LEAST_MEMORY} MiB, not {needs['MEMORY']}.")
    if not fargate and not float(needs["VCPU"]).is_integer():
        raise refused(f"vCPUs are whole on EC2, not {needs['VCPU']}.")
    if fargate:
        allowed = FARGATE_MEMORY.get(f"{float(needs['VCPU']):g}")
        if allowed is None or memory not in allowed:
            raise refused(f"Fargate has no {needs['VCPU']} vCPU with {needs['MEMORY']} MiB of memory.")


def _check_volumes(properties: Params) -> None:
    volumes = {volume.get("name"): volume for volume in properties.get("volumes", [])}
    for mount in properties.get("mountPoints", []):
        if mount.get("sourceVolume") not in volumes:
            raise refused(f"The mount point {mount.get('containerPath')} names no volume: {mount.get('sourceVolume')}.")
        if not str(mount.get("containerPath", "")).startswith("/"):
            raise refused("The containerPath of a mount point is an absolute path.")
    for volume in volumes.values():
        _check_volume(volume)


def _check_volume(volume: dict[str, Any]) -> None:
    efs = volume.get("efsVolumeConfiguration")
    if "s3filesVolumeConfiguration" in volume:
        raise refused("Volumes of S3 Files are not emulated; use EFS.")
    if efs is None:
        return
    if not is_safe_name(efs["fileSystemId"]):
        raise refused(f"'{efs['fileSystemId']}' is no id of a file system.")
    if ".." in str(efs.get("rootDirectory", "/")).split("/"):
        raise refused("The rootDirectory of an EFS volume has no parts that go up.")
    if (efs.get("authorizationConfig") or {}).get("accessPointId"):
        raise refused("EFS access points are not emulated; name a rootDirectory.")


def _check_log(log: Params | None) -> None:
    if log is None:
        return
    group = log.get("options", {}).get("awslogs-group", LOG_GROUP)
    if log["logDriver"] != "awslogs" or group != LOG_GROUP:
        raise refused(f"Jobs log by awslogs into {LOG_GROUP} here, not by {log['logDriver']} into {group}.")
