"""`sequencing_summary_*.txt`: one row a read, so it is streamed and counted in blocks with numpy, never held.

Rows are tab-separated under a head that names the columns; which columns there are depends on the version, so they are
found by name. What is counted is what Nanopore's own report counts: reads, bases, N50 and mean quality of what passed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_TAB, _LF, _CR = 9, 10, 13
_ZERO, _POINT = 48, 46
_MOST_COLUMNS, _MOST_BARCODES = 200, 4096
_SHORT, _LONGEST = (
    65_536,
    16_000_000,
)  # bases; below the first lengths are counted in a table, beyond the second none is
_WIDTH = 24  # bytes of a barcode's name that are compared
_DIGITS = 12
_LENGTH = ("sequence_length_template", "sequence_length_2d", "sequence_length")
_QUALITY = ("mean_qscore_template", "mean_qscore_2d", "mean_qscore")
_PASSED = ("passes_filtering",)
_BARCODE = ("barcode_arrangement", "barcode")
_Bytes = npt.NDArray[np.uint8]
_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


class Counted(NamedTuple):
    """Reads and bases, passed and all, of a barcode or of the run."""

    reads: int
    reads_passed: int
    bases: int
    bases_passed: int


@dataclass(frozen=True)
class Summary:
    """What a sequencing summary counts; None where it has no such column.

    Attributes:
        rows: Rows that were counted.
        left_out: Rows that do not fit the head, such as the last one of a file that is still being written.
        total: Of all rows; without a column of passing, all count as passed.
        n50: Of the passed reads, in bases: half of their bases are in reads at least so long.
        longest: The longest passed read.
        mean_quality: Mean of the passed reads' mean qualities, as Nanopore reports it.
        barcodes: By name.
    """

    rows: int = 0
    left_out: int = 0
    total: Counted | None = None
    n50: int | None = None
    longest: int | None = None
    mean_quality: float | None = None
    barcodes: dict[str, Counted] = field(default_factory=dict)


class SummaryScan:
    """Counts a sequencing summary while its bytes pass by; memory does not grow with the number of reads."""

    def __init__(self) -> None:
        self._rest = b""
        self._columns: dict[str, int] | None = None
        self._width = 0
        self._rows = self._left_out = 0
        self._short, self._long = np.zeros(_SHORT, np.int64), Counter[int]()  # passed reads by length
        self._quality_sum, self._quality_reads = 0.0, 0
        self._sums = np.zeros(4, np.int64)
        self._barcodes: dict[bytes, _Ints] = {}

    @property
    def recognised(self) -> bool:
        """Whether the head names a column of read lengths."""
        return self._columns is not None and "length" in self._columns

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        data = self._rest + chunk
        if self._columns is None:
            head, newline, data = data.partition(b"\n")
            if not newline:
                self._rest = head[: 1024 * 1024]
                return
            self._take_head(head)
        cut = data.rfind(b"\n") + 1
        self._rest = data[cut:]
        if len(self._rest) > 1024 * 1024:  # no row is so long
            self._rest, self._left_out = b"", self._left_out + 1
        if cut and self.recognised:
            self._take_rows(data[:cut])

    def _take_head(self, head: bytes) -> None:
        names = head.decode("utf-8", "replace").lstrip("\ufeff").strip().lower().split("\t")
        self._width = len(names)
        wanted = {"length": _LENGTH, "quality": _QUALITY, "passed": _PASSED, "barcode": _BARCODE}
        if self._width > _MOST_COLUMNS or "read_id" not in names:
            self._columns = {}
            return
        self._columns = {
            what: names.index(found)
            for what, known in wanted.items()
            if (found := next((name for name in known if name in names), None))
        }

    def _take_rows(self, block: bytes) -> None:
        """Count whole rows; when one of them has another number of columns, they are taken one by one."""
        data = np.frombuffer(block, np.uint8)
        ends = np.flatnonzero(
            data <= _LF
        )  # tabs and line ends; of what else is so low there is nothing in a whole file
        if len(ends) % self._width == 0:
            table = ends.reshape(-1, self._width)
            kinds = data[table]
            if (kinds[:, -1] == _LF).all() and (kinds[:, :-1] == _TAB).all():
                self._count(data, table)
                return
        good = [line for line in block.splitlines(keepends=True) if line.count(b"\t") == self._width - 1]
        self._left_out += len(block.splitlines()) - len(good)
        if good:
            data = np.frombuffer(b"".join(line.rstrip(b"\r\n") + b"\n" for line in good), np.uint8)
            ends = np.flatnonzero((data == _TAB) | (data == _LF))
            if len(ends) == len(good) * self._width:
                self._count(data, ends.reshape(-1, self._width))

    def _count(self, data: _Bytes, table: _Ints) -> None:
        """Count a block of rows, given where each cell ends."""
        columns = self._columns or {}
        length, fine = _integers(data, *_cell(table, columns["length"]))
        passed = np.ones(len(table), bool)
        if "passed" in columns:
            start, _ = _cell(table, columns["passed"])
            passed = (data[start] | 0x20) == ord("t")  # TRUE, True, true
            passed |= data[start] == ord("1")
        fine &= length < _LONGEST
        self._left_out += int((~fine).sum())
        length, passed = np.where(fine, length, 0), passed & fine
        self._rows += int(fine.sum())
        self._add_lengths(length[passed])
        self._sums += [fine.sum(), passed.sum(), length.sum(), length[passed].sum()]
        if "quality" in columns:
            quality, known = _decimals(data, *_cell(table, columns["quality"]))
            known &= passed
            self._quality_sum += float(quality[known].sum())
            self._quality_reads += int(known.sum())
        if "barcode" in columns:
            self._add_barcodes(data, table, columns["barcode"], (fine, passed, length))

    def _add_lengths(self, lengths: _Ints) -> None:
        short = lengths < _SHORT
        self._short += np.bincount(lengths[short], minlength=_SHORT)
        found, counts = np.unique(lengths[~short], return_counts=True)
        self._long.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))

    def _add_barcodes(
        self,
        data: _Bytes,
        table: _Ints,
        column: int,
        counts: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], _Ints],
    ) -> None:
        fine, passed, length = counts
        start, end = _cell(table, column)
        letters = np.zeros((len(table), _WIDTH), np.uint8)
        for offset in range(int(min(_WIDTH, (end - start).max(initial=0)))):
            inside = start + offset < end
            letters[inside, offset] = data[start[inside] + offset]
        words = letters.view(np.uint64)
        mixed = words[:, 0]
        for word in range(1, words.shape[1]):
            mixed = mixed * np.uint64(0x9E3779B97F4A7C15) ^ words[:, word]
        _, first, which = np.unique(mixed, return_index=True, return_inverse=True)
        sums = [
            np.bincount(which, weights, len(first))
            for weights in (fine, passed, length.astype(float), (length * passed).astype(float))
        ]
        for index, row in enumerate(first):
            name = letters[row].tobytes().rstrip(b"\0\r")
            if name in self._barcodes or len(self._barcodes) < _MOST_BARCODES:
                known = self._barcodes.setdefault(name, np.zeros(4, np.int64))
                known += np.array([each[index] for each in sums]).astype(np.int64)

    def finish(self) -> Summary:
        """Return the counts; a last row without its line end is not counted, as it may be cut."""
        if not self.recognised:
            return Summary()
        # From the longest down: N50 is the first length at which half of the bases are reached.
        lengths = {**dict(enumerate(self._short.tolist())), **self._long}
        falling = sorted(((length, count) for length, count in lengths.items() if count), reverse=True)
        half, reached, n50 = sum(length * count for length, count in falling) / 2, 0, None
        for length, count in falling:
            reached += length * count
            if reached >= half > 0:
                n50 = length
                break
        return Summary(
            rows=self._rows,
            left_out=self._left_out + bool(self._rest.strip()),
            total=Counted(*(int(value) for value in self._sums)),
            n50=n50,
            longest=falling[0][0] if falling else None,
            mean_quality=self._quality_sum / self._quality_reads if self._quality_reads else None,
            barcodes={
                name.decode("utf-8", "replace"): Counted(*(int(value) for value in sums))
                for name, sums in sorted(self._barcodes.items())
            },
        )


def _cell(table: _Ints, column: int) -> tuple[_Ints, _Ints]:
    """Return where a column's cells begin and end; rows follow each other, so the first begins behind the last."""
    end = table[:, column]
    if column:
        return table[:, column - 1] + 1, end
    return np.concatenate([[0], table[:-1, -1] + 1]), end


