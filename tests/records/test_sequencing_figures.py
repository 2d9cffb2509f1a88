"""Figures of a sequencing run: drawn from real numbers, and from none."""

from __future__ import annotations

import gzip
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from labrelay.model.instrument import InstrumentRun, ReadSegment
from labrelay.model.qc import QCMetric
from labrelay.parsers.interop_quality import CycleQuality, cycle_quality
from labrelay.parsers.listing import walk
from labrelay.parsers.registry import read_run
from labrelay.records.report.sequencing import cycle_figure, lanes_figure, sequencing_figures, unknown_figure

DATA = Path(__file__).parents[1] / "data"
READS = (ReadSegment(number=1, cycles=3, is_index=False), ReadSegment(number=2, cycles=1, is_index=True))


def metric(name: str, scope: str, value: float | None) -> QCMetric:
    return QCMetric(name=name, value=value, scope=scope)


def test_a_real_run_has_its_quality_by_cycle(tmp_path: Path) -> None:
    stored = gzip.decompress((DATA / "interop/miseq-2014.QMetricsOut.bin.gz").read_bytes())
    (tmp_path / "InterOp").mkdir()
    (tmp_path / "InterOp/QMetricsOut.bin").write_bytes(stored)
    reads = (ReadSegment(number=1, cycles=50, is_index=False), ReadSegment(number=2, cycles=6, is_index=True))
    figure = cycle_figure(cycle_quality(walk(tmp_path), reads), reads)
    assert figure is not None
    assert figure.summary.startswith("1 lane; the lowest is ")
    assert str(figure.body).count("<path") == 1
    assert ">read 1<" in str(figure.body)
    ET.fromstring(figure.standalone)


def test_a_real_conversion_has_its_lanes_and_unknown_barcodes() -> None:
    run = read_run(DATA / "instruments/illumina-bcl2fastq-stats-json")
    titles = [figure.title for figure in sequencing_figures(run)]
    assert titles == ["Reads by sample and lane", "Barcodes of no sample"]
    lanes, unknown = sequencing_figures(run)
    assert lanes.summary == "10.1 % of the reads belong to no sample."
    assert unknown.summary.startswith("The most frequent is CCCCCCCC in lane 8 with 585,305 reads; a usual sample")
    for figure in (lanes, unknown):
        ET.fromstring(figure.standalone)


def test_a_run_without_numbers_has_no_figure() -> None:
    assert sequencing_figures(InstrumentRun(run_id="r", folder_name="r", platform="illumina")) == []
    assert cycle_figure([CycleQuality(1, 1, 1, None)], READS) is None


def test_each_lane_has_its_line_and_the_lowest_cycle_is_named() -> None:
    points = [CycleQuality(lane, cycle, 1, 90 - 10 * lane - cycle) for lane in (1, 2) for cycle in (1, 2, 3)]
    figure = cycle_figure(points, READS)
    assert figure is not None
    assert str(figure.body).count("<path") == 2
    assert figure.summary == "2 lanes; the lowest is 67 % in cycle 3 of lane 2."


def test_samples_without_reads_are_told_and_undetermined_reads_stand_apart() -> None:
    metrics = [
        metric("reads", "A, lane 1", 60),
        metric("reads", "B, lane 1", 0),
        metric("reads", "Undetermined, lane 1", 40),
        metric("reads", "reads", 100),
        metric("reads", "C, lane 1", None),
    ]
    figure = lanes_figure(metrics)
    assert figure is not None
    assert figure.summary == "40.0 % of the reads belong to no sample. 1 sample of a lane has no read."
    assert (str(figure.body).count('"bar"'), str(figure.body).count('"bar2"')) == (2, 1)


def test_many_samples_are_cut_with_a_word() -> None:
    figure = lanes_figure([metric("reads", f"S{n}, lane 1", n) for n in range(500)])
    assert figure is not None
    assert "The first 400 of 500 are drawn." in figure.summary


@pytest.mark.parametrize("name", ["<script>", "A & B", "x" * 500, "a\x1b[2J"])
def test_names_from_outside_are_text_in_the_picture(name: str) -> None:
    figure = unknown_figure([metric("unknown_barcode_reads", f"{name}, lane 1", 5)])
    lanes = lanes_figure([metric("reads", f"{name}, lane 1", 5)])
    assert figure is not None
    assert lanes is not None
    for each in (figure, lanes):
        ET.fromstring(each.standalone)
        assert "<script>" not in str(each.inline)
