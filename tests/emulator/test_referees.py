"""The AWS CLI and AWS's own tools use the emulator unchanged, with nothing but the lines that it prints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from emulated import Emulated
from emulated_runs import ENDED, ROLE, TWO, archive, until
from referees import Referee, referee

from labrelay.workflows.local.engine import LocalEngine

GROUP = "/aws/omics/WorkflowLog"


@pytest.fixture(autouse=True, scope="module")
def no_engine_is_left(emulator: Emulated) -> Iterator[None]:
    """An engine outlives its emulator by design; one of a test does not outlive the test."""
    yield
    LocalEngine(emulator.folder / "engine").stop()


@pytest.fixture(scope="module")
def aws(emulator: Emulated) -> Referee:
    return referee("aws", emulator.environment)


@pytest.fixture(scope="module")
def completed(aws: Referee, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A run that the CLI alone made: bucket, input, workflow and run."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "a.txt").write_text("abc\n")
    (folder / "main.zip").write_bytes(archive(TWO))
    aws.ask("s3", "mb", "s3://from-the-cli")
    aws.ask("s3", "cp", str(folder / "a.txt"), "s3://from-the-cli/in/a.txt")
    made = aws.json("omics", "create-workflow", "--name", "by-cli", "--definition-zip", f"fileb://{folder}/main.zip")
    aws.ask("omics", "wait", "workflow-active", "--id", made["id"])
    words = ["--workflow-id", made["id"], "--role-arn", ROLE, "--output-uri", "s3://from-the-cli/out"]
    given = json.dumps({"given": "s3://from-the-cli/in/a.txt", "word": "end"})
    run = aws.json("omics", "start-run", *words, "--name", "by-cli", "--parameters", given, "--tags", "lab=cli")
    return ended(aws, run["id"])


def ended(aws: Referee, run: str) -> dict[str, Any]:
    """Return a run as it ended; the CLI's own waiter would look every thirty seconds."""
    found: dict[str, Any] = until(lambda: aws.json("omics", "get-run", "--id", run), lambda run: run["status"] in ENDED)
    return found


def test_the_cli_sees_the_run_its_tasks_and_its_tags(aws: Referee, completed: dict[str, Any]) -> None:
    assert (completed["status"], completed["name"], completed["tags"]) == ("COMPLETED", "by-cli", {"lab": "cli"})
    listed = aws.json("omics", "list-runs", "--name", "by-cli")["items"]
    assert [run["id"] for run in listed] == [completed["id"]]
    # One item a page: the CLI goes on by the token.
    tasks = aws.json("omics", "list-run-tasks", "--id", completed["id"], "--page-size", "1")["items"]
    assert [task["name"] for task in tasks] == ["first", "second"]
    name = aws.ask("omics", "get-run", "--id", completed["id"], "--query", "name", "--output", "text")
    assert name == "by-cli\n"


def test_the_cli_brings_the_outputs_and_reads_the_logs(aws: Referee, completed: dict[str, Any], tmp_path: Path) -> None:
    aws.ask("s3", "cp", "--recursive", completed["runOutputUri"], str(tmp_path / "out"))
    assert (tmp_path / "out/out/result/result.txt").read_text() == "ABC\nend\n"
    outputs = json.loads((tmp_path / "out/logs/outputs.json").read_text())
    assert outputs["pair.result"] == f"{completed['runOutputUri']}/out/result/result.txt"
    stream = f"run/{completed['id']}/engine"
    said = aws.json("logs", "get-log-events", "--log-group-name", GROUP, "--log-stream-name", stream)
    assert any("workflow start" in event["message"] for event in said["events"])


def test_the_cli_gets_the_modelled_error(aws: Referee) -> None:
    said = aws.ask("omics", "get-run", "--id", "9999999", code=255)
    assert "ResourceNotFoundException" in said
    assert "GetRun" in said


def test_the_cli_makes_and_finds_stores(aws: Referee) -> None:
    store = aws.json("omics", "create-sequence-store", "--name", "by-cli", "--tags", "lab=cli")
    assert aws.json("omics", "get-sequence-store", "--id", store["id"])["name"] == "by-cli"
    assert aws.json("omics", "list-tags-for-resource", "--resource-arn", store["arn"])["tags"] == {"lab": "cli"}
    listed = aws.json("omics", "list-sequence-stores", "--filter", "name=by-cli")["sequenceStores"]
    assert [each["id"] for each in listed] == [store["id"]]
    aws.ask("omics", "delete-sequence-store", "--id", store["id"])
    assert "ResourceNotFoundException" in aws.ask("omics", "get-sequence-store", "--id", store["id"], code=255)


def test_rerun_starts_the_run_once_more(emulator: Emulated, aws: Referee, completed: dict[str, Any]) -> None:
    tools = referee("aws-healthomics-tools", emulator.environment)
    tools.ask("rerun", completed["id"], "--name", "again")
    listed = aws.json("omics", "list-runs", "--name", "again")["items"]
    assert len(listed) == 1
    again = ended(aws, listed[0]["id"])
    assert again["status"] == "COMPLETED"
    assert again["parameters"] == completed["parameters"]
    assert again["workflowId"] == completed["workflowId"]
