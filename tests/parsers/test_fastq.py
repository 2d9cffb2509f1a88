from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from fastq_text import Triple, bgzip, counts, dnaio_counts, members, scan, text_of
from hypothesis import given, settings
from hypothesis import strategies as st

from labrelay.model.errors import RefusedInput
from labrelay.model.problem import Problem, Severity
from labrelay.parsers.fastq import FastqScan, scan_fastq

READS = Path(__file__).parents[1] / "data" / "reads"
NAMES = st.text(st.sampled_from("abcXYZ0123456789:_-#."), min_size=1, max_size=90)
SUFFIXES = st.sampled_from(["", "/1", "/2", " 1:N:0:ACGT", " 2:N:0:AC+GT", " length=9", "\tx y"])
LENGTHS = st.one_of(st.integers(0, 12), st.just(0), st.integers(100, 400))


@st.composite
def records(draw: st.DrawFn) -> list[Triple]:
    """Reads of equal or mixed lengths, among them empty ones, in lower and upper case with N."""
    lengths = draw(st.one_of(st.lists(LENGTHS, max_size=12), st.tuples(LENGTHS, st.integers(0, 12)).map(_repeated)))
    seed = np.random.default_rng(draw(st.integers(0, 2**32)))
    made = []
    for length in lengths:
        bases = "".join(seed.choice(list("ACGTNacgtnRY"), length))
        quality = "".join(map(chr, seed.integers(33, 127, length)))
        made.append((draw(NAMES) + draw(SUFFIXES), bases, quality))
    return made


def _repeated(pair: tuple[int, int]) -> list[int]:
    return [pair[0]] * pair[1]


@pytest.mark.parametrize("cut", [1, 7, 1000])
def test_the_text_is_hashed_as_it_was_before_it_was_compressed(cut: int) -> None:
    text = b"".join(b"@read%d\r\nACGTN\r\n+\r\nIIIII\r\n" % number for number in range(20))
    packed = bgzip(text)
    digest = hashlib.md5()
    watching = FastqScan("a.fastq.gz", text_hash=digest, block_bytes=64)
    for start in range(0, len(packed), cut):
        watching.feed(packed[start : start + cut])
    watching.finish()
    assert digest.hexdigest() == hashlib.md5(text).hexdigest()


@pytest.mark.parametrize("name", ["example.fastq", "sanger_93.fastq", "illumina_full_range_original_illumina.fastq"])
def test_published_files_count_as_dnaio_counts_them(name: str) -> None:
    assert counts(scan_fastq(READS / name)) == dnaio_counts((READS / name).read_bytes())


def test_one_file_in_four_encodings_gives_the_same_numbers_and_names() -> None:
    names = ["example.fastq", "example.fastq.gz", "example_dos.fastq", "example_dos.fastq.bgz"]
    found = [scan_fastq(READS / name) for name in names]
    assert found[0].reads == 3
    assert found[0].bases == 75
    for stats, name in zip(found, names, strict=True):
        content = (READS / name).read_bytes()
        assert (stats.sha256, stats.size) == (hashlib.sha256(content).hexdigest(), len(content))
        assert counts(stats) == counts(found[0])
        assert stats.names_digest == found[0].names_digest


@given(
    records(),
    st.integers(1, 900),
    st.lists(st.integers(1, 700), min_size=1, max_size=5),
    st.lists(st.integers(0, 10_000), max_size=3),
    st.sampled_from(["plain", "gzip", "bgzip"]),
)
@settings(deadline=None, max_examples=150)
def test_any_reads_in_any_chunks_and_blocks_count_as_dnaio_counts_them(
    reads: list[Triple], block: int, chunks: list[int], cuts: list[int], storage: str
) -> None:
    text = text_of(reads)
    stored = {"plain": text, "gzip": members(text, cuts), "bgzip": bgzip(text)}[storage]
    stats = scan(stored, "a" if storage == "plain" else "a.gz", chunks, block_bytes=block)
    assert counts(stats) == dnaio_counts(text)
    assert stats.names_digest == scan(text).names_digest
    assert (stats.sha256, stats.size) == (hashlib.sha256(stored).hexdigest(), len(stored))


@given(records(), st.integers(1, 500))
@settings(deadline=None, max_examples=60)
def test_line_ends_and_blank_lines_at_the_end_change_no_number(reads: list[Triple], block: int) -> None:
    text = text_of(reads)
    expected = counts(scan(text))
    assert counts(scan(text_of(reads, "\r\n"), block_bytes=block)) == expected
    assert counts(scan(text + b"\n\n\r\n\n\n\n\n", block_bytes=block)) == expected
    if reads and reads[-1][1]:
        assert counts(scan(text[:-1], block_bytes=block)) == expected
        assert counts(scan(text_of(reads, "\r\n")[:-1], block_bytes=block)) == expected
        assert counts(scan(text_of(reads, "\r\n")[:-2], block_bytes=block)) == expected


