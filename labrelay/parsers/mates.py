"""Do two FASTQ files hold the two mates of the same fragments, in the same order?

The pass over each file gave counts, a digest of the names and the mate number that names carry. Equal digests prove
the pair; only when they differ are the files read again, to name the first record that does not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from labrelay.model.problem import Problem, Severity
from labrelay.model.reads import FastqStats
from labrelay.model.words import counted
from labrelay.parsers.inflate import Inflater
from labrelay.parsers.read_names import split_name

READ_BYTES = 256 * 1024
# Some archives end the names of mates in `.1` and `.2` where others write `/1` and `/2`.
ARCHIVE_SUFFIXES = (b".1", b".2")


class Mismatch(NamedTuple):
    """The first record, from 1, whose names differ; a name is None where that file has ended."""

    record: int
    first: str | None
    second: str | None

    @property
    def line(self) -> int:
        """The line of the record's header, from 1, in both files."""
        return 4 * (self.record - 1) + 1


def check_mates(
    first: FastqStats,
    second: FastqStats,
    first_path: Path,
    second_path: Path,
    names: tuple[str, str] | None = None,
    alive: Callable[[], object] | None = None,
) -> list[Problem]:
    """Return what is wrong with a pair; both files have passed the gate on their own.

    Args:
        first, second: What the pass over R1 and R2 gave.
        first_path, second_path: The files, read again only when names differ.
        names: How messages name the files; the file names when not given.
        alive: Called now and then while the files are read again.

    Returns:
        `MATES_IDENTICAL`, `MATE_COUNT`, `MATE_NAMES`, `MATES_SWAPPED`, or the warning `MATE_NUMBERS`.
    """
    shown = names or (first_path.name, second_path.name)
    if first.reads and first.sha256 == second.sha256:
        return [_problem("MATES_IDENTICAL", f"R1 and R2 are the same file ({shown[0]})", shown[1])]
    problems = _number_problems(first.mate, second.mate, shown)
    if first.names_digest == second.names_digest and first.reads == second.reads:
        return problems
    mismatch = first_mate_mismatch(first_path, second_path, alive)
    if first.reads != second.reads:
        told = f"{shown[0]} has {counted(first.reads, 'read')} and {shown[1]} has {second.reads}"
        message = f"{told}; mates come in equal numbers"
        if mismatch is not None:
            message += f" (the first that differs is record {mismatch.record})"
        line = None if mismatch is None else mismatch.line
        return [*problems, _problem("MATE_COUNT", message, shown[1], line)]
    if mismatch is not None:
        message = f"record {mismatch.record} is {mismatch.second} here but {mismatch.first} in {shown[0]}"
        problems.append(_problem("MATE_NAMES", f"{message}; these are no mates", shown[1], mismatch.line))
    return problems


def first_mate_mismatch(
    first_path: Path, second_path: Path, alive: Callable[[], object] | None = None
) -> Mismatch | None:
    """Read two valid FASTQ files side by side and return the first record whose names differ, or None.

    Names that differ only in a final `.1` and `.2` count as the same. Memory is bounded; about a second a million
    records.

    Raises:
        RefusedInput: A file is no valid gzip stream (any more).
        OSError: A file cannot be read.
    """
    pairs = zip_longest(_headers(first_path, alive), _headers(second_path, None))
    for record, (first, second) in enumerate(pairs, start=1):
        if first is None or second is None or not _same_fragment(split_name(first)[0], split_name(second)[0]):
            return Mismatch(record, _shown(first), _shown(second))
    return None


def _number_problems(first: int | None, second: int | None, shown: tuple[str, str]) -> list[Problem]:
    if first == 2 and second == 1:
        message = f"the names in {shown[0]} say mate 2 and those in {shown[1]} mate 1: R1 and R2 are swapped"
        return [_problem("MATES_SWAPPED", message, shown[0], 1)]
    if first is not None and first == second:
        message = f"the names in both files say mate {first}; they are taken as R1 and R2 by their file names"
        return [_problem("MATE_NUMBERS", message, shown[1], 1, Severity.WARNING)]
    return []


def _same_fragment(first: bytes, second: bytes) -> bool:
    if first == second:
        return True
    return first[:-2] == second[:-2] and (first[-2:], second[-2:]) == ARCHIVE_SUFFIXES


def _headers(path: Path, alive: Callable[[], object] | None) -> Iterator[bytes]:
    """Yield the header lines of a valid FASTQ file without their line ends."""
    number = 0
    rest = b""
    for text in _text(path, alive):
        lines = (rest + text).split(b"\n")
        rest = lines.pop()
        # The first header in this block is at the next multiple of four lines.
        yield from (line.removesuffix(b"\r") for line in lines[-number % 4 :: 4] if line.strip())
        number += len(lines)


def _text(path: Path, alive: Callable[[], object] | None) -> Iterator[bytes]:
    inflater = Inflater(path.name)
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(READ_BYTES):
            if alive is not None:
                alive()
            yield from inflater.feed(chunk)
    yield from inflater.finish()


def _shown(header: bytes | None) -> str | None:
    return None if header is None else split_name(header)[0].decode("utf-8", "replace")


def _problem(
    code: str, message: str, path: str, line: int | None = None, severity: Severity = Severity.ERROR
) -> Problem:
    return Problem(code=code, message=message, severity=severity, path=path, line=line)
