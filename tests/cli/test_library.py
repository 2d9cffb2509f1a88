"""References, workflows and runs on files of one's own, by the commands that a person types."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from shell import Said
from tiny_run import TinyLab

Command = Callable[..., Said]

THIRD_PARTY = """version 1.0
struct Part { File file  String label }
workflow join {
  input { Array[Part] parts  String greeting = "hello"  File? extra  Int copies = 1 }
  call glue { input: parts = parts, greeting = greeting, extra = extra, copies = copies }
  output { File text = glue.text }
}
task glue {
  input { Array[Part] parts  String greeting  File? extra  Int copies }
  command {
    echo "~{greeting} ~{copies}" > text.txt
    cat ~{parts[0].file} ~{extra} >> text.txt
  }
  output { File text = "text.txt" }
  runtime { docker: "example/none" }
}
"""
COMMAND = """name = "sorted_words"
version = "1"
title = "Sorted words"
command = ["sh", "-c", 'echo sorting >&2; sort "$@"', "sh", ["-k", "{key}"], "{words}"]
stdout = "sorted.txt"
[inputs.words]
from = "parameter"
type = "File"
[inputs.key]
from = "parameter"
type = "String?"
[outputs.words]
path = "sorted.txt"
"""


@pytest.fixture
def third_party(tmp_path: Path) -> Path:
    folder = tmp_path / "Join files"
    folder.mkdir()
    (folder / "join.wdl").write_text(THIRD_PARTY)
    (tmp_path / "part.txt").write_text("part\n")
    (tmp_path / "extra.txt").write_text("extra\n")
    return folder


def test_a_reference_is_added_once_and_listed(fresh_labrelay: Command, tmp_path: Path) -> None:
    fasta = tmp_path / "tiny.fasta"
    fasta.write_bytes(b">chr1 tiny\r\nACGTACGTAC\r\nGGTT\r\n")
    said = fresh_labrelay("reference", "add", fasta, "--name", "tiny")
    assert said.code == 0, said.err
    assert "1 sequence, 14 bases" in said.out
    again = fresh_labrelay("reference", "add", fasta, "--name", "tiny", "--json")
    (row,) = fresh_labrelay("reference", "list", "--json").json
    assert row["id"] == again.json["id"]
    assert (row["name"], row["sequences"], row["bases"]) == ("tiny", 1, 14)


def test_workflows_are_listed_with_where_they_come_from(fresh_labrelay: Command) -> None:
    rows = {row["name"]: row for row in fresh_labrelay("workflow", "list", "--json").json}
    assert rows["viral_variants"]["from"] == "labrelay"
    assert rows["count_reads"]["from"] == "this home"


def test_inputs_come_as_a_table_a_schema_and_a_template(fresh_labrelay: Command) -> None:
    table = fresh_labrelay("workflow", "inputs", "count_reads").out
    assert "Seconds to wait before counting." in table
    assert fresh_labrelay("workflow", "inputs", "count_reads", "--json").json["required"] == [
        "count_reads.r1",
        "count_reads.r2",
        "count_reads.sample",
    ]
    template = json.loads(fresh_labrelay("workflow", "inputs", "count_reads", "--template").out)
    assert template["count_reads.pause"] == 0


def test_a_workflow_with_errors_is_not_added_and_lint_says_each(fresh_labrelay: Command, third_party: Path) -> None:
    (third_party / "join.wdl").write_text(THIRD_PARTY.replace("copies = copies }", "copies = greeting, no = 1 }"))
    said = fresh_labrelay("workflow", "lint", third_party)
    assert said.code == 1
    assert "join.wdl:" in said.out
    assert fresh_labrelay("workflow", "add", third_party).code == 2
    assert "join" not in fresh_labrelay("workflow", "list").out


def test_lint_for_healthomics_says_what_only_that_engine_refuses(fresh_labrelay: Command, third_party: Path) -> None:
    main = third_party / "join.wdl"
    main.write_text(re.sub(r"(container|docker): \S+", "", main.read_text()))
    assert fresh_labrelay("workflow", "lint", third_party).code == 0
    said = fresh_labrelay("workflow", "lint", third_party, "--for", "healthomics")
    assert said.code == 1
    assert "HEALTHOMICS_NO_IMAGE" in said.out
    assert "TASK_WITHOUT_CONTAINER" not in said.out


def test_a_third_party_workflow_runs_unmodified_on_files_of_ones_own(
    fresh: TinyLab, fresh_labrelay: Command, third_party: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(third_party.parent)
    name = fresh_labrelay("workflow", "add", third_party, "--json").json["name"]
    inputs = third_party.parent / "in.json"
    inputs.write_text(json.dumps({"parts": [{"file": "part.txt", "label": "x"}], "join.extra": "extra.txt"}))
    # `greeting` is text, so that 5 stays text; `copies` is a number
    asked = ("submit", name, "--inputs", inputs, "--set", "greeting=5", "--set", "copies=2", "--wait", "--json")
    said = fresh_labrelay(*asked)
    assert said.code == 0, said.out + said.err
    (run,) = said.json["runs"]
    assert (run["state"], said.json["new"]) == ("COMPLETE", 1)
    assert (Path(run["result"]) / "text.txt").read_text() == "5 2\npart\nextra\n"
    told = fresh_labrelay("runs", "show", run["run"], "--json").json
    assert [Path(file["key"]).name for file in told["inputs"]] == ["extra.txt", "part.txt"]
    assert fresh_labrelay(*asked).json["new"] == 0
    assert [row["experiment"] for row in fresh_labrelay("results", "list", "--json").json] == ["ad-hoc"]

    # another content in the same place is another run; so is one that is asked for with force
    (third_party.parent / "part.txt").write_text("changed\n")
    changed = fresh_labrelay(*asked)
    assert (changed.json["new"], changed.json["runs"][0]["run"] != run["run"]) == (1, True)
    forced = fresh_labrelay(*asked, "--force")
    assert (forced.json["new"], forced.json["runs"][0]["state"]) == (1, "COMPLETE")
    assert len({row["result"] for each in (said, changed, forced) for row in each.json["runs"]}) == 3


def test_lineage_of_a_result_on_own_files_leads_to_them(
    fresh_labrelay: Command, third_party: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(third_party.parent)
    name = fresh_labrelay("workflow", "add", third_party, "--json").json["name"]
    inputs = third_party.parent / "in.json"
    inputs.write_text(json.dumps({"parts": [{"file": "part.txt", "label": "x"}]}))
    (run,) = fresh_labrelay("submit", name, "--inputs", inputs, "--json").json["runs"]
    up = fresh_labrelay("lineage", run["run"], "--json").json
    assert str(third_party.parent / "part.txt") in {node["name"] for node in up["nodes"]}
    fresh_labrelay("runs", "cancel", run["run"])


def test_a_pipeline_is_added_with_its_profile_and_its_inputs_are_listed(
    fresh_labrelay: Command, tmp_path: Path
) -> None:
    folder, config = tmp_path / "counted", tmp_path / "lab.config"
    folder.mkdir()
    config.write_text("process.cpus = 1\n")
    (folder / "main.nf").write_text("params.depth = 10\nparams.input = null\nworkflow { }\n")
    said = fresh_labrelay("workflow", "add", folder, "--profile", "a, b", "-c", config)
    assert said.code == 0, said.err
    assert "NEXTFLOW_PUBLISHES_NOTHING" in said.out
    assert "counted 0 was added" in said.out
    rows = {row["name"]: row for row in fresh_labrelay("workflow", "list", "--json").json}
    text = Path(rows["counted"]["folder"], "definition.toml").read_text()
    assert 'profile = ["a", "b"]' in text
    assert 'config = ["added_config/lab.config"]' in text
    shown = fresh_labrelay("workflow", "inputs", "counted", "--template").json
    assert shown == {"depth": 10, "input": "any value (optional)"}
    gone = fresh_labrelay("workflow", "add", "nf-core/rnaseq")
    assert (gone.code, "say the tag too" in gone.err) == (2, True)


def test_a_command_is_linted_added_and_run_on_a_file_of_ones_own(
    fresh_labrelay: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "sorted"
    folder.mkdir()
    (folder / "definition.toml").write_text(COMMAND)
    (tmp_path / "words.txt").write_text("b\na\n")
    linted = fresh_labrelay("workflow", "lint", folder)
    assert (linted.code, "TASK_WITHOUT_CONTAINER" in linted.out) == (0, True)
    assert "HEALTHOMICS_NO_COMMAND" in fresh_labrelay("workflow", "lint", folder, "--for", "healthomics").out
    assert fresh_labrelay("workflow", "add", folder).code == 0
    assert fresh_labrelay("workflow", "inputs", "sorted_words", "--template").json == {
        "words": "file",
        "key": "string (optional)",
    }
    hostile = fresh_labrelay("submit", "sorted_words", "--set", "words=words.txt", "--set", "key=--output=x")
    assert (hostile.code, "programs take for an option" in hostile.err) == (2, True)
    said = fresh_labrelay("submit", "sorted_words", "--set", "words=words.txt", "--wait", "--json")
    assert said.code == 0, said.out + said.err
    (run,) = said.json["runs"]
    assert (Path(run["result"]) / "sorted.txt").read_text() == "a\nb\n"
    shown = fresh_labrelay("runs", "show", run["run"], "--json").json
    assert [Path(file["key"]).name for file in shown["inputs"]] == ["words.txt"]
    assert fresh_labrelay("runs", "logs", run["run"], "--task", "sorted_words").out.strip() == "sorting"
    failed = fresh_labrelay("submit", "sorted_words", "--set", "words=words.txt", "--set", "key=x", "--wait", "--json")
    (run,) = failed.json["runs"]
    assert (failed.code, run["state"]) == (1, "EXECUTOR_ERROR")
    log = fresh_labrelay("runs", "logs", run["run"]).out
    assert "the task sorted_words failed; its standard error" in log
    assert "  sorting" in log
