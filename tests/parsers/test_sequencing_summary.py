"""A sequencing summary counted in blocks, held against counting it row by row."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_folders import put

from labrelay.parsers.registry import read_run
from labrelay.parsers.sequencing_summary import Counted, Summary, SummaryScan

HEAD = "filename\tread_id\tpasses_filtering\tsequence_length_template\tmean_qscore_template\tbarcode_arrangement\tkit\n"
Read = tuple[int, float, bool, str]


def table(reads: list[Read], end: str = "\n") -> str:
    rows = [
        f"f.fastq\tr{number}\t{str(passed).upper()}\t{length}\t{quality:.6f}\t{barcode}\tNB"
        for number, (length, quality, passed, barcode) in enumerate(reads)
    ]
    return HEAD.replace("\n", end) + "".join(row + end for row in rows)


def scanned(data: bytes, step: int = 1000) -> Summary:
    scan = SummaryScan()
    for start in range(0, len(data), step):
        scan.feed(data[start : start + step])
    return scan.finish()


def plainly(reads: list[Read]) -> tuple[Counted, int | None, float | None]:
    passed = sorted((length for length, _, fine, _ in reads if fine), reverse=True)
    total = Counted(len(reads), len(passed), sum(length for length, *_ in reads), sum(passed))
    half, reached, n50 = sum(passed) / 2, 0, None
    for length in passed:
        reached += length
        if reached >= half > 0:
            n50 = length
            break
    qualities = [quality for _, quality, fine, _ in reads if fine]
    return total, n50, sum(qualities) / len(qualities) if qualities else None


BARCODES = ["barcode01", "barcode12", "unclassified"]
READS = st.lists(
    st.tuples(
        st.integers(0, 400_000), st.floats(0, 60), st.booleans(), st.sampled_from(BARCODES)
    ),
    max_size=60,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(READS, st.integers(1, 5000), st.sampled_from(["\n", "\r\n"]))
def test_blocks_of_any_size_count_what_row_by_row_counting_counts(reads: list[Read], step: int, end: str) -> None:
    found = scanned(table(reads, end).encode(), step)
    total, n50, quality = plainly(reads)
    assert (found.rows, found.left_out, found.n50) == (len(reads), 0, n50)
    assert found.total == total
    assert found.mean_quality == pytest.approx(quality, abs=1e-5)
    assert {name: counts.reads for name, counts in found.barcodes.items()} == {
        name: sum(each == name for *_, each in reads) for name in {each for *_, each in reads}
    }


def test_rows_that_do_not_fit_and_a_cut_last_row_are_left_out_and_told() -> None:
    reads: list[Read] = [(1000, 12.5, True, "barcode01")] * 10
    lines = table(reads).splitlines(keepends=True)
    lines[4] = "only\tthree\tcells\n"
    lines[6] = lines[6].replace("1000", "no number")
    found = scanned("".join(lines).encode() + b"f.fastq\tr10\tTRUE\t10")
    assert (found.rows, found.left_out) == (8, 3)
    assert found.total == Counted(8, 8, 8000, 8000)


def test_n50_is_the_length_at_which_exactly_half_of_the_bases_are_reached() -> None:
    assert scanned(table([(length, 12.5, True, "barcode01") for length in (10, 20, 30)]).encode()).n50 == 30
    assert scanned(table([(length, 12.5, True, "barcode01") for length in (70_000, 10, 70_010)]).encode()).n50 == 70_010


def test_a_table_of_something_else_counts_nothing() -> None:
    assert scanned(b"a\tb\tc\n1\t2\t3\n") == Summary()
    assert scanned(b"") == Summary()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=2000), st.integers(0, 400))
def test_no_bytes_make_it_raise(noise: bytes, place: int) -> None:
    data = table([(1000, 12.5, True, "barcode01")] * 5).encode()
    scanned(data[:place] + noise + data[place:], 97)
    scanned(HEAD.encode() + noise, 97)


def test_a_folder_tells_the_counts_of_its_summary_by_barcode(tmp_path: Path) -> None:
    chance = random.Random(6)
    reads = [(chance.randint(200, 90_000), 10.0, True, f"barcode0{chance.randint(1, 3)}") for _ in range(300)]
    put(tmp_path, "r/sequencing_summary_FAX12345_1a2b3c4d_55667788.txt", table(reads))
    run = read_run(tmp_path / "r")
    told = {(metric.scope, metric.name): metric.value for metric in run.qc}
    total, n50, _ = plainly(reads)
    assert told["run", "reads"] == 300
    assert told["run", "n50"] == n50
    assert told["run", "bases"] == total.bases
    assert told["barcode02", "reads"] == sum(each == "barcode02" for *_, each in reads)


def test_a_large_summary_in_a_folder_is_left_for_when_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labrelay.parsers.ont_quality._AT_ONCE", 100)
    name = "sequencing_summary_FAX12345_1a2b3c4d_55667788.txt"
    put(tmp_path, f"r/{name}", table([(1000, 12.5, True, "barcode01")] * 5))
    put(tmp_path, "r/fastq_pass/FAX12345_pass_1a2b3c4d_55667788_0.fastq.gz")
    run = read_run(tmp_path / "r")
    assert "SUMMARY_NOT_READ" in [problem.code for problem in run.problems]
    assert run.qc == ()
    assert {metric.name: metric.value for metric in read_run(tmp_path / "r" / name).qc}["reads"] == 5


def test_a_summary_in_gzip_is_counted_and_one_that_was_cut_or_unpacks_without_end_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "sequencing_summary_FAX12345_1a2b3c4d_55667788.txt.gz"
    packed = gzip.compress(table([(1000, 12.5, True, "barcode01")] * 500).encode())
    put(tmp_path, f"whole/{name}", packed)
    put(tmp_path, f"cut/{name}", packed[:-100])
    put(tmp_path, "cut/fastq_pass/FAX12345_pass_1a2b3c4d_55667788_0.fastq.gz")
    assert {metric.name: metric.value for metric in read_run(tmp_path / "whole" / name).qc}["reads"] == 500
    cut = read_run(tmp_path / "cut")
    assert ("UNREADABLE" in [problem.code for problem in cut.problems], cut.qc) == (True, ())
    monkeypatch.setattr("labrelay.parsers.ont_quality._AT_ONCE", len(packed) * 2)
    put(tmp_path, "whole/fastq_pass/FAX12345_pass_1a2b3c4d_55667788_0.fastq.gz")
    bomb = read_run(tmp_path / "whole")
    assert ("SUMMARY_NOT_READ" in [problem.code for problem in bomb.problems], bomb.qc) == (True, ())
