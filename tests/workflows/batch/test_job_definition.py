"""What a job definition says follows from the workflow and the settings, and its name from what it says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from labrelay.workflows.batch.job_definition import definition_for
from labrelay.workflows.batch.settings import BatchSettings
from labrelay.workflows.definition import Definition

SETTINGS = BatchSettings(
    queues={"low": "q", "normal": "q", "high": "q"},
    image="labrelay:1",
    role_arn="arn:aws:iam::111122223333:role/jobs",
    work_uri="s3://lab/runs/batch",
    download=Path("batch"),
    cpus=2,
    memory_gib=4,
)


def definition(**values: Any) -> Definition:
    said = {"name": "tiny", "version": "1", "title": "Tiny", "workflow": "tiny", "folder": Path("tiny"), **values}
    return Definition.model_validate(said)


def machine(asked: dict[str, Any]) -> dict[str, str]:
    return {each["type"]: each["value"] for each in asked["containerProperties"]["resourceRequirements"]}


def variables(asked: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in asked["containerProperties"]["environment"]}


def test_a_job_gets_what_its_definition_says_and_else_what_the_settings_say() -> None:
    assert machine(definition_for(definition(), SETTINGS, "eu-central-1")) == {"VCPU": "2", "MEMORY": "4096"}
    asked = definition_for(definition(resources={"cpus": 8, "minutes": 0.5}), SETTINGS, "eu-central-1")
    assert machine(asked) == {"VCPU": "8", "MEMORY": "4096"}
    assert asked["timeout"] == {"attemptDurationSeconds": 60}, "Batch takes no less"
    command = definition(language="COMMAND", command=("true",))
    assert machine(definition_for(command, SETTINGS, "eu-central-1")) == {"VCPU": "1", "MEMORY": "1024"}


def test_a_container_is_told_what_of_its_machine_is_its_own() -> None:
    asked = definition_for(definition(resources={"cpus": 3, "memory_gib": 1.5}), SETTINGS, "eu-central-1")
    assert variables(asked) == {
        **{"LABRELAY_JOB_CPUS": "3", "LABRELAY_JOB_MEMORY_GIB": "1.5", "LABRELAY_JOB_IMAGE": "labrelay:1"},
        **{"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1"},
    }


def test_only_a_lost_host_begins_a_job_again() -> None:
    strategy = definition_for(definition(), SETTINGS, "eu-central-1")["retryStrategy"]
    assert strategy["attempts"] == 3
    assert [rule["action"] for rule in strategy["evaluateOnExit"]] == ["RETRY", "EXIT"]


def test_work_folders_lie_on_a_file_system_where_there_is_one() -> None:
    asked = definition_for(definition(), replace(SETTINGS, file_system="fs-1"), "eu-central-1")
    (mount,) = asked["containerProperties"]["mountPoints"]
    assert variables(asked)["LABRELAY_WORK"] == mount["containerPath"]
    assert "volumes" not in definition_for(definition(), SETTINGS, "eu-central-1")["containerProperties"]


def test_the_same_content_has_the_same_name_whatever_the_workflow_is_called() -> None:
    name = definition_for(definition(), SETTINGS, "eu-central-1")["jobDefinitionName"]
    assert definition_for(definition(name="other"), SETTINGS, "eu-central-1")["jobDefinitionName"] == name
    assert (
        definition_for(definition(), replace(SETTINGS, image="labrelay:2"), "eu-central-1")["jobDefinitionName"] != name
    )
