"""Sample sheets for Nextflow, submitted: the files in their rows are the run's input files."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_run import TinyLab

from labrelay.model.errors import RefusedInput
from labrelay.records.runs import Intent
from labrelay.steps import direct
from labrelay.steps.home import open_home
from labrelay.steps.submit import Submitted

DEFINITION = """\
name = "sheets"
version = "1"
title = "T"

[samplesheet]
columns = { sample = "sample.name", fastq_1 = "reads.r1", fastq_2 = "reads.r2" }

[outputs.all]
path = "*.txt"
"""


@pytest.fixture
def lab(tmp_path: Path) -> TinyLab:
    made = TinyLab(tmp_path)
    folder = made.home / "definitions" / "sheets"
    folder.mkdir(parents=True)
    (folder / "main.nf").write_text("params.input = null\nworkflow { }\n")
    (folder / "definition.toml").write_text(DEFINITION)
    return made


@pytest.fixture
def intents(monkeypatch: pytest.MonkeyPatch) -> list[Intent]:
    """Return what would be committed and started."""
    asked: list[Intent] = []

    def keep(_home: object, made: list[Intent], outcome: Submitted) -> Submitted:
        asked.extend(made)
        return outcome

    monkeypatch.setattr(direct, "commit_intents", keep)
    return asked


def test_files_in_the_rows_are_absolute_identified_and_part_of_the_key(
    lab: TinyLab, intents: list[Intent], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a_1.fq").write_text("one")
    rows = [{"sample": "a", "fastq_1": "a_1.fq", "fastq_2": None}]
    direct.submit_direct(open_home(lab.home), "sheets", inputs={"input": {"samplesheet": rows}})
    Path("a_1.fq").write_text("two")
    direct.submit_direct(open_home(lab.home), "sheets", inputs={"input": {"samplesheet": rows}, "other": 1})
    first, second = intents
    assert first.request_inputs["input"]["samplesheet"][0]["fastq_1"] == str(tmp_path / "a_1.fq")
    assert [(name, index, ref.key) for name, index, ref in first.input_files] == [
        ("input", 0, str(tmp_path / "a_1.fq"))
    ]
    assert first.inputs[0].identity != second.inputs[0].identity
    assert second.request_inputs["other"] == 1


def test_a_file_of_a_row_that_is_not_there_refuses_the_run(lab: TinyLab, intents: list[Intent]) -> None:
    rows = [{"sample": "a", "fastq_1": "/no/such.fq", "fastq_2": None}]
    with pytest.raises(RefusedInput, match=r"fastq_1: there is no file /no/such\.fq"):
        direct.submit_direct(open_home(lab.home), "sheets", inputs={"input": {"samplesheet": rows}})
    assert intents == []
