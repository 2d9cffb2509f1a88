"""Checks and counts FASTQ records in blocks with numpy: a few array operations prove a block of thousands of records.

A block that fails a proof is looked at record by record (`fastq_rules`), which gives the exact line and sentence, or
finds that the block is valid but unusual (a `.` in a sequence). Unfinished records wait at the front of the buffer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from labrelay.model.errors import RefusedInput
from labrelay.model.problem import Problem
from labrelay.parsers.fastq_rules import HIGHEST_QUALITY, LOWEST_QUALITY, Fault, Record, fault_of
from labrelay.parsers.read_names import ROW_BYTES, Bytes, NameDigest, Positions

BLOCK_BYTES = 512 * 1024
RECORD_LIMIT_BYTES = 64 * 1024 * 1024
SLACK_BYTES = 2 * ROW_BYTES
_LF, _CR, _AT, _PLUS = b"\n\r@+"
_LOWER = 0x20
_LINES = 4
# Rows padded to the longest read cost work for the padding; past this share, joining slices is cheaper.
_MOST_PADDING = 2


@dataclass
class Counts:
    """What is summed over records; lengths are None until a record was seen."""

    reads: int = 0
    bases: int = 0
    gc_bases: int = 0
    n_bases: int = 0
    q20_bases: int = 0
    q30_bases: int = 0
    quality_sum: int = 0
    min_length: int | None = None
    max_length: int | None = None

    def add(self, other: Counts) -> None:
        """Add the sums of another part of the same file."""
        for name in ("reads", "bases", "gc_bases", "n_bases", "q20_bases", "q30_bases", "quality_sum"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        lengths = [n for n in (self.min_length, self.max_length, other.min_length, other.max_length) if n is not None]
        if lengths:
            self.min_length, self.max_length = min(lengths), max(lengths)


@dataclass(frozen=True)
class Lines:
    """Where the four lines of m records start and end (without line ends): two arrays of shape (m, 4)."""

    starts: Positions
    ends: Positions

    def __len__(self) -> int:
        return len(self.starts)

    def first(self, count: int) -> Lines:
        """Return the lines of the first `count` records."""
        return Lines(self.starts[:count], self.ends[:count])

    def record(self, buffer: Bytes, index: int) -> Record:
        """Return one record's lines as bytes."""
        return Record(*(buffer[s:e].tobytes() for s, e in zip(self.starts[index], self.ends[index], strict=True)))


