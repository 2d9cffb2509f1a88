from __future__ import annotations

import gzip
import random
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from fastq_text import bgzip, members, scan, text_of
from hypothesis import given, settings
from hypothesis import strategies as st

from labrelay.model.errors import RefusedInput
from labrelay.model.problem import Problem
from labrelay.parsers.fastq import FastqScan, scan_fastq
from labrelay.parsers.fastq_rules import Record, fault_of
from labrelay.parsers.inflate import BOMB_RATIO
from labrelay.parsers.stage import Stage

READS = Path(__file__).parents[1] / "data" / "reads"
GOOD = [(f"r{n} 1:N:0:A", "ACGTN"[: 3 + n % 3], "IIIII"[: 3 + n % 3]) for n in range(6)]
# What stands in place of the four lines of a record, which code follows, and on which of its lines.
FAULTS = {
    "no at sign": (["r3", "ACG", "+", "III"], "BAD_FASTQ_HEADER", 0),
    "no name": (["@", "ACG", "+", "III"], "BAD_FASTQ_HEADER", 0),
    "a space for a name": (["@ x", "ACG", "+", "III"], "BAD_FASTQ_HEADER", 0),
    "a blank line": (["", "ACG", "+", "III"], "BAD_FASTQ_HEADER", 0),
    "a missing line": (["@r3", "ACG", "III"], "BAD_FASTQ_PLUS", 2),
    "no plus": (["@r3", "ACG", "-", "III"], "BAD_FASTQ_PLUS", 2),
    "an empty plus line": (["@r3", "ACG", "", "III"], "BAD_FASTQ_PLUS", 2),
    "another name after plus": (["@r3", "ACG", "+r4", "III"], "BAD_FASTQ_PLUS", 2),
    "short quality": (["@r3", "ACG", "+", "II"], "SEQ_QUAL_LENGTH", 3),
    "long quality": (["@r3", "ACG", "+", "IIII"], "SEQ_QUAL_LENGTH", 3),
    "empty quality": (["@r3", "ACG", "+", ""], "SEQ_QUAL_LENGTH", 3),
    "space in quality": (["@r3", "ACG", "+", "I I"], "QUALITY_RANGE", 3),
    "DEL in quality": (["@r3", "ACG", "+", "I\x7fI"], "QUALITY_RANGE", 3),
    "NUL in quality": (["@r3", "ACG", "+", "I\0I"], "QUALITY_RANGE", 3),
    "digit in sequence": (["@r3", "A7G", "+", "III"], "BAD_SEQUENCE", 1),
    "space in sequence": (["@r3", "A G", "+", "III"], "BAD_SEQUENCE", 1),
    "NUL in sequence": (["@r3", "A\0G", "+", "III"], "BAD_SEQUENCE", 1),
    "bracket in sequence": (["@r3", "A[G", "+", "III"], "BAD_SEQUENCE", 1),
    "CR LF header": (["@r3\r", "ACG", "+", "III"], "MIXED_LINE_ENDS", 0),
    "CR LF quality": (["@r3", "ACG", "+", "III\r"], "MIXED_LINE_ENDS", 3),
}


def refusal(content: bytes, path: str = "a.fastq", chunks: tuple[int, ...] = (), **options: int) -> Problem:
    with pytest.raises(RefusedInput) as caught:
        scan(content, path, chunks, **options)
    assert len(caught.value.problems) == 1
    return caught.value.problems[0]


def with_fault(fault: str, place: int) -> bytes:
    lines = "".join(line + "\n" for line in FAULTS[fault][0])
    return text_of(GOOD[:place]) + lines.encode() + text_of(GOOD[place:])


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_named_with_its_line_wherever_a_block_ends(fault: str) -> None:
    _, code, offset = FAULTS[fault]
    text = with_fault(fault, 3)
    for block in range(1, len(text) + 1, 2):
        problem = refusal(text, block_bytes=block)
        assert (problem.code, problem.line, problem.path) == (code, 12 + offset + 1, "a.fastq"), block


