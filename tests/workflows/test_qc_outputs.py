"""QC files among a workflow's outputs: their numbers are the result's, by names that do not change between runs."""

from __future__ import annotations

import logging
from pathlib import Path

import pysam
import pytest

from labrelay.model.qc import QCMetric, Threshold, Verdict, judge_each, told_apart
from labrelay.parsers.qc_files import read_qc
from labrelay.records.report.multiqc_content import sections_of_files
from labrelay.workflows.definition import Definition, load
from labrelay.workflows.lint import lint
from labrelay.workflows.metrics import MAX_OF_A_FILE, read_metrics

DATA = Path(__file__).parents[1] / "data"
TOML = """name = "qc"
version = "1"
title = "T"
command = ["true"]
[outputs.flagstat]
path = "*.txt"
qc = true
[outputs.trimmed]
path = "*.json"
qc = true
[metrics.mapped]
output = "flagstat"
pointer = "/mapped_percent"
label = "Mapped"
[metrics.kept_percent]
output = "trimmed"
[thresholds.mapped]
warn_below = 90
fail_below = 50
"""


@pytest.fixture
def definition(tmp_path: Path) -> Definition:
    folder = tmp_path / "qc"
    folder.mkdir()
    (folder / "definition.toml").write_text(TOML)
    return load(folder)


def outputs(*named: tuple[str, str]) -> list[tuple[str, Path]]:
    return [(output, DATA / "qc" / name) for output, name in named]


def test_a_metric_picks_a_number_and_the_others_are_named_by_their_output(definition: Definition) -> None:
    found = read_metrics(definition, outputs(("flagstat", "small.flagstat.txt"), ("trimmed", "SAMPLE.fastp.json")))
    told = {m.name: m for m in found}
    assert [m.name for m in found][:2] == ["mapped", "kept_percent"]
    assert told["mapped"].value == pytest.approx(100 * 5350 / 5414)
    assert (told["mapped"].unit, told["mapped"].scope, told["mapped"].source) == (
        "percent",
        "run",
        "small.flagstat.txt",
    )
    assert told["kept_percent"].value == pytest.approx(100 * 16_034_314 / 16_763_944)
    # Both tools count duplicates: the names keep them apart, and nothing is told twice.
    assert {"flagstat_duplication_percent", "trimmed_duplication_percent", "flagstat_mapped"} <= set(told)
    assert not {"flagstat_mapped_percent", "trimmed_kept_percent"} & set(told)
    assert {m.scope for m in found} == {"run"}


def test_of_several_files_each_has_its_scope_and_the_worst_is_judged(definition: Definition) -> None:
    files = outputs(("flagstat", "small.flagstat.txt"), ("flagstat", "low_quality_2.flagstat.txt"))
    found = read_metrics(definition, files)
    mapped = {m.scope: m.value for m in found if m.name == "mapped"}
    assert mapped["small"] == pytest.approx(98.8179, abs=1e-4)
    assert set(mapped) == {"small", "low_quality_2"}
    strict = Threshold(metric="mapped", fail_above=99)
    verdicts = judge_each(found, [strict, Threshold(metric="nothing", warn_below=1)])
    assert mapped["low_quality_2"] == 100
    assert verdicts == {"mapped": Verdict.FAIL, "nothing": Verdict.FAIL}


def test_files_of_one_name_in_several_folders_lose_no_number_to_each_other(
    tmp_path: Path, definition: Definition
) -> None:
    files = []
    for shard, name in enumerate(("SAMPLE.fastp.json", "PCRblank.fastp.json")):
        path = tmp_path / f"shard-{shard}" / "out" / "fastp.json"
        path.parent.mkdir(parents=True)
        path.write_bytes((DATA / "qc" / name).read_bytes())
        files.append(("trimmed", path))
    wanted = {"shard-0/fastp", "shard-1/fastp"}
    for given in (files, files[::-1]):
        kept = {m.scope: m.value for m in read_metrics(definition, given) if m.name == "kept_percent"}
        assert set(kept) == wanted
        assert kept["shard-0/fastp"] == pytest.approx(100 * 16_034_314 / 16_763_944)
    (tool,) = sections_of_files(
        (path.relative_to(tmp_path).as_posix(), "fastp", read_qc(path.name, path.read_bytes())) for _, path in files
    ).values()
    assert set(tool["data"]) == {name.replace("/", "∕") for name in wanted}