def _integers(data: _Bytes, start: _Ints, end: _Ints) -> tuple[_Ints, npt.NDArray[np.bool_]]:
    """Return the whole numbers in cells, and which of the cells hold one."""
    value, fine = np.zeros(len(start), np.int64), (end > start) & (end - start <= _DIGITS)
    for offset in range(int(min(_DIGITS, (end - start).max(initial=0)))):
        inside = fine & (start + offset < end)
        digit = data[np.where(inside, start + offset, 0)].astype(np.int64) - _ZERO
        fine &= ~inside | ((digit >= 0) & (digit <= 9))
        value = np.where(inside, value * 10 + digit, value)
    return value, fine


def _decimals(data: _Bytes, start: _Ints, end: _Ints) -> tuple[_Floats, npt.NDArray[np.bool_]]:
    """Return the decimal numbers in cells (`12.3456`, as far as six places), and which of the cells hold one."""
    value, fine = np.zeros(len(start)), end > start
    scale, point = np.ones(len(start)), np.zeros(len(start), bool)
    for offset in range(int(min(_DIGITS, (end - start).max(initial=0)))):
        inside = start + offset < end
        byte = data[np.where(inside, start + offset, 0)]
        dot = inside & (byte == _POINT) & ~point
        digit = byte.astype(np.int64) - _ZERO
        number = inside & ~dot & (digit >= 0) & (digit <= 9)
        fine &= ~inside | dot | number | (byte == _CR)
        scale = np.where(number & point, scale / 10, scale)
        value = np.where(number, np.where(point, value + digit * scale, value * 10 + digit), value)
        point |= dot
    return value, fine