@pytest.mark.parametrize("fault", [name for name in FAULTS if name not in ("a missing line", "CR LF header")])
@pytest.mark.parametrize("place", [0, len(GOOD)])
def test_faults_of_the_first_and_the_last_read_are_named(fault: str, place: int) -> None:
    _, code, offset = FAULTS[fault]
    for block in (1, 11, 50, 4000):
        problem = refusal(with_fault(fault, place), block_bytes=block)
        assert (problem.code, problem.line) == (code, 4 * place + offset + 1), block


def test_a_missing_line_in_the_last_read_is_a_file_that_ends_too_early() -> None:
    problem = refusal(with_fault("a missing line", len(GOOD)))
    assert (problem.code, problem.line) == ("TRUNCATED_RECORD", 4 * len(GOOD) + 3)


@pytest.mark.parametrize("fault", [name for name in FAULTS if FAULTS[name][1] != "MIXED_LINE_ENDS"])
def test_faults_are_found_in_files_with_dos_line_ends(fault: str) -> None:
    lines, code, offset = FAULTS[fault]
    text = text_of(GOOD, "\r\n") + "".join(line + "\r\n" for line in lines).encode() + text_of(GOOD, "\r\n")
    for block in (1, 20, 5000):
        problem = refusal(text, block_bytes=block)
        assert (problem.code, problem.line) == (code, 4 * len(GOOD) + offset + 1)


def test_a_line_feed_alone_in_a_dos_file_is_named() -> None:
    text = text_of(GOOD, "\r\n") + b"@r9\r\nAC\n+\r\nII\r\n" + text_of(GOOD, "\r\n")
    for block in (1, 20, 5000):
        problem = refusal(text, block_bytes=block)
        assert (problem.code, problem.line) == ("MIXED_LINE_ENDS", 4 * len(GOOD) + 2)


def test_a_fault_behind_thousands_of_reads_has_its_exact_line() -> None:
    good = text_of([(f"read{n}", "ACGT" * 30, "F" * 120) for n in range(9000)])
    bad = good + b"@bad\nACGT\n+\nIII\n" + good
    for content, path in ((bad, "a.fq"), (members(bad, [5000, 600_000]), "a.fq.gz"), (bgzip(bad, 9999), "a.gz")):
        problem = refusal(content, path, (65_536,))
        assert (problem.code, problem.line) == ("SEQ_QUAL_LENGTH", 36_004)
        assert "read bad has 4 bases but 3 quality values" in problem.message


@pytest.mark.parametrize(
    ("name", "code", "line"),
    [
        ("error_diff_ids.fastq", "BAD_FASTQ_PLUS", 11),
        ("error_long_qual.fastq", "SEQ_QUAL_LENGTH", 16),
        ("error_trunc_at_seq.fastq", "TRUNCATED_RECORD", 18),
        ("error_trunc_in_qual.fastq", "SEQ_QUAL_LENGTH", 20),
    ],
)
def test_published_faulty_files_are_refused(name: str, code: str, line: int) -> None:
    with pytest.raises(RefusedInput) as caught:
        scan_fastq(READS / name)
    assert [(p.code, p.line) for p in caught.value.problems] == [(code, line)]


def test_a_file_cut_anywhere_inside_a_record_is_refused() -> None:
    text = text_of(GOOD)
    borders = {0} | {len(text_of(GOOD[:n])) for n in range(1, len(GOOD) + 1)}
    whole = borders | {border - 1 for border in borders if border}
    for cut in range(len(text) + 1):
        if cut in whole:
            assert scan(text[:cut], block_bytes=10).reads == sum(0 < b <= cut + 1 for b in borders)
        else:
            problem = refusal(text[:cut], block_bytes=10)
            assert problem.code == "TRUNCATED_RECORD", cut
            assert problem.line == text[:cut].rstrip(b"\n").count(b"\n") + 1


def test_a_gzip_file_cut_anywhere_is_refused() -> None:
    stored = members(text_of(GOOD))
    for cut in range(1, len(stored)):
        assert refusal(stored[:cut], "a.fastq.gz").code in ("TRUNCATED_GZIP", "NOT_GZIP" if cut == 1 else ""), cut


def test_a_cut_in_the_second_member_is_refused_however_the_bytes_come() -> None:
    first, second = members(text_of(GOOD)), members(text_of(GOOD))
    assert scan(first + second, "a.gz").reads == 2 * len(GOOD)
    for cut in range(1, len(second)):
        assert refusal(first + second[:cut], "a.gz", (1 + cut % 9,)).code == "TRUNCATED_GZIP", cut


