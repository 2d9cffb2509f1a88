"""The content gate for BAM, unaligned BAM and CRAM: is the file whole, whose reads are in it, and how many?

Whole means three things: htslib reads the header, every block decodes to its last record (BGZF blocks and CRAM
containers carry checksums), and the end-of-file marker is there, without which a cut between two blocks is invisible.
The bytes are hashed in a thread beside the decoding, unless the caller knows their digest.
"""

from __future__ import annotations

import hashlib
import sys
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock, Thread
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from labrelay.model.problem import Problem, Severity
from labrelay.model.reads import BamStats
from labrelay.parsers.fastq_names import NO_HEADER

if TYPE_CHECKING:
    import pysam

# SAM specification v1, section 4.1.2 (an empty BGZF block), and CRAM specification, section 9 (versions 2.1 and 3).
BGZF_EOF = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
CRAM2_EOF = bytes.fromhex("0b000000ffffffff0fe0454f4600000000010000010006060100010001")
CRAM3_EOF = bytes.fromhex("0f000000ffffffff0fe0454f4600000000010005bdd94f0001000606010001000100ee63014b")
UNMAPPED, SECONDARY_OR_SUPPLEMENTARY = 0x4, 0x900
CRAM_MAGIC = b"CRAM"
READ_BYTES = 1024 * 1024
# Flags alone are decoded from CRAM, so that no reference is needed, and none is looked for on the network.
FLAGS_ONLY = [b"required_fields=0x2"]
_EMPTY = BamStats(sha256=hashlib.sha256().hexdigest(), size=0, reads=None, sample_names=(), aligned=False)
PULSE_RECORDS = 100_000  # a fraction of a second
Alive = Callable[[], object]
ExceptionHook = Callable[[type[BaseException], BaseException, TracebackType | None], object]
UnraisableHook = Callable[["sys.UnraisableHookArgs"], object]
_htslib_lock = Lock()


class _Decoded(NamedTuple):
    """What decoding gave before it ended or failed."""

    sample_names: tuple[str, ...] = ()
    reads: int | None = None
    aligned: bool = False
    problem: Problem | None = None


class _Digest(Thread):
    """Hashes a file beside the decoding; hashlib and file reads leave the interpreter free."""

    def __init__(self, path: Path, want_md5: bool) -> None:
        super().__init__(name="bam-digest", daemon=True)
        self.sha256, self.size = hashlib.sha256(), 0
        self.md5 = hashlib.md5(usedforsecurity=False) if want_md5 else None
        self._path = path
        self._error: OSError | None = None
        self.start()

    def run(self) -> None:
        try:
            with self._path.open("rb", buffering=0) as file:
                while chunk := file.read(READ_BYTES):
                    self.sha256.update(chunk)
                    self.size += len(chunk)
                    if self.md5 is not None:
                        self.md5.update(chunk)
        except OSError as error:
            self._error = error

    def result(self) -> tuple[str, int, str | None]:
        """Wait for the end and return SHA-256, size and MD5; raises the OSError that reading met."""
        self.join()
        if self._error is not None:
            raise self._error
        return self.sha256.hexdigest(), self.size, None if self.md5 is None else self.md5.hexdigest()


def scan_bam(
    path: Path,
    name: str | None = None,
    *,
    want_md5: bool = False,
    count_reads: bool = True,
    known: tuple[str, int] | None = None,
    alive: Alive | None = None,
) -> tuple[BamStats, list[Problem]]:
    """Read a BAM, unaligned BAM or CRAM file and return what it holds and what is wrong with it.

    Args:
        path: The file; it is read twice, once to hash and once to decode, or only decoded when `known` is given.
        name: How problems name the file; the file name when not given.
        want_md5: Compute MD5 too, unless `known` is given.
        count_reads: Decode all records, which proves the body; False looks at header and end only (`reads` is None,
            and `aligned` says whether the header has reference sequences).
        known: SHA-256 and size (bytes) of the file, from whoever has just read it.
        alive: Called every 100,000 records, for callers who hold something that runs out.

    Returns:
        The statistics (`reads` counts primary records; None when not counted or not whole), and problems:
        `ZERO_BYTE_FILE` alone, or `NOT_BAM`, `BAD_HEADER`, `TRUNCATED`, `BAM_NO_EOF`.

    Raises:
        OSError: The file cannot be read.
    """
    shown = name or path.name
    if not (path.stat().st_size if known is None else known[1]):
        return _EMPTY, [Problem(code="ZERO_BYTE_FILE", message=f"{NO_HEADER}; copy it again", path=shown)]
    if known is not None:
        (sha256, size), md5 = known, None
        problems, decoded = _end_problems(path, shown), _decode(path, shown, count_reads, alive)
    else:
        digest = _Digest(path, want_md5)
        try:
            problems, decoded = _end_problems(path, shown), _decode(path, shown, count_reads, alive)
        finally:
            digest.join()
        sha256, size, md5 = digest.result()
    if decoded.problem is not None:
        # Of a file that is something else altogether, the missing end marker says nothing more.
        problems = [decoded.problem, *(problems if decoded.problem.code != "NOT_BAM" else ())]
    stats = BamStats(
        sha256=sha256,
        md5=md5,
        size=size,
        reads=decoded.reads,
        sample_names=decoded.sample_names,
        aligned=decoded.aligned,
    )
    return stats, problems


