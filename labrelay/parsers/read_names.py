"""A digest of read names that is equal for true mates, and the mate number that names carry.

Mates of a pair have the same name up to the first space, or up to a final `/1` or `/2`. Each file makes its own
digest, so two files are compared without being read side by side, and block borders play no part.
"""

from __future__ import annotations

import hashlib
import re

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Positions = NDArray[np.int64]

ROW_BYTES = 64
LONGEST_IN_ROW = ROW_BYTES - 1
LONG_NAME_MARK = 255
_COLUMNS = np.arange(ROW_BYTES, dtype=np.uint8)
_SLASH, _COLON, _ONE, _TWO, _SPACE, _TAB = b"/:12 \t"
_ILLUMINA_COMMENT = re.compile(rb"([12]):")


def split_name(header: bytes) -> tuple[bytes, int | None]:
    """Return the read name without mate suffix, and the mate number it carries (1, 2 or None).

    `header` is a FASTQ header line without its line end. This is the plain form of what `NameDigest` does with blocks.
    """
    name, _, comment = header[1:].replace(b"\t", b" ").partition(b" ")
    if name[-2:] in (b"/1", b"/2"):
        return name[:-2], name[-1] - ord("0")
    match = _ILLUMINA_COMMENT.match(comment)
    return name, int(match[1]) if match else None


class NameDigest:
    """Digests names in order: each as a row of 64 bytes (name, zeros, length), or a hash when it is longer."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._names = 0
        self._carried = [0, 0]

    @property
    def mate(self) -> int | None:
        """1 or 2 when every name says that it is this mate, else None."""
        if self._names and self._names in self._carried:
            return self._carried.index(self._names) + 1
        return None

    def hexdigest(self) -> str:
        """Return the SHA-256 over all rows so far."""
        return self._sha256.hexdigest()

    def add(self, buffer: Bytes, starts: Positions, ends: Positions) -> None:
        """Add the names of header lines `buffer[starts:ends]`; at least `ROW_BYTES` + 2 bytes follow the last start."""
        if not len(starts):
            return
        rows = sliding_window_view(buffer, ROW_BYTES)[starts + 1]
        spans = self._spans(buffer, rows, starts, ends)
        name_ends, one, two = _mate_marks(buffer, starts, spans, ends)
        self._names += len(starts)
        self._carried[0] += int(np.count_nonzero(one))
        self._carried[1] += int(np.count_nonzero(two))
        lengths = name_ends - starts - 1
        short = np.minimum(lengths, LONGEST_IN_ROW).astype(np.uint8)
        np.multiply(rows, (short[:, None] > _COLUMNS).view(np.uint8), out=rows)
        rows[:, -1] = short
        for i in np.flatnonzero(lengths > LONGEST_IN_ROW):
            name = buffer[starts[i] + 1 : name_ends[i]].tobytes()
            rows[i] = np.frombuffer(hashlib.sha512(name).digest(), np.uint8)
            rows[i, -1] = LONG_NAME_MARK
        self._sha256.update(rows.data)

    @staticmethod
    def _spans(buffer: Bytes, rows: Bytes, starts: Positions, ends: Positions) -> Positions:
        """Return where each name ends: at the first space or tab of the header, or at its end."""
        blank = rows == _SPACE
        np.logical_or(blank, rows == _TAB, out=blank)
        first = blank.argmax(axis=1)
        stops: Positions = starts + 1 + first
        # argmax is 0 without any blank too; a name is never empty here, so 0 means that none is in the window.
        unknown = (first == 0) | (stops > ends)
        if not unknown.any():
            return stops
        stops = np.where(unknown, ends, stops)
        for i in np.flatnonzero(unknown & (ends - starts > ROW_BYTES)):
            header = buffer[starts[i] + 1 : ends[i]].tobytes().replace(b"\t", b" ")
            stops[i] = starts[i] + 1 + len(header.partition(b" ")[0])
        return stops


def _mate_marks(
    buffer: Bytes, starts: Positions, stops: Positions, ends: Positions
) -> tuple[Positions, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return where names end without `/1` or `/2`, and which records say that they are mate one or two."""
    last = buffer[stops - 1]
    slash = (buffer[stops - 2] == _SLASH) & (stops - starts > 2)
    slash_one, slash_two = slash & (last == _ONE), slash & (last == _TWO)
    suffix = slash_one | slash_two
    comment = (buffer[stops + 2] == _COLON) & (ends - stops > 2) & ~suffix
    digit = buffer[stops + 1]
    one, two = slash_one | (comment & (digit == _ONE)), slash_two | (comment & (digit == _TWO))
    return stops - 2 * suffix, one, two
