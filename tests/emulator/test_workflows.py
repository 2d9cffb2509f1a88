from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from emulated_runs import SAY, TWO, RunLab, archive
from emulated_storage import forget_objects

from labrelay.emulator.operation import Failure
from labrelay.emulator.service import WORKERS
from labrelay.workflows.bundle import file_digest


@pytest.fixture
def lab(tmp_path: Path, s3_url: str) -> RunLab:
    forget_objects(s3_url)
    return RunLab(tmp_path / "data", s3_url)


def made(lab: RunLab, **asked: Any) -> Any:
    key = lab.call("CreateWorkflow", **asked)["id"]
    WORKERS["definitions"](lab.service)
    return lab.call("GetWorkflow", id=key)


def test_a_workflow_is_creating_and_then_active_with_its_parameters(lab: RunLab, tmp_path: Path) -> None:
    zipped = archive(SAY)
    created = lab.call("CreateWorkflow", definitionZip=zipped, name="tiny", tags={"a": "b"})
    assert (created["status"], created["tags"]) == ("CREATING", {"a": "b"})
    WORKERS["definitions"](lab.service)
    found = lab.call("GetWorkflow", id=created["id"])
    assert (found["status"], found["engine"], found["main"], found["type"]) == ("ACTIVE", "WDL", "main.wdl", "PRIVATE")
    assert found["parameterTemplate"] == {
        "script": {"description": "What the task does.", "optional": True},
        "given": {"optional": True},
    }
    (tmp_path / "same.zip").write_bytes(zipped)
    assert found["digest"] == file_digest(tmp_path / "same.zip")
    events = [detail["status"] for kind, _, detail in lab.events if kind == "Workflow Status Change"]
    assert events == ["creation success"]


@pytest.mark.parametrize(
    ("zipped", "words"),
    [
        (archive(SAY.replace("~{script}", "~{no_such_function(script)}")), "(main.wdl Ln 13 Col 7) No such function"),
        (archive("version 1.1\nworkflow {"), "(main.wdl Ln 2"),
        (archive(SAY, "a.wdl", **{"b.wdl": SAY}), "no main file"),
        (archive("hello", "notes.txt"), "no main file"),
        (archive(SAY, "../main.wdl"), "not a safe relative path"),
        (archive('version 1.1\nimport "/etc/passwd" as p\nworkflow w { }\n'), "outside of the definition"),
        (b"this is no zip", "not a zip"),
    ],
    ids=["unknown function", "syntax", "two mains", "no workflow", "path outside", "import outside", "no zip"],
)
def test_a_definition_that_cannot_run_fails_and_says_where(lab: RunLab, zipped: bytes, words: str) -> None:
    found = made(lab, definitionZip=zipped)
    assert found["status"] == "FAILED"
    assert words in found["statusMessage"]
    with pytest.raises(Failure, match="only an ACTIVE one can be run"):
        lab.start(found["id"])
    assert list((lab.folder / "workflows").rglob("passwd")) == []


def test_a_zip_bomb_is_refused_before_it_fills_the_disk(lab: RunLab) -> None:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("main.wdl", b"\0" * 250_000_000)
    assert "unpacks to more than" in made(lab, definitionZip=out.getvalue())["statusMessage"]
    assert not list((lab.folder / "workflows").rglob("*.wdl"))


