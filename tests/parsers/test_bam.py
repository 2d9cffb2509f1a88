from __future__ import annotations

import hashlib
from pathlib import Path

import pysam
import pytest

from labrelay.model.problem import Severity
from labrelay.model.reads import BamStats
from labrelay.parsers import bam
from labrelay.parsers.bam import check_sample, scan_bam

ALIGNMENTS = Path(__file__).parents[1] / "data" / "alignments"


def codes(path: Path) -> list[str]:
    return [problem.code for problem in scan_bam(path)[1]]


@pytest.mark.parametrize(
    ("name", "reads", "samples", "aligned"),
    [
        ("colons.bam", 6, (), True),
        ("range.bam", 112, ("ERS225193",), True),
        ("range.cram", 112, ("ERS225193",), True),
        ("small.bam", 8, ("sample",), True),
        ("empty.ccs.bam", 0, (), False),
        ("empty2.bam", 0, (), False),
    ],
)
def test_whole_files_pass_with_their_counts_and_samples(
    name: str, reads: int, samples: tuple[str, ...], aligned: bool
) -> None:
    stats, problems = scan_bam(ALIGNMENTS / name, want_md5=True)
    content = (ALIGNMENTS / name).read_bytes()
    assert problems == []
    assert (stats.reads, stats.sample_names, stats.aligned) == (reads, samples, aligned)
    assert (stats.size, stats.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert stats.md5 == hashlib.md5(content).hexdigest()


def test_reads_are_counted_once_though_they_are_aligned_twice() -> None:
    path = ALIGNMENTS / "no_hdr_sq_1.bam"
    with pysam.AlignmentFile(str(path)) as file:
        records = list(file.fetch(until_eof=True))
    primary = sum(not (record.is_secondary or record.is_supplementary) for record in records)
    assert (len(records), primary) == (6, 5)
    assert scan_bam(path)[0].reads == 5


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("small.no_eof.bam", ["BAM_NO_EOF"]),
        ("range.no_eof.cram", ["BAM_NO_EOF"]),
        ("range.cut_mid_block.bam", ["TRUNCATED", "BAM_NO_EOF"]),
    ],
)
def test_cut_files_are_named(name: str, expected: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    stats, problems = scan_bam(ALIGNMENTS / name, f"run/{name}")
    assert [problem.code for problem in problems] == expected
    assert {problem.path for problem in problems} == {f"run/{name}"}
    assert (stats.reads is None) == ("TRUNCATED" in expected)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["empty.bam", "empty.cram"])
def test_a_file_without_a_byte_is_said_to_be_empty_and_nothing_else(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert codes(tmp_path / name) == ["ZERO_BYTE_FILE"]


def test_a_bam_cut_anywhere_is_refused_and_htslib_stays_silent(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    content = (ALIGNMENTS / "small.bam").read_bytes()
    path = tmp_path / "cut.bam"
    for cut in range(0, len(content), 7):
        path.write_bytes(content[:cut])
        assert codes(path), cut
    assert capfd.readouterr() == ("", "")


def test_a_damaged_byte_in_a_block_is_found_by_its_checksum(tmp_path: Path) -> None:
    content = bytearray((ALIGNMENTS / "range.bam").read_bytes())
    path = tmp_path / "damaged.bam"
    for place in range(2000, len(content) - 60, 997):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        assert set(codes(path)) & {"TRUNCATED", "BAD_HEADER"}, place


def test_what_is_no_bam_is_named_as_such(tmp_path: Path) -> None:
    for name, content, code in (
        ("b.bam", b"hello", "BAD_HEADER"),
        ("c.bam", b"@r\nACGT\n+\nIIII\n", "NOT_BAM"),
        ("d.bam", b"@HD\tVN:1.6\n@SQ\tSN:a\tLN:9\nr\t4\t*\t0\t0\t*\t*\t0\t0\tACGT\tIIII\n", "NOT_BAM"),
        ("e.bam", b"BAM\1" + b"\xff" * 400, "BAD_HEADER"),
        ("f.cram", b"CRAM\3\0" + b"\0" * 400, "BAD_HEADER"),
    ):
        (tmp_path / name).write_bytes(content)
        assert codes(tmp_path / name)[0] == code, name


def test_unaligned_reads_with_several_samples_are_told(tmp_path: Path) -> None:
    path = tmp_path / "u.bam"
    groups = [{"ID": "1", "SM": "b"}, {"ID": "2", "SM": "a"}, {"ID": "3", "SM": "b"}, {"ID": "4"}]
    with pysam.AlignmentFile(str(path), "wb", header={"HD": {"VN": "1.6"}, "RG": groups}) as out:
        for number in range(3):
            record = pysam.AlignedSegment()
            record.query_name, record.query_sequence, record.flag = f"r{number}", "ACGT", 4
            out.write(record)
    stats, problems = scan_bam(path)
    assert problems == []
    assert (stats.reads, stats.aligned, stats.sample_names) == (3, False, ("b", "a"))


def test_without_counting_only_header_and_end_are_judged() -> None:
    stats, problems = scan_bam(ALIGNMENTS / "range.cut_mid_block.bam", count_reads=False)
    assert [problem.code for problem in problems] == ["BAM_NO_EOF"]
    assert (stats.reads, stats.sample_names, stats.aligned) == (None, ("ERS225193",), True)


def test_names_that_htslib_takes_for_urls_or_index_hints_are_plain_files(tmp_path: Path) -> None:
    path = tmp_path / "a##idx##b.bam"
    path.write_bytes((ALIGNMENTS / "small.bam").read_bytes())
    assert scan_bam(path)[0].reads == 8


def test_a_missing_file_is_the_callers_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        scan_bam(tmp_path / "none.bam")


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (("A",), []),
        (("alias-of-A",), []),
        (("B",), ["WRONG_SAMPLE"]),
        (("A", "B", "C"), ["WRONG_SAMPLE", "WRONG_SAMPLE"]),
        ((), ["NO_SAMPLE_NAME"]),
    ],
)
def test_the_headers_sample_is_held_against_the_announced_one(samples: tuple[str, ...], expected: list[str]) -> None:
    stats = BamStats(sha256="0" * 64, size=1, reads=1, sample_names=samples, aligned=False)
    problems = check_sample(stats, {"A", "alias-of-A"}, "a.bam")
    assert [problem.code for problem in problems] == expected
    assert all((p.severity is Severity.WARNING) == (p.code == "NO_SAMPLE_NAME") for p in problems)


def test_a_caller_who_has_hashed_the_file_is_taken_at_his_word_and_nothing_is_hashed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = ALIGNMENTS / "small.bam"
    plain = scan_bam(path)
    monkeypatch.setattr(bam, "_Digest", lambda *_given: pytest.fail("the bytes were hashed again"))
    assert scan_bam(path, known=(plain[0].sha256, plain[0].size)) == plain


def test_long_decoding_says_now_and_then_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[None] = []
    monkeypatch.setattr(bam, "PULSE_RECORDS", 50)
    scan_bam(ALIGNMENTS / "range.bam", alive=lambda: calls.append(None))
    assert len(calls) == 112 // 50
