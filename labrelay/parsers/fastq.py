"""The content gate for FASTQ: one pass over a file's bytes gives checksum, validity and statistics.

    scan = FastqScan("lane1/A_R1.fastq.gz")
    for chunk in chunks:
        scan.feed(chunk)          # returns at once: inflating and checking happen in two threads
    stats = scan.finish()         # or raises RefusedInput with code, path and line

Memory is bounded whatever the size of the file. `scan_fastq` does the same for a path.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from labrelay.model.errors import RefusedInput
from labrelay.model.problem import Problem, Severity
from labrelay.model.reads import FastqStats
from labrelay.parsers.fastq_records import BLOCK_BYTES, RECORD_LIMIT_BYTES, RecordTally
from labrelay.parsers.inflate import BOMB_FLOOR_BYTES, Inflater
from labrelay.parsers.stage import Stage

READ_BYTES = 1024 * 1024


class Feedable(Protocol):
    """What can be shown a file's bytes; `labrelay.stores.ports.Watcher` has this shape."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the file."""


class Updatable(Protocol):
    """A hash object of `hashlib`."""

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""


class FastqScan:
    """Watches the bytes of one FASTQ file (plain, gzip, bgzip) while somebody else reads them.

    Args:
        path: How messages name the file; its suffix is held against the content.
        want_md5: Compute MD5 too, for a supplier's checksum list.
        hash_bytes: False when the reader hashes itself and gives its digest to `finish`.
        text_hash: Is shown the inflated text, in the thread that checks it; complete after `finish`.
        block_bytes: Text that is judged at once; small values are for tests.
        record_limit: Longest record taken, in bytes.
        bomb_floor: Inflated bytes below which no compression ratio is too high.
    """

    def __init__(
        self,
        path: str,
        *,
        want_md5: bool = False,
        hash_bytes: bool = True,
        text_hash: Updatable | None = None,
        block_bytes: int = BLOCK_BYTES,
        record_limit: int = RECORD_LIMIT_BYTES,
        bomb_floor: int = BOMB_FLOOR_BYTES,
    ) -> None:
        self._path = path
        self._size = 0
        self._sha256 = hashlib.sha256() if hash_bytes else None
        self._md5 = hashlib.md5(usedforsecurity=False) if want_md5 else None
        self._text_hash = text_hash
        self._inflater = Inflater(path, bomb_floor)
        self._tally = RecordTally(path, block_bytes, record_limit)
        self._block = block_bytes
        self._ready: list[bytes] = []
        self._ready_bytes = 0
        self._checking = Stage("fastq-check", self._check)
        self._inflating = Stage("fastq-inflate", self._inflate)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the file as stored.

        Raises:
            RefusedInput: An earlier chunk was found faulty.
        """
        self._inflating.put(chunk)
        self._size += len(chunk)
        if self._sha256 is not None:
            self._sha256.update(chunk)
        if self._md5 is not None:
            self._md5.update(chunk)

    def finish(self, sha256: str | None = None, size: int | None = None) -> FastqStats:
        """Return what the whole file gave; call once, after the last chunk.

        Args:
            sha256: The reader's digest, needed with `hash_bytes=False`.
            size: The reader's count of bytes, held against ours when given.

        Raises:
            RefusedInput: The file is not valid; the problem has code, path and line.
            ValueError: No digest was given though this scan makes none, or the reader counted other bytes.
        """
        digest = self._sha256.hexdigest() if self._sha256 is not None else sha256
        if digest is None or size not in (None, self._size):
            raise ValueError("finish() needs the reader's digest, and the size of exactly the bytes that were fed")
        try:
            self._finish_stages()
        finally:
            self.close()
        counts, names = self._tally.counts, self._tally.names
        return FastqStats(
            sha256=digest,
            md5=self._md5.hexdigest() if self._md5 is not None else None,
            size=self._size,
            reads=counts.reads,
            bases=counts.bases,
            gc_bases=counts.gc_bases,
            n_bases=counts.n_bases,
            q20_bases=counts.q20_bases,
            q30_bases=counts.q30_bases,
            quality_sum=counts.quality_sum,
            min_length=counts.min_length,
            max_length=counts.max_length,
            names_digest=names.hexdigest(),
            first_name=self._tally.first_name,
            mate=names.mate,
        )

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What is odd about the file but taken; complete after `finish`."""
        if not self._tally.dos_line_ends:
            return ()
        message = "lines end with CR LF (DOS); taken as they are, but some aligners read the CR as a base or quality"
        return (Problem(code="DOS_LINE_ENDS", message=message, severity=Severity.WARNING, path=self._path, line=1),)

    def close(self) -> None:
        """Drop what waits and join the threads; safe at any time and more than once."""
        # The checking stage goes first: it empties its queue, so the inflating thread cannot wait on it.
        self._checking.close()
        self._inflating.close()

    def _finish_stages(self) -> None:
        self._inflating.finish()
        cut: RefusedInput | None = None
        try:
            self._pass_on(self._inflater.finish())
        except RefusedInput as refused:
            cut = refused
        self._hand_over()
        self._checking.finish()
        if cut is not None:
            raise cut
        self._tally.finish()

    def _inflate(self, chunk: bytes) -> None:
        self._pass_on(self._inflater.feed(chunk))

    def _pass_on(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self._ready.append(piece)
            self._ready_bytes += len(piece)
            if self._ready_bytes >= self._block:
                self._hand_over()

    def _hand_over(self) -> None:
        pieces, self._ready, self._ready_bytes = self._ready, [], 0
        self._checking.put(pieces)

    def _check(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            if self._text_hash is not None:
                self._text_hash.update(piece)
            self._tally.feed(piece)


def scan_fastq(
    path: Path,
    watchers: Sequence[Feedable] = (),
    *,
    name: str | None = None,
    on_warning: Callable[[Problem], None] | None = None,
    want_md5: bool = False,
) -> FastqStats:
    """Read a FASTQ file once and return what the pass gave.

    Args:
        path: The file; plain, gzip or bgzip.
        watchers: Are shown the same bytes.
        name: How messages name the file; the path when not given.
        on_warning: Called with each oddity that was taken.
        want_md5: Compute MD5 too.

    Raises:
        RefusedInput: The file is not valid.
        OSError: It cannot be read.
    """
    scan = FastqScan(name or str(path), want_md5=want_md5)
    try:
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(READ_BYTES):
                scan.feed(chunk)
                for watcher in watchers:
                    watcher.feed(chunk)
        stats = scan.finish()
    finally:
        scan.close()
    if on_warning is not None:
        for warning in scan.warnings:
            on_warning(warning)
    return stats
