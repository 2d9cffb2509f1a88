"""The bundled definition against two real samples, and against the changes that two other callers agree on."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from labrelay.workflows.inputs import SampleInputs
from labrelay.workflows.metrics import read_metrics
from labrelay.workflows.registry import Registry

from .conftest import Lab
from .viral import BASECALLS, DEMO, output, run_viral

# Seen by some callers only (see the data's README): counted neither way.
DOUBTFUL = {"SRR7517490": {4887, 4963, 4979, 5008}, "SRR7517498": set[int]()}


def changes(path: Path, position: str) -> set[tuple[int, str, str]]:
    with path.open(encoding="utf-8") as handle:
        return {(int(row[position]), row["ref"], row["alt"]) for row in csv.DictReader(handle, delimiter="\t")}


@pytest.mark.parametrize(("name", "expected"), [("SRR7517490", 269), ("SRR7517498", 273)])
def test_all_agreed_changes_are_found_and_no_others(make_lab: Callable[..., Lab], name: str, expected: int) -> None:
    reads = [str(next(BASECALLS.glob(f"{name}_*_R{mate}_001.fastq.gz"))) for mate in (1, 2)]
    report = run_viral(make_lab("auto"), SampleInputs(name=name, id="smp_1", r1=(reads[0],), r2=(reads[1],)))
    truth = changes(DEMO / "truth" / f"{name}.snv.tsv", "pos")
    found = {c for c in changes(output(report, "variants"), "position") if c[0] not in DOUBTFUL[name]}
    assert len(truth) == expected
    assert found == truth

    definition = Registry(Path()).get("viral_variants")
    metrics = {m.name: m.value for m in read_metrics(definition, [("metrics", output(report, "metrics"))])}
    assert None not in metrics.values(), metrics
    assert metrics["variants"] == expected
    assert metrics["mapped_percent"] > 99  # type: ignore[operator]
    assert set(report.tools) == {"cutadapt", "minimap2", "samtools", "bcftools"}
    assert all(report.tools.values())
    assert [task.name for task in report.tasks] == ["trim", "align", "call_variants", "summarise"]

    text = output(report, "consensus").read_text()
    assert text.startswith(f">{name} ")
    sequence = "".join(text.split("\n")[1:])
    reference = (DEMO / "MH356245.1.reference.fasta").read_text().split()[-1]
    assert len(sequence) == len(reference)
    changed = {n for n, (a, b) in enumerate(zip(reference, sequence, strict=True), 1) if a != b and b != "N"}
    assert changed == {position for position, _, _ in changes(output(report, "variants"), "position")}


def test_lanes_are_joined_and_a_hostile_sample_name_does_nothing(make_lab: Callable[..., Lab], tmp_path: Path) -> None:
    lab = make_lab("auto")
    lanes: list[list[str]] = []
    for mate in (1, 2):
        text = [f"@read{n}/{mate}\n{'ACGTTGCA' * 10}\n+\n{'I' * 80}\n" for n in range(20)]
        paths = [tmp_path / f"lane {lane} R{mate}.fastq" for lane in (1, 2)]
        paths[0].write_text("".join(text[:15]))
        paths[1].write_text("".join(text[15:]))
        lanes.append([str(path) for path in paths])
    name = "a'; touch /tmp/owned; $(touch owned) \"b"
    report = run_viral(lab, SampleInputs(name=name, id="smp_1", r1=tuple(lanes[0]), r2=tuple(lanes[1])))
    metrics = json.loads(output(report, "metrics").read_text())
    assert metrics["read_pairs"] == 20
    assert metrics["mapped_percent"] == 0
    assert metrics["variants"] == 0
    assert metrics["consensus_n_percent"] == 100
    assert not list(lab.home.rglob("owned"))
    assert not Path("/tmp/owned").exists()


def test_a_sample_without_reads_gives_numbers_and_a_consensus_of_n(
    make_lab: Callable[..., Lab], tmp_path: Path
) -> None:
    paths = [tmp_path / f"empty_R{mate}.fastq.gz" for mate in (1, 2)]
    for path in paths:
        path.write_bytes(gzip.compress(b""))
    report = run_viral(
        make_lab("host"), SampleInputs(name="empty", id="smp_1", r1=(str(paths[0]),), r2=(str(paths[1]),))
    )
    metrics = json.loads(output(report, "metrics").read_text())
    assert (metrics["read_pairs"], metrics["mean_depth"], metrics["consensus_n_percent"]) == (0, 0, 100)
    assert metrics["mapped_percent"] is None