def test_what_tells_files_apart_is_the_folder_and_within_one_the_name() -> None:
    one, two, other = (QCMetric(name="n", value=n, scope=scope) for n, scope in ((1, "S"), (2, "S"), (1, "T")))
    files = [("a/lane, 1/S.x", [one]), ("a/S.x", [one]), ("a/S.y", [two]), ("b/T.x", [other])]
    assert [m.scope for m in told_apart(files)] == ["lane,1/S", "S.x/S", "S.y/S", "T"]
    assert [m.scope for m in told_apart(files[1:3])] == ["S.x/S", "S.y/S"]
    assert [m.scope for m in told_apart([files[1], ("a/S.y", [one])])] == ["S", "S"]
    assert [m.scope for m in told_apart([files[1], ("b/S.x", [one])])] == ["a/S", "b/S"]
    assert [m.scope for m in told_apart([("a/S.x", [one, two])])] == ["S", "S"]
    assert told_apart([]) == []


def test_parts_of_a_file_are_told_and_a_metric_is_of_the_whole(tmp_path: Path, definition: Definition) -> None:
    text = pysam.idxstats(str(DATA / "alignments" / "range.bam"))
    (tmp_path / "a.txt").write_text(text)
    picked = definition.model_copy(
        update={"metrics": {"n": definition.metrics["mapped"].model_copy(update={"pointer": "/mapped"})}}
    )
    found = read_metrics(picked, [("flagstat", tmp_path / "a.txt")])
    assert (found[0].name, found[0].scope) == ("n", "run")
    assert sum(m.name == "n" for m in found) == 1
    parts = read_metrics(definition, [("flagstat", tmp_path / "a.txt")])
    references = {line.split("\t")[0] for line in text.splitlines()} - {"*"}
    assert {m.scope for m in parts if m.name == "flagstat_mapped"} == {"run", *references}


@pytest.mark.parametrize("content", [b"", b"not a report\n", b"\x00\xff"], ids=["empty", "text", "noise"])
def test_a_file_that_no_tool_wrote_has_no_numbers_and_is_told(
    tmp_path: Path, definition: Definition, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "odd.txt").write_bytes(content)
    with caplog.at_level(logging.WARNING):
        found = read_metrics(definition, [("flagstat", tmp_path / "odd.txt")])
    assert [(m.name, m.value) for m in found] == [("mapped", None), ("kept_percent", None)]
    assert "odd.txt is a QC file by its definition" in caplog.text


def test_a_file_of_very_many_lanes_and_samples_is_bounded(tmp_path: Path, definition: Definition) -> None:
    head = "Lane,SampleID,Index,# Reads,# Perfect Index Reads,# One Mismatch Index Reads,# Two Mismatch Index Reads\n"
    rows = "".join(f"1,S{n},AC-GT,{n},1,0,0\n" for n in range(5000))
    (tmp_path / "Demultiplex_Stats.csv").write_text(head + rows)
    found = read_metrics(definition, [("flagstat", tmp_path / "Demultiplex_Stats.csv")])
    assert 10 < len(found) <= MAX_OF_A_FILE + 2


def test_qc_belongs_to_outputs_that_are_files(tmp_path: Path) -> None:
    wdl = (
        "version 1.0\nworkflow w { call t\n output { Int n = t.n File f = t.f Array[File] fs = [t.f] } }\n"
        'task t { command {} output { Int n = 1 File f = "f" }\n'
        ' runtime { container: "ubuntu:24.04" cpu: 1 memory: "1 GB" } }\n'
    )
    tables = "".join(f"[outputs.{name}]\nqc = true\n" for name in ("n", "f", "fs"))
    tables += '[metrics.mapped_percent]\noutput = "fs"\n'
    folder = tmp_path / "w"
    folder.mkdir()
    (folder / "main.wdl").write_text(wdl)
    (folder / "definition.toml").write_text(f'name = "w"\nversion = "1"\ntitle = "T"\n{tables}')
    messages = [problem.message for problem in lint(folder)]
    assert [message.split(":")[0] for message in messages] == ["outputs.n.qc"], messages