def check_sample(stats: BamStats, allowed: Collection[str], path: str) -> list[Problem]:
    """Hold the header's sample names (`@RG SM`) against the announced sample's name and aliases.

    Returns:
        `WRONG_SAMPLE` for each name that is not allowed; the warning `NO_SAMPLE_NAME` when the header has none.
    """
    if not stats.sample_names:
        message = "the header names no sample (no @RG line with SM); the sample is taken from the file's name"
        return [Problem(code="NO_SAMPLE_NAME", message=message, severity=Severity.WARNING, path=path)]
    expected = " or ".join(sorted(allowed))
    return [
        Problem(
            code="WRONG_SAMPLE",
            message=f"the header says sample {found}, announced is {expected}; correct one of the two",
            path=path,
        )
        for found in stats.sample_names
        if found not in allowed
    ]


def _end_problems(path: Path, shown: str) -> list[Problem]:
    """Return a problem when the end-of-file marker of the format is missing."""
    with path.open("rb") as file:
        is_cram = file.read(len(CRAM_MAGIC)) == CRAM_MAGIC
        size = file.seek(0, 2)
        file.seek(max(0, size - len(CRAM3_EOF)))
        tail = file.read()
    if tail.endswith((CRAM2_EOF, CRAM3_EOF) if is_cram else (BGZF_EOF,)):
        return []
    message = "the end-of-file marker is missing: the file was cut or is still being written; copy it again"
    return [Problem(code="BAM_NO_EOF", message=message, path=shown)]


def _decode(path: Path, shown: str, count_reads: bool, alive: Alive | None) -> _Decoded:
    import pysam

    with _silent_htslib(), path.open("rb") as raw:
        try:
            # A file object rather than a name: htslib reads URLs and index hints out of names.
            file = pysam.AlignmentFile(raw, "rb", check_sq=False, ignore_truncation=True, format_options=FLAGS_ONLY)
        except (ValueError, OSError) as error:
            return _Decoded(problem=_bad_header(shown, str(error)))
        try:
            return _decode_open(file, shown, count_reads, alive)
        finally:
            # Closing repeats the error that decoding has reported.
            with suppress(OSError):
                file.close()


def _decode_open(file: pysam.AlignmentFile, shown: str, count_reads: bool, alive: Alive | None) -> _Decoded:
    if not (file.is_bam or file.is_cram):
        return _Decoded(problem=Problem(code="NOT_BAM", message="the content is neither BAM nor CRAM", path=shown))
    try:
        samples = _sample_names(file.header.to_dict())
    except ValueError as error:
        return _Decoded(problem=_bad_header(shown, str(error)))
    if not count_reads:
        return _Decoded(samples, None, file.nreferences > 0)
    return _count(file, samples, shown, alive)


def _count(file: pysam.AlignmentFile, samples: tuple[str, ...], shown: str, alive: Alive | None) -> _Decoded:
    reads = records = 0
    aligned = False
    try:
        for record in file.fetch(until_eof=True):
            flag = record.flag
            records += 1
            reads += not flag & SECONDARY_OR_SUPPLEMENTARY
            aligned = aligned or not flag & UNMAPPED
            if alive is not None and not records % PULSE_RECORDS:
                alive()
    except (OSError, ValueError) as error:
        message = f"decoding fails after {records} records ({error}); copy the file again from its source"
        return _Decoded(samples, None, aligned, Problem(code="TRUNCATED", message=message, path=shown))
    return _Decoded(samples, reads, aligned)


def _sample_names(header: dict[str, list[dict[str, str]]]) -> tuple[str, ...]:
    """Return the distinct sample names of the read groups, in the header's order."""
    return tuple(dict.fromkeys(group["SM"] for group in header.get("RG", ()) if group.get("SM")))


def _bad_header(shown: str, reason: str) -> Problem:
    message = f"the header cannot be read as BAM or CRAM ({reason})"
    return Problem(code="BAD_HEADER", message=message, path=shown)


@contextmanager
def _silent_htslib() -> Iterator[None]:
    """Keep htslib and pysam from writing to standard error; what they find becomes a problem of ours.

    These settings belong to the process, so one file at a time is decoded here.
    """
    import pysam

    with _htslib_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        verbosity, hooks = pysam.set_verbosity(0), (sys.excepthook, sys.unraisablehook)
        sys.excepthook, sys.unraisablehook = _hear_exception(hooks[0]), _hear_unraisable(hooks[1])
        try:
            yield
        finally:
            sys.excepthook, sys.unraisablehook = hooks
            pysam.set_verbosity(verbosity)


def _is_echo(error: BaseException | None) -> bool:
    """Whether this is the destructor of a file that pysam could not open, closing it again and telling both hooks."""
    return isinstance(error, OSError) and "Closing failed" in str(error)


def _hear_exception(report: ExceptionHook) -> ExceptionHook:
    def hear(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not _is_echo(error):
            report(kind, error, trace)

    return hear


def _hear_unraisable(report: UnraisableHook) -> UnraisableHook:
    def hear(unraisable: sys.UnraisableHookArgs) -> None:
        if not _is_echo(unraisable.exc_value):
            report(unraisable)

    return hear