def test_a_damaged_byte_in_a_gzip_file_never_passes() -> None:
    text = text_of([(f"r{n}", "ACGT" * 9, "F" * 36) for n in range(40)])
    stored, expected = members(text), scan(text)
    for place in range(10, len(stored)):
        damaged = bytearray(stored)
        damaged[place] ^= 0x55
        with pytest.raises(RefusedInput) as caught:
            scan(bytes(damaged), "a.gz")
        assert caught.value.problems[0].path == "a.gz"
    assert expected.reads == 40


@pytest.mark.parametrize(
    ("content", "path", "code"),
    [
        (members(text_of(GOOD)) + b"rest of a page", "a.gz", "GARBAGE_AFTER_GZIP"),
        (members(text_of(GOOD)) + b"x", "a.gz", "GARBAGE_AFTER_GZIP"),
        (members(text_of(GOOD)) + b"\0" * 512, "a.gz", "GARBAGE_AFTER_GZIP"),
        (text_of(GOOD), "a.fastq.gz", "NOT_GZIP"),
        (b"\0" * 4096, "a.fastq.gz", "NOT_GZIP"),
        (b"\0" * 4096, "a.fastq", "TRUNCATED_RECORD"),
        (b"BZh91AY&SY", "a.fastq", "UNKNOWN_COMPRESSION"),
        (b"\x28\xb5\x2f\xfd\x04", "a.fastq.gz", "UNKNOWN_COMPRESSION"),
        (b"@", "a.fastq", "TRUNCATED_RECORD"),
        (b"@a\nA\n+\n", "a.fastq", "TRUNCATED_RECORD"),
        (b"ACGT", "a.fastq", "BAD_FASTQ_HEADER"),
        (b"\x1f\x8b\x08\x00garbage that is no deflate stream", "a.gz", "CORRUPT_GZIP"),
        (b">contig\nACGT\n>other\nACGT\n", "a.fastq", "BAD_FASTQ_HEADER"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 3, 100_000])
def test_what_is_no_whole_fastq_is_refused(content: bytes, path: str, code: str, chunk: int) -> None:
    if content.startswith(b"\0") and not path.endswith(".gz"):
        code = "BAD_FASTQ_HEADER"
    assert refusal(content, path, (chunk,)).code == code


def test_a_file_that_inflates_beyond_reason_is_refused_before_it_is_read() -> None:
    bomb = gzip.compress(b"\0" * 30_000_000)
    assert refusal(bomb, "a.gz", bomb_floor=1 << 20).code == "GZIP_BOMB"
    assert refusal(bomb, "a.gz", record_limit=1 << 20).code == "RECORD_TOO_LONG"


def test_a_small_file_that_compresses_well_is_no_bomb() -> None:
    text = text_of([("r", "N" * 5000, "#" * 5000)]) * 400
    stored = gzip.compress(text)
    assert len(text) / len(stored) > BOMB_RATIO
    assert scan(stored, "a.gz").n_bases == 2_000_000
    assert refusal(stored, "a.gz", bomb_floor=1 << 20).code == "GZIP_BOMB"


@given(
    st.lists(st.sampled_from([b"@r", b"r", b"", b"AC", b"A.", b"A7", b"+", b"+r", b"II", b"I\x1f", b"@I"]), max_size=24)
)
@settings(deadline=None, max_examples=300)
def test_the_fast_proof_and_the_plain_rules_agree_on_any_lines(lines: list[bytes]) -> None:
    lines = lines[: len(lines) // 4 * 4]
    quads = [Record(*lines[i : i + 4]) for i in range(0, len(lines), 4)]
    expected = next(((f.code, 4 * i + f.line + 1) for i, quad in enumerate(quads) if (f := fault_of(quad))), None)
    text = b"".join(line + b"\n" for line in lines)
    try:
        stats = scan(text, block_bytes=32)
    except RefusedInput as refused:
        found = (refused.problems[0].code, refused.problems[0].line)
        assert expected == found
    else:
        ended = next((i for i, quad in enumerate(quads) if not quad.header), len(quads))
        assert not b"".join(lines[4 * ended :])
        assert stats.reads == ended


def feed_often(watcher: FastqScan, chunk: bytes) -> None:
    for _ in range(10_000):
        watcher.feed(chunk)


def test_an_error_surfaces_at_the_next_feed_and_again_at_the_end_and_leaves_no_thread() -> None:
    before = threading.active_count()
    watcher = FastqScan("a.fastq", block_bytes=1000)
    with pytest.raises(RefusedInput):
        feed_often(watcher, b"this is no FASTQ\n" * 1000)
    with pytest.raises(RefusedInput):
        watcher.finish()
    watcher.close()
    watcher.close()
    assert threading.active_count() == before


def test_closing_in_the_middle_of_a_file_ends_its_threads() -> None:
    before = threading.active_count()
    content = zlib.compress(b"x")  # keeps the import honest: a zlib stream is no gzip
    assert refusal(content * 9, "a.gz").code == "NOT_GZIP"
    for size in (0, 1, 5, 400):
        watcher = FastqScan("a.fastq.gz", block_bytes=500)
        stored = members(text_of(GOOD * 4000))
        for start in range(0, min(size * 100, len(stored)), 100):
            watcher.feed(stored[start : start + 100])
        watcher.close()
    assert threading.active_count() == before


def test_a_stage_gives_back_the_error_of_its_thread_and_never_blocks() -> None:
    done: list[int] = []

    def work(item: int) -> None:
        if item == 3:
            raise OSError("three")
        done.append(item)

    def put_many() -> None:
        for item in range(1000):
            stage.put(item)

    stage = Stage("test", work, depth=1)
    with pytest.raises(OSError, match="three"):
        put_many()
    with pytest.raises(OSError, match="three"):
        stage.finish()
    stage.close()
    assert done == [0, 1, 2]
    with pytest.raises(ValueError, match="no more items"):
        stage.put(1)


def test_random_damage_is_refused_or_changes_nothing_but_letters() -> None:
    seed = random.Random(11)  # a fixed sequence of damage
    text = text_of([(f"r{n}", "ACGTN" * 4, "FFFF:" * 4) for n in range(30)])
    for _ in range(400):
        damaged = bytearray(text)
        damaged[seed.randrange(len(text))] = seed.randrange(256)
        try:
            stats = scan(bytes(damaged), block_bytes=100)
        except RefusedInput as refused:
            problem = refused.problems[0]
            assert problem.line is not None
            assert 1 <= problem.line <= 121
        else:
            assert (stats.reads, stats.bases) == (30, 600)


def test_high_bytes_and_control_characters_never_reach_the_terminal_raw() -> None:
    text = b"@r\x1b[2J\nA\x1bC\n+\nIII\n"
    message = str(refusal(text))
    assert "\x1b" not in message


def test_gzip_members_may_end_anywhere_even_inside_a_name() -> None:
    text = text_of(GOOD)
    expected = scan(text)
    for cut in range(len(text)):
        stats = scan(gzip.compress(text[:cut]) + gzip.compress(b"") + gzip.compress(text[cut:]), "a.gz", (17,))
        assert (stats.reads, stats.names_digest) == (expected.reads, expected.names_digest)


def test_quality_sums_of_large_blocks_do_not_overflow() -> None:
    length = 18_000_000
    text = b"@long\n" + b"A" * length + b"\n+\n" + b"~" * length + b"\n"
    stats = scan(text, chunks=(1 << 20,))
    assert stats.quality_sum == 93 * length
    assert np.isclose(stats.mean_quality or 0, 93)


def test_a_stage_is_closed_while_another_thread_puts_its_first_item(monkeypatch: pytest.MonkeyPatch) -> None:
    started, stage = threading.Event(), Stage[int]("slow to start", lambda _item: None)
    start = stage._thread.start

    def slowly() -> None:
        started.set()
        time.sleep(0.05)
        start()

    monkeypatch.setattr(stage._thread, "start", slowly)
    first = threading.Thread(target=stage.put, args=(1,))
    first.start()
    started.wait()
    stage.close()  # it said "cannot join thread before it is started", and the file's own fault was never told
    first.join()
    assert not stage._thread.is_alive()
