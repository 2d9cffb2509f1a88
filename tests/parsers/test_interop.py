"""InterOp files of real runs, whole and damaged: the numbers of Illumina's own viewer, or none and the reason."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from interop_files import EXTRACTION, MISEQ, NEXTSEQ, QUALITY, TILES, interop_codes, run_of, stored, told
from run_folders import put

from labrelay.model.instrument import ReadSegment
from labrelay.parsers.interop import check_length, cycles_of, is_checked, qualities_of, tiles_of
from labrelay.parsers.interop_quality import cycle_quality
from labrelay.parsers.listing import walk
from labrelay.parsers.registry import read_run

RECORD = 206  # bytes of a record of QMetrics version 4


def test_a_whole_run_has_the_yield_and_quality_that_illuminas_library_computes(tmp_path: Path) -> None:
    run = run_of(tmp_path, QMetricsOut=stored(QUALITY), TileMetricsOut=stored(TILES))
    values = told(run)
    assert values["clusters", "run"] == 23_492_144
    assert values["clusters_pf", "run"] == 20_406_033
    assert values["yield", "run"] == pytest.approx(1.1019, abs=5e-5)
    assert values["q30_percent", "run"] == pytest.approx(93.645, abs=5e-4)
    assert values["q30_percent", "read 1"] == pytest.approx(96.10, abs=5e-3)
    assert values["q30_percent", "index 1"] == pytest.approx(69.63, abs=5e-3)
    assert interop_codes(run) == []


def test_tile_metrics_alone_give_clusters_and_no_quality(tmp_path: Path) -> None:
    values = told(run_of(tmp_path, NEXTSEQ, TileMetricsOut=stored(TILES, "nextseq500-2016")))
    assert (values["clusters", "run"], values["clusters_pf", "run"]) == (508_836_048, 473_590_791)
    assert values["clusters_pf_percent", "lane 1"] == pytest.approx(92.86, abs=5e-3)
    # RunCompletionStatus.xml of the same run says 40.25522 and 93.07328.
    assert values["yield", "run"] == pytest.approx(40.25522, abs=5e-6)
    assert values["clusters_pf_percent", "run"] == pytest.approx(93.07328, abs=5e-4)
    assert "q30_percent" not in {name for name, _ in values}


def test_the_share_of_q30_is_there_for_each_cycle_and_lane(tmp_path: Path) -> None:
    run = run_of(tmp_path, QMetricsOut=stored(QUALITY))
    points = cycle_quality(walk(tmp_path / MISEQ.name), run.reads)
    assert [(point.lane, point.cycle) for point in points] == [(1, cycle) for cycle in range(1, 57)]
    assert [points[49].read, points[50].read] == [1, 2]
    shares = [point.q30_percent or 0 for point in points]
    assert min(shares) > 50
    assert sum(shares[:49]) / 49 == pytest.approx(96.1, abs=0.1)


def test_a_truncated_interop_file_gives_no_numbers_and_says_so(tmp_path: Path) -> None:
    cut = stored(QUALITY)[:100_001]
    run = run_of(tmp_path, QMetricsOut=cut, TileMetricsOut=stored(TILES))
    assert interop_codes(run) == ["INTEROP_TRUNCATED"]
    assert "q30_percent" not in {name for name, _ in told(run)}


@pytest.mark.parametrize(("records", "words"), [(40 * 28, "ends with cycle 40 of 56"), (55 * 28 + 5, "5 of 28 tiles")])
def test_a_file_cut_between_two_records_is_found_by_its_last_cycle(tmp_path: Path, records: int, words: str) -> None:
    whole = stored(QUALITY)
    table = np.frombuffer(
        whole, np.dtype([("lane", "<u2"), ("tile", "<u2"), ("cycle", "<u2"), ("rest", "V200")]), offset=2
    )
    ordered = np.sort(table, order="cycle").tobytes()
    run = run_of(tmp_path, QMetricsOut=whole[:2] + ordered[: records * RECORD], TileMetricsOut=stored(TILES))
    (problem,) = [p for p in run.problems if p.code == "INTEROP_INCOMPLETE_CYCLES"]
    assert words in problem.message
    assert not {"q30_percent", "yield"} & {name for name, _ in told(run)}


def test_without_qualities_the_last_extracted_cycle_tells_whether_the_run_is_complete(tmp_path: Path) -> None:
    whole = stored(EXTRACTION)
    assert interop_codes(run_of(tmp_path / "1", ExtractionMetricsOut=whole)) == []
    cut = whole[: 2 + 38 * (len(whole) // 38 // 2)]
    assert interop_codes(run_of(tmp_path / "2", ExtractionMetricsOut=cut)) == ["INTEROP_INCOMPLETE_CYCLES"]


@pytest.mark.parametrize("data", [b"", b"\4"])
@pytest.mark.parametrize("name", [QUALITY, TILES, EXTRACTION])
def test_an_empty_file_is_told_and_gives_nothing(tmp_path: Path, name: str, data: bytes) -> None:
    run = run_of(tmp_path, **{name.removesuffix(".bin"): data})
    assert interop_codes(run) == ["INTEROP_TRUNCATED"]
    assert told(run) == {}


@pytest.mark.parametrize("head", [b"\x09\xce", b"\x04\x00", b"\xff\xff\xff"])
def test_a_version_or_record_length_that_there_is_not_is_no_guess(tmp_path: Path, head: bytes) -> None:
    run = run_of(tmp_path, QMetricsOut=head + stored(QUALITY)[len(head) :])
    assert (interop_codes(run), told(run)) == (["INTEROP_UNKNOWN"], {})


def test_interop_files_of_another_run_are_told_and_not_used(tmp_path: Path) -> None:
    longer = run_of(tmp_path, NEXTSEQ, QMetricsOut=stored(QUALITY))
    assert interop_codes(longer) == ["INTEROP_INCOMPLETE_CYCLES"]
    root = tmp_path / "2" / MISEQ.name
    put(root, "RunInfo.xml", (MISEQ / "RunInfo.xml").read_text().replace('NumCycles="50"', 'NumCycles="20"'))
    put(root, "InterOp/QMetricsOut.bin", stored(QUALITY))
    run = read_run(root)
    assert (interop_codes(run), told(run)) == (["INTEROP_OTHER_RUN"], {})


def test_a_run_without_interop_has_no_such_numbers(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    assert (interop_codes(run), told(run)) == ([], {})


def binned(version: int, rows: list[tuple[int, int, int, list[int]]]) -> bytes:
    """Return a QMetrics file of three bins (2, 23, 37), as two-colour instruments write it."""
    tile = "I" if version == 7 else "H"
    record = struct.calcsize(f"<H{tile}H3I")
    bins = [0, 14, 2, 15, 30, 23, 31, 45, 37] if version == 7 else [0, 15, 31, 14, 30, 45, 2, 23, 37]
    head = bytes([version, record, 1, 3, *bins])
    return head + b"".join(struct.pack(f"<H{tile}H3I", lane, at, cycle, *calls) for lane, at, cycle, calls in rows)


@pytest.mark.parametrize("version", [6, 7])
def test_binned_qualities_of_newer_instruments_are_counted_by_the_score_of_their_bin(version: int) -> None:
    data = binned(version, [(1, 1101, 1, [10, 20, 70]), (1, 1101, 1, [10, 0, 90]), (1, 1101, 2, [0, 50, 50])])
    layout, problems = check_length(QUALITY, data[:4096], len(data), "q")
    assert problems == []
    assert layout is not None
    table = qualities_of(data, layout)
    assert [(int(c), int(t), int(q)) for c, t, q in zip(table.cycle, table.total, table.q30, strict=True)] == [
        (1, 100, 90),
        (2, 100, 50),
    ], "a tile and cycle that was written twice counts as it was last"


def test_tile_metrics_of_newer_instruments_are_read() -> None:
    rows = struct.pack("<HIcff", 2, 110_101, b"t", 1000.0, 700.0) + struct.pack("<HIcIf", 2, 110_101, b"r", 1, 99.0)
    data = struct.pack("<BBf", 3, 15, 0.8) + rows
    layout, problems = check_length(TILES, data, len(data), "t")
    assert problems == []
    assert layout is not None
    tiles = tiles_of(data, layout)
    assert (tiles.clusters, tiles.passed) == ({2: 1000}, {2: 700})


def test_only_files_whose_records_are_of_one_length_are_checked() -> None:
    assert is_checked("QMetricsOut.bin")
    assert not is_checked("IndexMetricsOut.bin")
    assert not is_checked("EventMetricsOut.bin")


WHOLE = [(QUALITY, stored(QUALITY)[: 2 + 20 * RECORD]), (TILES, stored(TILES)), (EXTRACTION, stored(EXTRACTION)[:762])]


@given(st.sampled_from(WHOLE), st.data())
def test_damaged_files_are_told_or_read_and_never_raise(file: tuple[str, bytes], data: st.DataObject) -> None:
    name, real = file
    noise = data.draw(st.binary(max_size=12))
    place = data.draw(st.one_of(st.just(0), st.integers(0, len(real))))
    damaged = real[:place] + noise + real[place + data.draw(st.integers(0, 20)) :]
    layout, problems = check_length(name, damaged[:4096], len(damaged), name)
    assert (layout is None) == bool(problems)
    if layout is not None:
        {QUALITY: qualities_of, TILES: tiles_of, EXTRACTION: cycles_of}[name](damaged, layout)


def test_a_recipe_of_one_cycle_reads_is_no_division_by_zero(tmp_path: Path) -> None:
    put(tmp_path, "InterOp/QMetricsOut.bin", binned(6, [(1, 1101, 1, [0, 0, 0])]))
    (point,) = cycle_quality(walk(tmp_path), (ReadSegment(number=1, cycles=1, is_index=False),))
    assert point.q30_percent is None


def test_a_file_of_another_run_gives_no_number_and_no_drawing(tmp_path: Path) -> None:
    put(tmp_path, "InterOp/QMetricsOut.bin", binned(6, [(2, 1101, 1, [0, 9, 9]), (2, 1101, 2, [0, 9, 9])]))
    listing, reads = walk(tmp_path), (ReadSegment(number=1, cycles=2, is_index=False),)
    assert len(cycle_quality(listing, reads, 2)) == 2
    assert cycle_quality(listing, reads, 1) == ()
    assert cycle_quality(listing, (ReadSegment(number=1, cycles=1, is_index=False),), 2) == ()


def test_many_cycles_are_counted_in_one_pass(tmp_path: Path) -> None:
    rows = np.zeros(60_000, np.dtype([("lane", "<u2"), ("tile", "<u2"), ("cycle", "<u2"), ("calls", "<u4")]))
    rows["lane"], rows["cycle"], rows["calls"] = 1, np.arange(1, 60_001), 1
    put(tmp_path, "InterOp/QMetricsOut.bin", bytes([6, 10, 1, 1, 0, 40, 35]) + rows.tobytes())
    began = time.process_time()
    points = cycle_quality(walk(tmp_path), (ReadSegment(number=1, cycles=60_000, is_index=False),))
    assert (len(points), {point.q30_percent for point in points}) == (60_000, {100.0})
    assert time.process_time() - began < 1.5