def test_a_definition_comes_from_s3_too(lab: RunLab) -> None:
    found = made(lab, definitionUri=lab.put("wf/main.zip", archive(SAY)))
    assert found["status"] == "ACTIVE"
    missing = made(lab, definitionUri="s3://lab/wf/none.zip")
    assert (missing["status"], "s3://lab/wf/none.zip" in missing["statusMessage"]) == ("FAILED", True)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "exactly one"),
        ({"definitionZip": archive(SAY), "definitionUri": "s3://lab/a.zip"}, "exactly one"),
        ({"definitionUri": "https://example.com/a.zip"}, "no s3:// URI"),
    ],
)
def test_a_workflow_has_one_source_that_can_be_reached(lab: RunLab, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(Failure, match=words):
        lab.call("CreateWorkflow", **asked)


def test_a_repeated_request_makes_one_workflow_and_a_used_token_is_refused_for_another(lab: RunLab) -> None:
    asked = {"definitionZip": archive(SAY), "requestId": "one"}
    assert lab.call("CreateWorkflow", **asked) == lab.call("CreateWorkflow", **asked)
    assert len(lab.call("ListWorkflows")["items"]) == 1
    with pytest.raises(Failure, match="ConflictException"):
        lab.call("CreateWorkflow", definitionZip=archive(TWO), requestId="one")


def test_nextflow_is_kept_with_the_parameters_of_its_schema(lab: RunLab) -> None:
    schema = '{"$defs": {"io": {"required": ["input"], "properties": {"input": {"description": "d"}, "n": {}}}}}'
    found = made(lab, definitionZip=archive("workflow { }", "main.nf", **{"nextflow_schema.json": schema}))
    assert (found["status"], found["engine"]) == ("ACTIVE", "NEXTFLOW")
    assert found["parameterTemplate"] == {"input": {"description": "d", "optional": False}, "n": {"optional": True}}


def test_workflows_are_listed_by_name_and_by_pages(lab: RunLab) -> None:
    keys = [lab.workflow(name=name) for name in ("a", "b", "a")]
    assert [one["id"] for one in lab.call("ListWorkflows", name="a")["items"]] == [keys[0], keys[2]]
    page = lab.call("ListWorkflows", maxResults=2)
    rest = lab.call("ListWorkflows", maxResults=2, startingToken=page["nextToken"])
    assert [one["id"] for one in page["items"] + rest["items"]] == keys
    assert "nextToken" not in rest
    assert lab.call("ListWorkflows", type="READY2RUN")["items"] == []
    with pytest.raises(Failure, match="startingToken"):
        lab.call("ListWorkflows", startingToken="made up")


def test_a_workflow_is_changed_and_deleted(lab: RunLab) -> None:
    key = lab.workflow()
    lab.call("UpdateWorkflow", id=key, name="other", description="words")
    found = lab.call("GetWorkflow", id=key)
    assert (found["name"], found["description"]) == ("other", "words")
    lab.call("DeleteWorkflow", id=key)
    for operation in ("GetWorkflow", "UpdateWorkflow", "DeleteWorkflow"):
        with pytest.raises(Failure, match="ResourceNotFoundException"):
            lab.call(operation, id=key)
    assert list((lab.folder / "workflows").iterdir()) == []


def test_the_definition_and_the_readme_are_exported_to_where_they_can_be_read(lab: RunLab) -> None:
    zipped = archive(SAY)
    key = lab.workflow(definitionZip=zipped, readmeMarkdown="# Tiny\n")
    found = lab.call("GetWorkflow", id=key, export=["DEFINITION", "README"])
    assert lab.read(found["definition"]) == zipped
    assert lab.read(found["readme"]) == b"# Tiny\n"
    assert "definition" not in lab.call("GetWorkflow", id=key)


def test_versions_do_not_change_and_inherit_nothing(lab: RunLab) -> None:
    key = lab.workflow(description="of the workflow")
    created = lab.call("CreateWorkflowVersion", workflowId=key, versionName="v2", definitionZip=archive(TWO))
    assert created["arn"].endswith(f"workflow/{key}/version/v2")
    WORKERS["definitions"](lab.service)
    found = lab.call("GetWorkflowVersion", workflowId=key, versionName="v2")
    assert (found["status"], set(found["parameterTemplate"])) == ("ACTIVE", {"given", "word"})
    assert "description" not in found
    with pytest.raises(Failure, match="ConflictException"):
        lab.call("CreateWorkflowVersion", workflowId=key, versionName="v2", definitionZip=archive(SAY))
    assert [one["versionName"] for one in lab.call("ListWorkflowVersions", workflowId=key)["items"]] == ["v2"]
    with pytest.raises(Failure, match="missing: given"):
        lab.start(key, workflowVersionName="v2")
    lab.call("DeleteWorkflowVersion", workflowId=key, versionName="v2")
    lab.call("CreateWorkflowVersion", workflowId=key, versionName="v2", definitionZip=archive(SAY))
