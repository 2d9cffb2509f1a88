"""What HealthOmics would refuse is found in the definition's folder, with its line, before anything is paid for."""

from __future__ import annotations

from pathlib import Path

import pytest

from labrelay.model.problem import Severity
from labrelay.workflows.healthomics.lint import input_problems, lint_for_healthomics

from .conftest import WDL


def findings(folder: Path, wdl: str, **others: str) -> dict[str, tuple[Severity, str | None, int | None]]:
    (folder / "main.wdl").write_text(wdl)
    for name, text in others.items():
        (folder / f"{name}.wdl").write_text(text)
    return {p.code: (p.severity, p.path, p.line) for p in lint_for_healthomics(folder) if p.code != "WDL_DOUBTFUL"}


def test_a_definition_that_says_all_that_is_needed_gives_no_finding(tmp_path: Path) -> None:
    assert findings(tmp_path, WDL) == {}


def test_a_task_without_an_image_is_an_error_and_one_without_resources_a_warning(tmp_path: Path) -> None:
    found = findings(tmp_path, WDL.replace('container: "quay.io/example/count:1"  cpu: 1  memory: "1 GiB"', ""))
    assert found == {
        "HEALTHOMICS_NO_IMAGE": (Severity.ERROR, "main.wdl", 8),
        "HEALTHOMICS_NO_RESOURCES": (Severity.WARNING, "main.wdl", 8),
    }


@pytest.mark.parametrize(
    ("asked", "fits"),
    [
        ('cpu: 192  memory: "1536 GiB"', True),
        ('cpu: 1000  memory: "1 GiB"', False),
        ('cpu: "193"  memory: "1 GiB"', False),
        ('cpu: 2  memory: "1600 GB"', True),
        ('cpu: 2  memory: "1700 GB"', False),
        ('cpu: 2  memory: "2TiB"', False),
        ('cpu: depth * 1000  memory: "~{depth} TiB"', True),  # known when it runs
    ],
)
def test_a_task_that_no_instance_can_hold_is_refused_before_it_is_paid_for(
    tmp_path: Path, asked: str, fits: bool
) -> None:
    found = findings(tmp_path, WDL.replace('cpu: 1  memory: "1 GiB"', asked))
    assert found == ({} if fits else {"HEALTHOMICS_TOO_LARGE": (Severity.ERROR, "main.wdl", 8)})


def test_tasks_of_imported_files_are_looked_at_too(tmp_path: Path) -> None:
    task = "task bare {\n  command <<< true >>>\n  output { Int x = 1 }\n  runtime { cpu: 1 memory: '1 GiB' }\n}\n"
    tasks = f"version 1.1\n{task}"
    wdl = WDL.replace("workflow tiny {", 'import "tasks.wdl" as t\nworkflow tiny {\n  call t.bare')
    assert findings(tmp_path, wdl, tasks=tasks) == {"HEALTHOMICS_NO_IMAGE": (Severity.ERROR, "tasks.wdl", 2)}


@pytest.mark.parametrize(
    "command", ["curl -O x", "set -e\n  wget x", "true && git  clone x", "aws s3 cp a b", "pip install x"]
)
def test_commands_that_reach_for_the_network_are_warned_of(tmp_path: Path, command: str) -> None:
    found = findings(tmp_path, WDL.replace("wc -l", f"{command}\n wc -l"))
    assert found == {"HEALTHOMICS_NETWORK": (Severity.WARNING, "main.wdl", 8)}


def test_words_in_comments_and_names_are_no_commands(tmp_path: Path) -> None:
    assert findings(tmp_path, WDL.replace("wc -l", "# curl the file first\n ./curling x\n wc -l")) == {}


def test_wdl_that_the_service_does_not_run_is_refused(tmp_path: Path) -> None:
    found = findings(tmp_path, WDL.replace("version 1.1", "version 1.2"))
    assert found == {"HEALTHOMICS_WDL_VERSION": (Severity.ERROR, "main.wdl", 1)}


def test_what_is_wrong_anywhere_is_said_too(tmp_path: Path) -> None:
    assert findings(tmp_path, "version 1.1\nworkflow {").keys() == {"WDL_SYNTAX"}


def test_every_file_of_the_inputs_has_to_be_a_uri() -> None:
    file = {"type": "string", "format": "file-path"}
    schema = {
        "properties": {
            "w.reads": {"type": "array", "items": file},
            "w.maybe": {"anyOf": [file, {"type": "null"}]},
            "w.pair": {"type": "object", "properties": {"left": file, "right": {"type": "string"}}},
            "w.by": {"type": "object", "additionalProperties": file},
            "w.text": {"type": "string"},
        }
    }
    good = {"w.reads": ["s3://b/k", "omics://1.storage.x/1/readSet/2"], "w.maybe": None, "w.text": "/etc"}
    assert input_problems(schema, good) == []
    bad = {
        "w.reads": ["s3://b/k", "/x"],
        "w.maybe": "ftp://x/y",
        "w.pair": {"left": "s3://b", "right": "r"},
        "w.by": {"k": ""},
    }
    told = [problem.message.partition(",")[0] for problem in input_problems(schema, bad)]
    assert told == ["w.reads[1] is /x", "w.maybe is ftp://x/y", "w.pair/left is s3://b", "w.by/k is "]
