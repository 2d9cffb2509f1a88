"""A workflow that HealthOmics keeps ready is a definition like any other, without a WDL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from labrelay.model.errors import RefusedInput
from labrelay.model.runs import WorkflowVersion
from labrelay.workflows.bundle import write_bundle
from labrelay.workflows.definition import Definition, load
from labrelay.workflows.healthomics.engine import HealthOmicsEngine, HealthOmicsSettings
from labrelay.workflows.healthomics.lint import lint_for_healthomics
from labrelay.workflows.healthomics.pricing import load_prices
from labrelay.workflows.healthomics.report import run_costs
from labrelay.workflows.inputs import SampleInputs, compose_inputs
from labrelay.workflows.lint import lint
from labrelay.workflows.schema import input_problems, schema_of

from .cloud import ROLE, Cloud
from .conftest import Account, request_of, run_details, uuid_of

TOML = """
name = "germline"
version = "1"
title = "Germline variants by Ready2Run"
ready2run = "9500764"

[inputs.fastqs]
from = "reads.r1"
type = "Array[File]"

[inputs.sample_name]
from = "sample.name"
type = "String"

[inputs.depth]
from = "parameter"
type = "Int"
default = 30
label = "Depth"
"""
TEMPLATE = {"fastqs": {"optional": False}, "sample_name": {"optional": False}, "depth": {"optional": True}}


@pytest.fixture
def definition(tmp_path: Path) -> Definition:
    return defined(tmp_path, TOML)


def defined(folder: Path, text: str) -> Definition:
    (folder / "germline").mkdir(exist_ok=True)
    (folder / "germline" / "definition.toml").write_text(text)
    return load(folder / "germline")


def version_of(definition: Definition, folder: Path) -> tuple[WorkflowVersion, Path]:
    archive = folder / "bundle.zip"
    digest = write_bundle(definition.folder, archive)
    told = definition.model_dump(include={"name", "version", "language", "main"})
    return WorkflowVersion(digest=digest, **told), archive


def engine_of(account: Account, folder: Path) -> HealthOmicsEngine:
    settings = HealthOmicsSettings(
        role_arn="arn:x", output_uri="s3://bucket/runs", download=folder, run_group_id="33", cache_id="44"
    )
    return HealthOmicsEngine(account, settings)  # type: ignore[arg-type]


def composed(definition: Definition) -> dict[str, Any]:
    return compose_inputs(definition, [SampleInputs(name="S1", id="smp_1", r1=("s3://bucket/a.fastq.gz",))], None, {})


def test_its_inputs_are_composed_and_checked_by_the_types_that_it_declares(definition: Definition) -> None:
    inputs = composed(definition)
    assert inputs["germline.depth"] == 30
    schema = schema_of(definition)
    assert schema["required"] == ["germline.fastqs", "germline.sample_name"]
    assert schema["properties"]["germline.depth"] == {"type": "integer", "description": "Depth", "default": 30}
    assert input_problems(schema, inputs) == []
    assert [p.code for p in input_problems(schema, inputs | {"germline.depth": "deep"})] == ["INPUT_WRONG_TYPE"]


def test_nothing_is_wrong_with_it_anywhere(definition: Definition) -> None:
    assert lint(definition.folder) == lint_for_healthomics(definition.folder) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('type = "Int"', "", "inputs.depth.type: a Ready2Run workflow needs the type"),
        ('type = "Int"', 'type = "Integer"', "inputs.depth.type"),
        ('ready2run = "9500764"', 'language = "READY2RUN"\nmain = "definition.toml"', "say `ready2run` with"),
        ('ready2run = "9500764"', 'ready2run = "all of them"', "ready2run"),
        ('ready2run = "9500764"', "ready2run = 9500764", "ready2run"),
    ],
)
def test_a_definition_that_contradicts_itself_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(RefusedInput, match=said):
        defined(tmp_path, TOML.replace(old, new))


def test_it_is_started_by_its_id_with_its_own_names_and_nothing_is_published(
    account: Account, definition: Definition, tmp_path: Path
) -> None:
    version, archive = version_of(definition, tmp_path)
    request = request_of(version, archive, composed(definition))
    look = {"id": "9500764", "type": "READY2RUN"}
    account.says("omics", "get_workflow", {"status": "ACTIVE", "parameterTemplate": TEMPLATE}, look)
    asked = {
        "workflowId": "9500764",
        "workflowType": "READY2RUN",
        "requestId": request.token,
        "name": request.token,
        "roleArn": "arn:x",
        "outputUri": "s3://bucket/runs",
        "parameters": {"fastqs": ["s3://bucket/a.fastq.gz"], "sample_name": "S1", "depth": 30},
        "retentionMode": "RETAIN",
        "logLevel": "ALL",
        "runGroupId": "33",
        "tags": {"labrelay:experiment": "exp_1", "labrelay:run": request.run_id, "labrelay:token": request.token},
    }
    account.says("omics", "start_run", {"id": "7", "uuid": uuid_of(7)}, asked)
    assert engine_of(account, tmp_path).submit(request) == f"7/{uuid_of(7)}"


def test_a_definition_that_does_not_fit_the_ready_workflow_is_refused_before_the_run(
    account: Account, definition: Definition, tmp_path: Path
) -> None:
    version, archive = version_of(definition, tmp_path)
    template = {"fastqs": {"optional": False}, "depth": {"optional": True}, "reference": {"optional": False}}
    account.says("omics", "get_workflow", {"status": "ACTIVE", "parameterTemplate": template})
    with pytest.raises(RefusedInput) as refused:
        engine_of(account, tmp_path).submit(request_of(version, archive, composed(definition)))
    assert [problem.message.partition(":")[0] for problem in refused.value.problems] == [
        "inputs.reference",
        "inputs.sample_name",
    ]


def test_an_id_that_there_is_not_is_refused_in_one_sentence_as_the_emulator_refuses_all(
    cloud: Cloud, definition: Definition, tmp_path: Path
) -> None:
    version, archive = version_of(definition, tmp_path)
    with pytest.raises(RefusedInput) as refused:
        cloud.engine.submit(request_of(version, archive, composed(definition)))
    [problem] = refused.value.problems
    assert problem.code == "READY2RUN_UNKNOWN"
    assert problem.message.startswith(f"ready2run: {cloud.aws.endpoint_url} has no Ready2Run workflow 9500764; ")
    omics = cloud.aws.client("omics")
    assert omics.list_workflows(type="READY2RUN")["items"] == []
    asked = {"workflowId": "9500764", "workflowType": "READY2RUN", "roleArn": ROLE, "outputUri": "s3://b/p"}
    with pytest.raises(omics.exceptions.ResourceNotFoundException, match="The Ready2Run workflow 9500764"):
        omics.start_run(**asked, storageType="DYNAMIC")


def test_its_price_is_one_a_run_and_not_made_up() -> None:
    run = run_details(1, "COMPLETED", workflowType="READY2RUN", workflowId="9500764")
    (cost,) = run_costs(run, [], load_prices("us-east-1"))
    assert (cost.what, cost.quantity, cost.unit, cost.usd) == ("Ready2Run workflow 9500764", 1, "run", None)