class RecordTally:
    """Takes FASTQ text in pieces, refuses the first fault with its line, and counts.

    Args:
        path: For messages.
        block_bytes: Text that is judged at once.
        record_limit: A record longer than this is refused, which bounds memory.
    """

    def __init__(self, path: str, block_bytes: int = BLOCK_BYTES, record_limit: int = RECORD_LIMIT_BYTES) -> None:
        self.counts = Counts()
        self.names = NameDigest()
        self.first_name: str | None = None
        self.dos_line_ends = False
        self._path = path
        self._block = block_bytes
        self._limit = record_limit
        self._buffer: Bytes = np.zeros(2 * block_bytes + SLACK_BYTES, np.uint8)
        self._scratch: Bytes = np.empty(0, np.uint8)
        self._held = 0
        self._judge_at = block_bytes
        self._started = False
        self._only_blank_lines = False

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of text.

        Raises:
            RefusedInput: At the first record that is not valid; one problem with path and line.
        """
        fresh = np.frombuffer(piece, np.uint8)
        for start in range(0, len(fresh), self._block):
            part = fresh[start : start + self._block]
            self._hold(part)
            if self._held >= self._judge_at:
                self._judge()

    def finish(self) -> None:
        """Judge what is left; a last line without a line end is accepted, blank lines at the end are too.

        Raises:
            RefusedInput: The last record is not whole, or not valid.
        """
        self._judge()
        rest = self._buffer[: self._held].tobytes()
        if not rest.strip(b"\r\n"):
            return
        if not rest.endswith(b"\n"):
            self._close_last_line(rest)
            self._judge()
        if self._held:
            self._refuse_truncated(self._buffer[: self._held].tobytes())

    def _close_last_line(self, rest: bytes) -> None:
        lines = rest.split(b"\n")
        if len(lines) == _LINES and len(lines[3].rstrip(b"\r")) < len(lines[1].rstrip(b"\r")):
            self._refuse_truncated(rest)
        end = b"\r\n" if self.dos_line_ends and not rest.endswith(b"\r") else b"\n"
        self._hold(np.frombuffer(end, np.uint8))

    def _hold(self, part: Bytes) -> None:
        needed = self._held + len(part) + SLACK_BYTES
        if needed > len(self._buffer):
            grown = np.zeros(max(needed, 2 * len(self._buffer)), np.uint8)
            grown[: self._held] = self._buffer[: self._held]
            self._buffer = grown
        self._buffer[self._held : self._held + len(part)] = part
        self._held += len(part)

    def _judge(self) -> None:
        """Check and count the whole records held, and move the rest to the front."""
        done = 0 if self._only_blank_lines else self._judge_records()
        if self._only_blank_lines:
            self._refuse_unless_blank(done)
            done = self._held
        rest = self._held - done
        if rest > self._limit:
            message = f"this record is longer than {self._limit} bytes; is this a FASTQ file?"
            self._refuse(Fault("RECORD_TOO_LONG", message, 0), 0)
        if done:
            self._buffer[:rest] = self._buffer[done : self._held]
            self._held = rest
        # Waiting for twice as much keeps the search for line ends linear when a read is longer than a block.
        self._judge_at = min(max(self._block, 2 * rest), self._limit + 1)

    def _judge_records(self) -> int:
        """Judge the whole records in the buffer and return how many bytes they take."""
        lines = self._find_lines()
        if lines is None:
            return 0
        counts, proven = self._measure(lines)
        if not proven:
            valid = self._inspect(lines)
            if valid < len(lines):
                self._only_blank_lines = True
                lines = lines.first(valid)
                counts, _ = self._measure(lines)
        if len(lines):
            self._take(lines, counts)
        return int(lines.ends[-1, 3]) + 1 + self.dos_line_ends if len(lines) else 0

    def _take(self, lines: Lines, counts: Counts) -> None:
        if self.first_name is None:
            self.first_name = lines.record(self._buffer, 0).name
        self.counts.add(counts)
        self.names.add(self._buffer, lines.starts[:, 0], lines.ends[:, 0])

    def _find_lines(self) -> Lines | None:
        text = self._buffer[: self._held]
        breaks = np.flatnonzero(np.equal(text, _LF, out=self._workspace(len(text))[2]))
        if len(breaks) and not self._started:
            self._started = True
            self.dos_line_ends = bool(breaks[0] > 0 and text[breaks[0] - 1] == _CR)
        whole = len(breaks) // _LINES * _LINES
        if not whole:
            return None
        starts = np.empty(whole, np.int64)
        starts[0] = 0
        np.add(breaks[: whole - 1], 1, out=starts[1:])
        ends = breaks[:whole] - 1 if self.dos_line_ends else breaks[:whole]
        return Lines(starts.reshape(-1, _LINES), ends.reshape(-1, _LINES))

    def _measure(self, lines: Lines) -> tuple[Counts, bool]:
        """Return the sums over the records, and whether all of them are proven valid."""
        if not len(lines):
            return Counts(), True
        lengths = lines.ends - lines.starts
        if int(lengths.min()) < 0 or not np.array_equal(lengths[:, 1], lengths[:, 3]):
            return Counts(), False
        proven = self._frames_are_proven(lines, lengths)
        reads = lengths[:, 1]
        shortest, longest, bases = int(reads.min()), int(reads.max()), int(reads.sum())
        counts = Counts(reads=len(lines), bases=bases, min_length=shortest, max_length=longest)
        if bases:
            sequences = self._gather(lines.starts[:, 1], reads, longest, bases)
            qualities = self._gather(lines.starts[:, 3], reads, longest, bases)
            proven &= self._count_bases(sequences, counts)
            proven &= self._count_qualities(qualities, counts)
        return counts, proven

    def _frames_are_proven(self, lines: Lines, lengths: Positions) -> bool:
        """Whether headers, plus lines and line ends are as they should be."""
        text, header, plus = self._buffer, lines.starts[:, 0], lines.starts[:, 2]
        first = text[header + 1]
        proven = bool((text[header] == _AT).all() and (text[plus] == _PLUS).all())
        proven &= bool((lengths[:, 0] > 1).all() and (first > _LOWER).all())
        # A carriage return before the line end belongs to it in every line, or in none.
        if self.dos_line_ends:
            proven &= bool((text[lines.ends] == _CR).all())
        else:
            proven &= not bool((text[lines.ends[:, 0] - 1] == _CR).any())
        if int(lengths[:, 2].max()) > 1:
            proven &= self._names_are_repeated(lines, lengths)
        return proven

    def _names_are_repeated(self, lines: Lines, lengths: Positions) -> bool:
        """Whether every plus line repeats its header; lines without the repeat leave it to the slow way."""
        if not np.array_equal(lengths[:, 0], lengths[:, 2]):
            return False
        sizes = lengths[:, 0] - 1
        longest, total = int(sizes.max()), int(sizes.sum())
        headers, repeats = (self._gather(lines.starts[:, i] + 1, sizes, longest, total) for i in (0, 2))
        return np.array_equal(headers, repeats)

    def _gather(self, starts: Positions, lengths: Positions, longest: int, total: int) -> Bytes:
        """Return the bytes of all spans, one after the other; zeros may stand between them."""
        padded = len(starts) * longest
        fits = int(starts[-1]) + longest <= len(self._buffer)
        if not fits or padded > _MOST_PADDING * total:
            return np.concatenate([self._buffer[s : s + n] for s, n in zip(starts, lengths, strict=True)])
        rows = sliding_window_view(self._buffer, longest)[starts]
        if padded != total:
            # Two-byte column numbers make the comparison four times as fast as eight-byte ones.
            kind = np.dtype(np.uint16 if longest < 1 << 16 else np.uint32)
            columns: NDArray[np.unsignedinteger] = np.arange(longest).astype(kind)
            inside = lengths.astype(kind)[:, None] > columns
            np.multiply(rows, inside.view(np.uint8), out=rows)
        return rows.reshape(-1)

    def _workspace(self, size: int) -> tuple[Bytes, Bytes, NDArray[np.bool_]]:
        """Return three arrays of this size that are used again and again: fresh memory costs as much as the work."""
        if len(self._scratch) < 3 * size:
            self._scratch = np.empty(3 * size, np.uint8)
        first, second, third = self._scratch[: 3 * size].reshape(3, size)
        return first, second, third.view(np.bool_)

    def _count_bases(self, sequences: Bytes, counts: Counts) -> bool:
        """Count G, C and N in either case; return whether all bases are letters."""
        lower, work, mask = self._workspace(len(sequences))
        np.bitwise_or(sequences, _LOWER, out=lower)
        counts.n_bases = int(np.count_nonzero(np.equal(lower, ord("n"), out=mask)))
        # `c` and `g` differ in one bit, which is masked out.
        np.bitwise_and(lower, 0xFF ^ (ord("c") ^ ord("g")), out=work)
        counts.gc_bases = int(np.count_nonzero(np.equal(work, ord("c") & ord("g"), out=mask)))
        return _all_within(lower, ord("a"), ord("z"), len(lower) - counts.bases, mask)

    def _count_qualities(self, qualities: Bytes, counts: Counts) -> bool:
        """Sum Phred+33 values and count those of at least 20 and 30; return whether all are in range."""
        _, _, mask = self._workspace(len(qualities))
        counts.q20_bases = int(np.count_nonzero(np.greater_equal(qualities, LOWEST_QUALITY + 20, out=mask)))
        counts.q30_bases = int(np.count_nonzero(np.greater_equal(qualities, LOWEST_QUALITY + 30, out=mask)))
        # Four-byte sums take half the time of eight-byte ones, and cannot overflow in a block of usual size.
        width = np.uint32 if len(qualities) < 1 << 24 else np.uint64
        counts.quality_sum = int(qualities.sum(dtype=width)) - LOWEST_QUALITY * counts.bases
        return _all_within(qualities, LOWEST_QUALITY, HIGHEST_QUALITY, len(qualities) - counts.bases, mask)

    def _inspect(self, lines: Lines) -> int:
        """Refuse the first fault; return how many records are valid before blank lines that may end the file."""
        for index in range(len(lines)):
            if self.dos_line_ends:
                self._refuse_mixed_line_ends(lines, index)
            record = lines.record(self._buffer, index)
            if not record.header:
                return index
            fault = fault_of(record)
            if fault is not None:
                self._refuse(fault, index)
        return len(lines)

    def _refuse_mixed_line_ends(self, lines: Lines, index: int) -> None:
        for number, (start, end) in enumerate(zip(lines.starts[index], lines.ends[index], strict=True)):
            if end < start or self._buffer[end] != _CR:
                message = "this line ends with LF, the first line of the file did with CR LF"
                self._refuse(Fault("MIXED_LINE_ENDS", message, number), index)

    def _refuse_unless_blank(self, start: int) -> None:
        if self._buffer[start : self._held].tobytes().strip(b"\r\n"):
            message = "a blank line stands between records (blank lines may only end the file)"
            self._refuse(Fault("BAD_FASTQ_HEADER", message, 0), 0)

    def _refuse_truncated(self, rest: bytes) -> NoReturn:
        lines = rest.removesuffix(b"\n").split(b"\n")
        if not rest.startswith(b"@"):
            fault = fault_of(Record(lines[0].rstrip(b"\r"), b"", b"+", b""))
            if fault is not None:
                self._refuse(fault, 0)
        name = Record(lines[0].rstrip(b"\r"), b"", b"", b"").name
        message = f"the file ends inside the record of read {name}; copy it again from its source"
        self._refuse(Fault("TRUNCATED_RECORD", message, len(lines) - 1), 0)

    def _refuse(self, fault: Fault, index: int) -> NoReturn:
        """Refuse the file for the record at `index` of those not yet counted."""
        line = _LINES * (self.counts.reads + index) + fault.line + 1
        problem = Problem(code=fault.code, message=fault.message, path=self._path, line=line)
        raise RefusedInput(self._path, [problem])


def _all_within(values: Bytes, lowest: int, highest: int, padding: int, mask: NDArray[np.bool_]) -> bool:
    """Whether all values but exactly `padding` low ones (the zeros between short rows) are in the range."""
    if int(values.max()) > highest:
        return False
    if not padding:
        return int(values.min()) >= lowest
    return int(np.count_nonzero(np.less(values, lowest, out=mask))) == padding