@pytest.mark.parametrize("block", [1, 7, 64, 1000, 1 << 20])
def test_long_and_short_reads_together_count_as_dnaio_counts_them(block: int) -> None:
    seed = np.random.default_rng(5)
    reads = []
    for number, length in enumerate([70_000, 3, 0, 300_000, 150, 151, 90_000]):
        quality = "".join(map(chr, seed.integers(33, 127, length)))
        reads.append((f"read{number} ch=4", "".join(seed.choice(list("ACGTN"), length)), quality))
    text = text_of(reads)
    assert counts(scan(members(text), "a.gz", [40_000], block_bytes=max(block, 64))) == dnaio_counts(text)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_plus_lines_that_repeat_the_header_are_taken(end: str) -> None:
    text = "".join(f"@r{n} x{end}ACGT{end}+r{n} x{end}@III{end}" for n in range(20)).encode()
    for block in (1, 30, 10_000):
        stats = scan(text, block_bytes=block)
        assert (stats.reads, stats.bases, stats.q30_bases) == (20, 80, 80)


def test_plus_lines_with_and_without_the_repeat_may_stand_side_by_side() -> None:
    assert scan(b"@a\nA\n+a\nI\n@b\nC\n+\nI\n").reads == 2


def test_dots_dashes_and_stars_are_taken_as_bases_that_are_neither_gc_nor_n() -> None:
    stats = scan(b"@a\nAC.-*\n+\nIIIII\n")
    assert (stats.bases, stats.gc_bases, stats.n_bases) == (5, 1, 0)


@pytest.mark.parametrize(
    "content",
    [b"", members(b""), bgzip(b""), b"\n\n", b"\r\n"],
    ids=["nothing", "empty gzip", "empty bgzip", "blank lines", "blank DOS lines"],
)
def test_a_file_without_reads_is_a_state_and_no_error(content: bytes) -> None:
    stats = scan(content, "empty.fastq.gz" if content[:1] in (b"", b"\x1f") else "empty.fastq")
    assert (stats.reads, stats.bases, stats.min_length, stats.max_length, stats.mean_quality) == (
        0,
        0,
        None,
        None,
        None,
    )
    assert stats.names_digest == hashlib.sha256().hexdigest()


def test_dos_line_ends_are_taken_with_a_warning() -> None:
    said: list[Problem] = []
    scan_fastq(READS / "example_dos.fastq", name="run/a.fastq", on_warning=said.append)
    assert [(p.code, p.severity, p.path) for p in said] == [("DOS_LINE_ENDS", Severity.WARNING, "run/a.fastq")]
    scan_fastq(READS / "example.fastq", on_warning=said.append)
    assert len(said) == 1


def test_the_reader_may_hash_the_bytes_itself() -> None:
    watcher = FastqScan("a.fastq", hash_bytes=False, want_md5=True)
    watcher.feed(b"@a\nA\n+\nI\n")
    stats = watcher.finish(sha256="0" * 64, size=9)
    assert (stats.sha256, stats.size, stats.md5) == ("0" * 64, 9, hashlib.md5(b"@a\nA\n+\nI\n").hexdigest())
    assert stats.first_name == "a"


@pytest.mark.parametrize(("sha256", "size"), [(None, 9), ("0" * 64, 8)])
def test_a_digest_of_other_bytes_is_not_taken(sha256: str | None, size: int) -> None:
    watcher = FastqScan("a.fastq", hash_bytes=False)
    watcher.feed(b"@a\nA\n+\nI\n")
    with pytest.raises(ValueError, match="digest"):
        watcher.finish(sha256=sha256, size=size)
    watcher.close()


def test_scanning_a_path_shows_the_same_bytes_to_other_watchers() -> None:
    class Collector:
        seen = b""

        def feed(self, chunk: bytes) -> None:
            self.seen += chunk

    collector = Collector()
    scan_fastq(READS / "example.fastq.gz", [collector])
    assert collector.seen == (READS / "example.fastq.gz").read_bytes()


def test_a_refused_file_is_named_as_the_caller_names_it() -> None:
    with pytest.raises(RefusedInput) as caught:
        scan_fastq(READS / "error_long_qual.fastq", name="lane 1/a.fastq")
    assert caught.value.problems[0].path == "lane 1/a.fastq"


def test_memory_does_not_grow_with_the_file() -> None:
    text = text_of([(f"read{n}", "ACGT" * 30, "F:,#" * 30) for n in range(4000)])

    def peak(times: int) -> int:
        watcher = FastqScan("a.fastq")
        tracemalloc.start()
        for _ in range(times):
            watcher.feed(text)
        assert watcher.finish().reads == 4000 * times
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    few, many = peak(6), peak(60)
    assert many < 1.5 * few
    assert many < 30_000_000
