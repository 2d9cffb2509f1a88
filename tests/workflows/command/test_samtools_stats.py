"""The bundled command on real alignments, with the samtools of this machine and with our stand-in."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pysam
import pytest

from labrelay.model.runs import RunReport, RunRequest, attempt_token, run_id_of, run_key
from labrelay.model.states import RunState
from labrelay.workflows.inputs import SampleInputs, compose_inputs
from labrelay.workflows.lint import lint
from labrelay.workflows.registry import BUILT_IN, Registry
from tests.workflows.conftest import Lab

BAM = Path(__file__).parents[2] / "data" / "alignments" / "range.bam"


def run(lab: Lab, bam: Path, **parameters: object) -> RunReport:
    registry = Registry(lab.home)
    definition = registry.get("samtools_stats")
    version, bundle = registry.bundle(definition)
    inputs = compose_inputs(definition, [SampleInputs(name="S1", id="smp_1", r1=(str(bam),))], None, parameters)
    key = run_key("local", version.digest, {name: str(value) for name, value in inputs.items()}, ())
    request = RunRequest(
        token=attempt_token(key, 1), key=key, run_id=run_id_of(key), workflow=version, bundle=str(bundle), inputs=inputs
    )
    status = lab.wait(lab.engine.submit(request))
    assert status.state is RunState.COMPLETE, status
    return lab.engine.report(request.token)


def numbers(report: RunReport) -> dict[str, str]:
    """Return the summary numbers of the one output."""
    (file,) = report.files
    assert (file.output, Path(file.path).name) == ("stats", "stats.txt")
    lines = [line.split("\t") for line in Path(file.path).read_text().splitlines()]
    return {cells[1].rstrip(":"): cells[2] for cells in lines if cells[0] == "SN"}


def test_the_bundled_command_lints_without_a_word() -> None:
    assert lint(BUILT_IN / "samtools_stats") == []


@pytest.mark.parametrize("stand_in", [False, True], ids=["first on PATH", "stand-in"])
def test_reads_and_bases_are_those_that_another_reader_counts(
    make_lab: Callable[..., Lab], sandbox: str, stand_in: bool
) -> None:
    lab = make_lab(sandbox)
    if stand_in:
        first = (str(lab.home / "engine" / "tools"), *lab.engine._settings.tool_path)
        lab.engine._settings = lab.engine._settings.model_copy(update={"tool_path": first})
    report = run(lab, BAM)
    with pysam.AlignmentFile(str(BAM), check_sq=False) as handle:
        records = [record for record in handle if not record.is_secondary and not record.is_supplementary]
    found = numbers(report)
    assert len(records) > 50
    assert found["raw total sequences"] == str(len(records))
    assert found["reads mapped"] == str(sum(not record.is_unmapped for record in records))
    assert found["total length"] == str(sum(record.query_length for record in records))
    (task,) = report.tasks
    assert (task.name, task.exit_code, task.cpus) == ("samtools_stats", 0, 1)
    assert "remove-dups" not in (task.command or "")
    (file,) = report.files
    first = Path(file.path).read_text().splitlines()[0]
    assert first.startswith("# This file was produced by samtools stats (")
    if stand_in:
        assert pysam.version.__samtools_version__ in first  # type: ignore[attr-defined]


def test_duplicates_are_left_out_when_that_is_asked_for(lab: Lab, tmp_path: Path) -> None:
    marked = tmp_path / "marked.bam"
    with (
        pysam.AlignmentFile(str(BAM), check_sq=False) as source,
        pysam.AlignmentFile(str(marked), "wb", template=source) as out,
    ):
        for count, record in enumerate(source):
            record.is_duplicate = count < 7
            out.write(record)
    all_reads, fewer = numbers(run(lab, marked)), numbers(run(lab, marked, remove_duplicates=True))
    assert all_reads["reads duplicated"] == "7"
    assert int(all_reads["sequences"]) - int(fewer["sequences"]) == 7


def test_with_the_same_reads_each_attempt_writes_the_same_bytes_in_the_sandbox(make_lab: Callable[..., Lab]) -> None:
    labs = [make_lab("auto"), make_lab("auto")]
    if labs[0].engine.sandbox != "bubblewrap":
        pytest.skip("bubblewrap does not work on this machine")
    one, two = (Path(run(lab, BAM).files[0].path).read_bytes() for lab in labs)
    assert one == two
    assert os.fsencode(labs[0].home) not in one
