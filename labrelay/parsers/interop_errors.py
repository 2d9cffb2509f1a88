"""The error rate of an Illumina run by its ErrorMetrics: PhiX that was added to the library, against PhiX's sequence.

As the instrument's own viewer counts: the rates of a tile's cycles, less the last of the read, make the tile's rate of
that read, and the mean of these is the rate of the read, the lane or the run. Without PhiX there is no such file, or
its rates are not numbers, and then there is no rate here either: it is never 0 in its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from labrelay.model.instrument import ReadSegment
from labrelay.model.problem import Problem
from labrelay.model.qc import QCMetric
from labrelay.parsers.interop import FOLDER, Errors, metric, spans, usable
from labrelay.parsers.text import warning

ERRORS = "ErrorMetricsOut.bin"
PATH = FOLDER + ERRORS
# Of each tile: its lane, and its rate of one read.
_Tiles = tuple[NDArray[np.integer], NDArray[np.float64]]


def error_metrics(
    table: Errors, reads: Sequence[ReadSegment], lanes: int | None
) -> tuple[list[QCMetric], list[Problem]]:
    """Return `phix_error_percent` of the run, each read and each lane; a file that does not fit the run gives none.

    A rate of the run or of a lane is there when all reads that are no index have one, because later reads have more
    errors than earlier ones.

    Args:
        table: What the file holds.
        reads: The recipe.
        lanes: Of the flow cell, when known.
    """
    problems = _fit(table, reads, lanes)
    if problems:
        return [], problems
    found = [_tiles(table, usable(cycles)) for read, cycles in spans(reads) if not read.is_index]
    return list(_metrics(found)), []


def _metrics(found: Sequence[_Tiles]) -> Iterator[QCMetric]:
    lanes = np.concatenate([lane for lane, _ in found]) if found else np.empty(0, np.int64)
    rates = np.concatenate([rate for _, rate in found]) if found else np.empty(0)
    whole = all(len(rate) for _, rate in found)
    yield _metric(rates if whole else rates[:0], "run")
    for number, (_, rate) in enumerate(found, 1):
        yield _metric(rate, f"read {number}")
    every = np.unique(lanes)
    for lane in every if whole and len(every) > 1 else ():
        yield _metric(rates[lanes == lane], f"lane {int(lane)}")


def _metric(rates: NDArray[np.float64], scope: str) -> QCMetric:
    return metric("phix_error_percent", float(rates.mean()) if len(rates) else None, "percent", scope, ERRORS)


def _tiles(table: Errors, cycles: range) -> _Tiles:
    """Return the lanes and the rates of the tiles that have any rate in these cycles."""
    rows = (table.cycle >= cycles.start) & (table.cycle < cycles.stop) & np.isfinite(table.percent)
    keys = table.lane[rows].astype(np.int64) << 32 | table.tile[rows]
    tiles, which = np.unique(keys, return_inverse=True)
    sums = np.bincount(which, table.percent[rows], len(tiles))
    return tiles >> 32, sums / np.bincount(which, minlength=len(tiles))


def _fit(table: Errors, reads: Sequence[ReadSegment], lanes: int | None) -> list[Problem]:
    """Return what does not fit the run: lanes or cycles that it has not, or a read that ends before its last cycle."""
    last = int(table.cycle.max()) if len(table.cycle) else 0
    planned = sum(read.cycles for read in reads)
    lane = int(table.lane.max()) if len(table.lane) else 0
    if lanes is not None and lane > lanes:
        text = f"it has lane {lane}, and the flow cell has {lanes}; it is of another run, and no error rate is told"
        return [warning("INTEROP_OTHER_RUN", text, PATH)]
    if planned and last > planned:
        text = f"it has cycle {last}, and RunInfo.xml plans {planned}; it is of another run, and no error rate is told"
        return [warning("INTEROP_OTHER_RUN", text, PATH)]
    for _, cycles in spans(reads):
        # Some instruments leave out a read's last cycle, and others have it.
        if last in cycles and last < usable(cycles)[-1]:
            text = f"it ends with cycle {last} of {usable(cycles)[-1]}: the run, or the copy, is not complete, and"
            return [warning("INTEROP_INCOMPLETE_CYCLES", f"{text} no error rate is told", PATH)]
    return []
