"""InterOp files: is each whole for its version, and the records of those that a run is judged by.

The formats are those of Illumina's InterOp documentation: one byte version, one byte record length, sometimes more,
then records of equal size in little-endian order. A file that was cut is read without complaint by other tools and
gives a better quality on less yield, so that its length is checked first and a cut file gives no numbers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labrelay.model.instrument import ReadSegment
from labrelay.model.problem import Problem
from labrelay.model.qc import QCMetric
from labrelay.parsers.text import warning

FOLDER = "InterOp/"
HEAD = 4096
CLUSTERS, CLUSTERS_PF = 102, 103
Table = NDArray[np.void]
Counts = NDArray[np.uint64]


@dataclass(frozen=True)
class Layout:
    """What a header says: where the records begin, how long each is, and for qualities the scores of the columns."""

    version: int
    start: int
    record: int
    scores: tuple[int, ...] = ()


@dataclass(frozen=True)
class Errors:
    """ErrorMetrics, a row a tile and cycle: the percentage of PhiX's bases that were called wrong, or NaN."""

    lane: NDArray[np.integer]
    tile: NDArray[np.integer]
    cycle: NDArray[np.integer]
    percent: NDArray[np.floating]


@dataclass(frozen=True)
class Qualities:
    """QMetrics, a row a tile and cycle: all base calls, those of Q30 and better; columns may be views of the file."""

    lane: NDArray[np.integer]
    tile: NDArray[np.integer]
    cycle: NDArray[np.integer]
    total: Counts
    q30: Counts


@dataclass(frozen=True)
class Tiles:
    """TileMetrics by lane: sums of clusters, and of those that passed the filter."""

    clusters: dict[int, float]
    passed: dict[int, float]


def _plain(*records: tuple[int, int]) -> Callable[[bytes], Layout | None]:
    """Return what reads a header of two bytes, for versions with these record lengths."""
    known = dict(records)

    def layout(head: bytes) -> Layout | None:
        record = known.get(head[0])
        return Layout(head[0], 2, record) if record is not None and record == head[1] else None

    return layout


def _tile(head: bytes) -> Layout | None:
    if head[0] == 3:
        return Layout(3, 6, 15) if head[1] == 15 else None
    return _plain((2, 10))(head)


def _extraction(head: bytes) -> Layout | None:
    if head[0] == 3 and len(head) > 2:
        return Layout(3, 3, head[1]) if head[1] == 8 + 6 * head[2] else None
    return _plain((2, 38))(head)


def _error(head: bytes) -> Layout | None:
    if head[0] != 6:
        return _plain((3, 30), (4, 12), (5, 16))(head)
    if len(head) < 6:
        return None
    # The sequences of the adapters follow, and each record has a share for each of them.
    adapters, length = struct.unpack_from("<HH", head, 2)
    return Layout(6, 6 + adapters * length, head[1]) if head[1] == 12 + 4 * adapters else None


def _quality(head: bytes) -> Layout | None:
    version, record, at = head[0], head[1], 2
    if version == 4:
        return Layout(4, 2, 206, tuple(range(1, 51))) if record == 206 else None
    if version == 9:
        record, at = int.from_bytes(head[1:3], "little"), 3
    if version not in (5, 6, 7, 8, 9) or len(head) <= at:
        return None
    bins = head[at + 1] if head[at] and len(head) > at + 1 else 0
    start = at + 2 + 3 * bins if head[at] else at + 1
    if len(head) < start:
        return None
    # Each bin has a lower and an upper bound and the score that it stands for: up to version 6 all lower bounds come
    # first and all scores last, then each bin's three stand together. Up to version 5 the columns are single scores.
    last = head[start - bins : start] if version == 6 else head[at + 4 : start : 3]
    scores = tuple(last) if version > 5 and bins else tuple(range(1, 51))
    wanted = (8 if version > 6 else 6) + (8 if version > 7 else 4) * len(scores)
    return Layout(version, start, record, scores) if record == wanted else None


# ExtendedTile, Index, Phasing and others have records of many kinds or lengths and are left alone.
_LAYOUTS: dict[str, Callable[[bytes], Layout | None]] = {
    "tilemetricsout.bin": _tile,
    "qmetricsout.bin": _quality,
    "extractionmetricsout.bin": _extraction,
    "correctedintmetricsout.bin": _plain((2, 48), (3, 34), (4, 28)),
    "errormetricsout.bin": _error,
}


def is_checked(name: str) -> bool:
    """Return whether the length of this file can be checked, by its name."""
    return name.lower() in _LAYOUTS


def check_length(name: str, head: bytes, size: int, path: str) -> tuple[Layout | None, list[Problem]]:
    """Return the layout of a whole file; None with the problem of one that is not whole, or not understood.

    Args:
        name: The file's, without folders.
        head: Its first bytes, 4,096 are enough.
        size: Of the whole file.
        path: For messages.
    """
    if size < 2:
        text = "it is empty, so the run's quality cannot be told from it; copy it again from the instrument"
        return None, [warning("INTEROP_TRUNCATED", text, path)]
    layout = _LAYOUTS[name.lower()](head) if len(head) >= 2 else None
    if layout is None:
        text = (
            f"its version {head[0] if head else '?'} with records of {head[1] if len(head) > 1 else '?'} bytes is not"
        )
        return None, [warning("INTEROP_UNKNOWN", f"{text} known here; its numbers are left out", path)]
    rest = (size - layout.start) % layout.record
    if rest or size < layout.start:
        text = f"{rest} of {layout.record} bytes of its last record are there: it was cut, and gives no numbers"
        return None, [warning("INTEROP_TRUNCATED", f"{text}; copy it again from the instrument", path)]
    return layout, []


