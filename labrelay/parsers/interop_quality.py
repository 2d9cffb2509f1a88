"""Yield and quality of an Illumina run by its InterOp files: for the run, each lane and read, and each cycle.

As the instrument's own viewer counts: clusters that passed the filter, over all cycles but the last of each read, which
has no next one to correct it by.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from labrelay.model.instrument import CycleQuality, ReadSegment
from labrelay.model.problem import Problem
from labrelay.model.qc import QCMetric
from labrelay.parsers.interop import (
    FOLDER,
    HEAD,
    Layout,
    Qualities,
    Tiles,
    check_length,
    cycles_of,
    errors_of,
    is_checked,
    metric,
    qualities_of,
    spans,
    tiles_of,
    usable,
)
from labrelay.parsers.interop_errors import ERRORS, error_metrics
from labrelay.parsers.listing import Entry, Listing, read_head
from labrelay.parsers.reading import Reading
from labrelay.parsers.text import warning

# A NovaSeq X run of 330 cycles has some 40 MB; what is larger is checked and not read, to keep memory bounded.
CAP = 64 * 1024 * 1024


def interop_metrics(reading: Reading, reads: Sequence[ReadSegment], lanes: int | None) -> list[QCMetric]:
    """Return yield, clusters and quality; what is cut, short or of another run is told and gives no numbers.

    Args:
        reading: The run folder; problems go there.
        reads: The recipe.
        lanes: Of the flow cell, when known.
    """
    layouts = _checked(reading)
    problems: list[Problem] = []
    qualities = None
    found = _load(reading, layouts, "QMetricsOut.bin")
    if found is not None:
        qualities = qualities_of(*found)
        problems = _fit(qualities, reads, lanes)
    else:
        extraction = _load(reading, layouts, "ExtractionMetricsOut.bin")
        if extraction is not None:
            problems = _short(cycles_of(*extraction), reads, f"{FOLDER}ExtractionMetricsOut.bin")
    reading.problems += problems
    tiles = _load(reading, layouts, "TileMetricsOut.bin")
    # Of a part of the cycles neither the yield nor a quality is the run's.
    metrics = list(_cluster_metrics(tiles_of(*tiles), () if problems else reads)) if tiles is not None else []
    if qualities is not None and not problems:
        metrics += _quality_metrics(qualities, reads)
    errors = _load(reading, layouts, ERRORS)
    if errors is not None:
        found_rates, wrong = error_metrics(errors_of(*errors), reads, lanes)
        metrics += found_rates
        reading.problems += wrong
    # What is of the whole run is looked for first, and there may be eight lanes.
    return sorted(metrics, key=lambda found: (found.scope != "run", found.scope.startswith("lane")))


def cycle_quality(listing: Listing, reads: Sequence[ReadSegment], lanes: int | None = None) -> tuple[CycleQuality, ...]:
    """Return the share of Q30 in each lane and cycle, by lane and cycle; nothing where no file of this run tells it."""
    reading = Reading(listing)
    found = _load(reading, _checked(reading), "QMetricsOut.bin")
    if found is None:
        return ()
    table = qualities_of(*found)
    if _fit(table, reads, lanes):
        return ()  # what gives no number is not drawn
    of_read = {cycle: read.number for read, cycles in spans(reads) for cycle in cycles}
    places, group = np.unique(table.lane.astype(np.int64) << 16 | table.cycle, return_inverse=True)
    totals, good = (np.bincount(group, counts, len(places)) for counts in (table.total, table.q30))
    return tuple(
        CycleQuality(place >> 16, place & 0xFFFF, of_read.get(place & 0xFFFF), 100 * share / total if total else None)
        for place, total, share in zip(places.tolist(), totals.tolist(), good.tolist(), strict=True)
    )


def _checked(reading: Reading) -> dict[str, Layout]:
    """Return the layouts of the whole files in the InterOp folder, by name; the others are told."""
    layouts = {}
    for entry in reading.listing.files:
        if not entry.path.lower().startswith(FOLDER.lower()) or "/" in entry.path[len(FOLDER) :]:
            continue
        if is_checked(entry.name):
            head = read_head(reading.listing.root, entry.path, HEAD)
            layout, problems = check_length(entry.name, head, entry.size, entry.path)
            reading.problems += problems
            if layout is not None:
                layouts[entry.name.lower()] = layout
    return layouts


def _load(reading: Reading, layouts: dict[str, Layout], name: str) -> tuple[bytes, Layout] | None:
    layout = layouts.get(name.lower())
    entry: Entry | None = reading.listing.find(FOLDER + name)
    if layout is None or entry is None or entry.size > CAP:
        return None
    data = reading.data(entry, CAP, needed=False)
    # It may have grown since it was listed: the instrument is still at work then.
    return (data, layout) if data is not None and len(data) == entry.size else None


def _cluster_metrics(tiles: Tiles, reads: Sequence[ReadSegment]) -> Iterator[QCMetric]:
    file = "TileMetricsOut.bin"
    judged = sum(len(usable(cycles)) for _, cycles in spans(reads))
    scopes = [("run", sum(tiles.clusters.values()), sum(tiles.passed.values()))] if tiles.clusters else []
    if len(tiles.clusters) > 1:
        scopes += [(f"lane {n}", tiles.clusters[n], tiles.passed.get(n, 0.0)) for n in sorted(tiles.clusters)]
    for scope, clusters, passed in scopes:
        yield metric("clusters", clusters, "count", scope, file)
        yield metric("clusters_pf", passed, "count", scope, file)
        yield metric("clusters_pf_percent", 100 * passed / clusters if clusters else None, "percent", scope, file)
        if judged:
            yield metric("yield", passed * judged / 1e9, "Gbp", scope, file)


def _share(table: Qualities, rows: NDArray[np.bool_]) -> float | None:
    total = int(table.total[rows].sum())
    return 100 * int(table.q30[rows].sum()) / total if total else None


def _quality_metrics(table: Qualities, reads: Sequence[ReadSegment]) -> Iterator[QCMetric]:
    file = "QMetricsOut.bin"
    by_read = [(read, np.isin(table.cycle, list(usable(cycles)))) for read, cycles in spans(reads)]
    every = np.logical_or.reduce([rows for _, rows in by_read]) if by_read else np.ones(len(table.cycle), bool)
    yield metric("q30_percent", _share(table, every), "percent", "run", file)
    counts = {True: 0, False: 0}
    for read, rows in by_read:
        counts[read.is_index] += 1
        name = f"{'index' if read.is_index else 'read'} {counts[read.is_index]}"
        yield metric("q30_percent", _share(table, rows), "percent", name, file)
    lanes = [int(lane) for lane in np.unique(table.lane)]
    for lane in lanes if len(lanes) > 1 else ():
        yield metric("q30_percent", _share(table, every & (table.lane == lane)), "percent", f"lane {lane}", file)


def _fit(table: Qualities, reads: Sequence[ReadSegment], lanes: int | None) -> list[Problem]:
    """Return what does not fit the run: fewer cycles, fewer tiles at the end, or cycles and lanes that it has not."""
    path = f"{FOLDER}QMetricsOut.bin"
    problems = _short(table.cycle, reads, path)
    if lanes is not None and len(table.lane) and int(table.lane.max()) > lanes:
        text = f"it has lane {int(table.lane.max())}, and the flow cell has {lanes}; it is of another run, and not used"
        problems.append(warning("INTEROP_OTHER_RUN", text, path))
    if problems or not len(table.cycle):
        return problems
    last = table.cycle == table.cycle.max()
    tiles = len(np.unique(table.lane.astype(np.int64) << 32 | table.tile))
    there = int(last.sum())
    if there < tiles:
        text = f"of its last cycle {there} of {tiles} tiles are there, so no quality is told; copy it again, or wait"
        problems.append(warning("INTEROP_INCOMPLETE_CYCLES", text, path))
    return problems


def _short(cycles: NDArray[np.integer], reads: Sequence[ReadSegment], path: str) -> list[Problem]:
    planned = sum(read.cycles for read in reads)
    last = int(cycles.max()) if len(cycles) else 0
    if not planned or last == planned:
        return []
    if last > planned:
        text = f"it has cycle {last}, and RunInfo.xml plans {planned}; it is of another run, and no quality is told"
        return [warning("INTEROP_OTHER_RUN", text, path)]
    text = f"it ends with cycle {last} of {planned}: the run, or the copy, is not complete, and no quality is told"
    return [warning("INTEROP_INCOMPLETE_CYCLES", text, path)]
