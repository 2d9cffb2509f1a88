"""How a sequencing run went, as figures: what they say and draw, and what they leave out."""

from __future__ import annotations

from labrelay.model.instrument import CycleQuality, InstrumentRun, ReadSegment
from labrelay.model.qc import QCMetric
from labrelay.records.report.run_quality import quality_figures

READS = (ReadSegment(number=1, cycles=3, is_index=False), ReadSegment(number=2, cycles=2, is_index=True))


def run(*qc: QCMetric) -> InstrumentRun:
    return InstrumentRun(run_id="r", folder_name="r", platform="illumina", reads=READS, qc=qc)


def reads(scope: str, value: float | None, name: str = "reads") -> QCMetric:
    return QCMetric(name=name, value=value, unit="count", scope=scope)


def test_each_lane_is_a_line_over_its_cycles_and_index_reads_stand_on_a_band() -> None:
    points = [CycleQuality(lane, cycle, 1, 90.0 + lane) for lane in (1, 2) for cycle in range(1, 6)]
    [figure] = quality_figures(run(), [*points, CycleQuality(3, 1, 1, None)])
    assert figure.summary == "Base calls of Q30 and better in each cycle, 2 lanes; index reads on a band."
    body = str(figure.body)
    assert body.count('class="curve"') == 2
    assert body.count("<title>index read 2</title>") == 1
    assert "lane 3" not in body


def test_reads_are_shared_out_by_sample_and_what_nobody_has_is_told_apart() -> None:
    told = run(
        reads("A, lane 1", 60), reads("A, lane 2", 20), reads("B, x, lane 1", 0), reads("Undetermined, lane 1", 20)
    )
    [figure] = quality_figures(told, [])
    assert figure.summary == "Reads of 2 samples, all lanes together; 20.0 % have none."
    body = str(figure.body)
    assert "A: lane 1: 60, lane 2: 20" in body
    assert ">B, x</text>" in body
    assert body.count('class="bar2"') == 1


def test_unknown_barcodes_come_with_the_most_frequent_first() -> None:
    name = "unknown_barcode_reads"
    [figure] = quality_figures(run(reads("AC, lane 1", 5, name), reads("GT, lane 1", 9, name)), [])
    body = str(figure.body)
    assert 0 < body.index(">GT</text>") < body.index(">AC</text>")


def test_a_run_that_counted_nothing_has_no_figures_and_a_hostile_name_is_text() -> None:
    assert quality_figures(run(reads("run", 7), reads("A, lane 1", None)), []) == []
    [figure] = quality_figures(run(reads("<script>, lane 1", 1)), [])
    assert "<script>" not in str(figure.body)


def test_more_samples_than_can_be_drawn_are_counted() -> None:
    [figure] = quality_figures(run(*(reads(f"S{n}, lane 1", n) for n in range(60))), [])
    assert figure.summary.endswith("The first 48 of 60 are drawn.")