def tiles_of(data: bytes, layout: Layout) -> Tiles:
    """Return the clusters in TileMetricsOut.bin; a tile that was written twice counts as it was last."""
    found: dict[tuple[int, int, int], float] = {}
    if layout.version == 2:
        for lane, tile, code, value in struct.iter_unpack("<HHHf", data[layout.start :]):
            found[lane, tile, code] = value
    else:
        for lane, tile, kind, first, second in struct.iter_unpack("<HIcff", data[layout.start :]):
            if kind == b"t":
                found[lane, tile, CLUSTERS], found[lane, tile, CLUSTERS_PF] = first, second
    sums: dict[int, dict[int, float]] = {CLUSTERS: {}, CLUSTERS_PF: {}}
    for (lane, _, code), value in found.items():
        if code in sums and np.isfinite(value):
            sums[code][lane] = sums[code].get(lane, 0.0) + value
    return Tiles(sums[CLUSTERS], sums[CLUSTERS_PF])


def qualities_of(data: bytes, layout: Layout) -> Qualities:
    """Return the base calls in QMetricsOut.bin; a tile's cycle that was written twice counts as it was last."""
    tile = "<u4" if layout.version > 6 else "<u2"
    calls = "<u8" if layout.version > 7 else "<u4"
    kind = np.dtype([("lane", "<u2"), ("tile", tile), ("cycle", "<u2"), ("calls", calls, (len(layout.scores),))])
    table = _last_written(np.frombuffer(data, kind, offset=layout.start))
    good = np.asarray(layout.scores) >= 30
    return Qualities(
        table["lane"],
        table["tile"],
        table["cycle"],
        table["calls"].sum(axis=1, dtype=np.uint64),
        table["calls"][:, good].sum(axis=1, dtype=np.uint64),
    )


def errors_of(data: bytes, layout: Layout) -> Errors:
    """Return the error rates in ErrorMetricsOut.bin; a tile's cycle that was written twice counts as it was last."""
    tile = "<u4" if layout.version > 3 else "<u2"
    fields = [("lane", "<u2"), ("tile", tile), ("cycle", "<u2"), ("percent", "<f4")]
    rest = layout.record - np.dtype(fields).itemsize
    table = _last_written(np.frombuffer(data, np.dtype([*fields, ("rest", f"V{rest}")]), offset=layout.start))
    return Errors(table["lane"], table["tile"], table["cycle"], table["percent"])


def spans(reads: Iterable[ReadSegment]) -> Iterator[tuple[ReadSegment, range]]:
    """Give each read with its cycles, counted through the run from 1."""
    at = 1
    for read in reads:
        yield read, range(at, at + read.cycles)
        at += read.cycles


def usable(cycles: range) -> range:
    """Return the cycles of a read that are judged: all but the last, which has no next one to correct it by."""
    return cycles[:-1] if len(cycles) > 1 else cycles


def metric(name: str, value: float | None, unit: str, scope: str, file: str) -> QCMetric:
    """Return a number that an InterOp file told."""
    return QCMetric(name=name, value=value, unit=unit, scope=scope, source=FOLDER + file)


def _last_written(table: Table) -> Table:
    """Return the table with one row for each tile's cycle, the last that was written."""
    if not _repeats(table):
        return table
    # Of the reversed table the first of each key is the last that was written.
    _, first = np.unique(_keys(table[::-1]), return_index=True)
    return table[::-1][first]


def _keys(table: Table) -> NDArray[np.uint64]:
    """Return one number for lane, tile and cycle."""
    found: NDArray[np.uint64] = table["lane"].astype(np.uint64) << np.uint64(48)
    found |= table["tile"].astype(np.uint64) << np.uint64(16)
    found |= table["cycle"]
    return found


def _repeats(table: Table) -> bool:
    """Return whether a tile's cycle was written twice; sorting the numbers takes a third of the memory of an index."""
    keys = _keys(table)
    keys.sort()
    return bool((keys[1:] == keys[:-1]).any())


def cycles_of(data: bytes, layout: Layout) -> NDArray[np.int64]:
    """Return the cycle of each record in ExtractionMetricsOut.bin."""
    tile = "<u4" if layout.version == 3 else "<u2"
    head = np.dtype([("lane", "<u2"), ("tile", tile), ("cycle", "<u2")])
    rest = np.dtype([("head", head), ("rest", f"V{layout.record - head.itemsize}")])
    table: Table = np.frombuffer(data, rest, offset=layout.start)
    found: NDArray[np.int64] = table["head"]["cycle"].astype(np.int64)
    return found
