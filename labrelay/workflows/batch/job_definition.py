"""Job definitions: registered once for each content, found again by a name that follows from it."""

from __future__ import annotations

import math
from typing import Any

from labrelay.model.canonical import digest
from labrelay.model.errors import EngineFailed
from labrelay.stores.aws import Aws, aws_errors
from labrelay.workflows.batch.order import PREFIX
from labrelay.workflows.batch.settings import BatchSettings
from labrelay.workflows.definition import COMMAND, Definition

WORK = "/labrelay-work"
PROGRAM = ["python", "-m", "labrelay.workflows.batch.job", "Ref::order"]
TAG = "labrelay:definition"
CPUS, MEMORY_GIB, IMAGE = "LABRELAY_JOB_CPUS", "LABRELAY_JOB_MEMORY_GIB", "LABRELAY_JOB_IMAGE"


def definition_for(definition: Definition, settings: BatchSettings, region: str) -> dict[str, Any]:
    """Return what RegisterJobDefinition is asked for runs of a workflow; its name follows from all the rest."""
    cpus, memory_gib, minutes = _resources(definition, settings)
    container: dict[str, Any] = {
        "image": settings.image,
        "command": PROGRAM,
        "jobRoleArn": settings.role_arn,
        "resourceRequirements": [
            {"type": "VCPU", "value": str(math.ceil(cpus))},
            {"type": "MEMORY", "value": str(math.ceil(1024 * memory_gib))},
        ],
        # A container sees all of its machine; what is its own it has to be told.
        "environment": [
            {"name": CPUS, "value": str(math.ceil(cpus))},
            {"name": MEMORY_GIB, "value": f"{memory_gib:g}"},
            {"name": IMAGE, "value": settings.image},
            # On EC2 Batch does not set it.
            {"name": "AWS_REGION", "value": region},
            {"name": "AWS_DEFAULT_REGION", "value": region},
        ],
    }
    if settings.file_system is not None:
        volume = {"fileSystemId": settings.file_system, "rootDirectory": "/", "transitEncryption": "ENABLED"}
        container["environment"].append({"name": "LABRELAY_WORK", "value": WORK})
        container |= {
            "volumes": [{"name": "work", "efsVolumeConfiguration": volume}],
            "mountPoints": [{"sourceVolume": "work", "containerPath": WORK, "readOnly": False}],
        }
    asked: dict[str, Any] = {
        "type": "container",
        "platformCapabilities": ["EC2"],
        "containerProperties": container,
        "retryStrategy": {
            "attempts": settings.host_losses + 1,
            # As the Batch guide words it for Spot; whatever else ended the container would do so again.
            "evaluateOnExit": [
                {"onStatusReason": "Host EC2*", "action": "RETRY"},
                {"onReason": "*", "action": "EXIT"},
            ],
        },
        "timeout": {"attemptDurationSeconds": max(60, math.ceil(60 * minutes))},
        "propagateTags": True,
    }
    name = f"{PREFIX}{digest([asked])[:32]}"
    return {"jobDefinitionName": name, "tags": {TAG: definition.name}} | asked


def _resources(definition: Definition, settings: BatchSettings) -> tuple[float, float, float]:
    """Return vCPUs, GiB and minutes of a job: as the definition says, which for a command it always does."""
    told = definition.resources
    said = told.model_fields_set | ({"cpus", "memory_gib"} if definition.language == COMMAND else set())
    return (
        told.cpus if "cpus" in said else settings.cpus,
        told.memory_gib if "memory_gib" in said else settings.memory_gib,
        told.minutes or settings.minutes,
    )


class JobDefinitions:
    """Finds or registers job definitions, and remembers what was found."""

    def __init__(self, aws: Aws) -> None:
        """Take the way to Batch; nothing is asked before the first call."""
        self._aws = aws
        self._known: dict[str, str] = {}

    def arn(self, asked: dict[str, Any]) -> str:
        """Return the ARN of the definition, which is registered if no active one has its name. Cost: two calls at most.

        Raises:
            LabrelayError: Batch refused.
        """
        name = str(asked["jobDefinitionName"])
        if name not in self._known:
            client = self._aws.client("batch")
            with aws_errors(f"look for the job definition {name}", EngineFailed):
                found = client.describe_job_definitions(jobDefinitionName=name, status="ACTIVE")["jobDefinitions"]
            if found:
                self._known[name] = str(max(found, key=lambda each: int(each["revision"]))["jobDefinitionArn"])
            else:
                with aws_errors(f"register the job definition {name}", EngineFailed):
                    self._known[name] = str(client.register_job_definition(**asked)["jobDefinitionArn"])
        return self._known[name]

    def forget(self, asked: dict[str, Any]) -> None:
        """Forget a definition that Batch would not take, so that it is looked for again."""
        self._known.pop(str(asked["jobDefinitionName"]), None)
