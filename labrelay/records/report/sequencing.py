"""Figures of a sequencing run: quality along its cycles, how its lanes were shared out, barcodes that nobody knows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from labrelay.model.instrument import InstrumentRun, ReadSegment
from labrelay.model.qc import QCMetric
from labrelay.model.words import counted
from labrelay.records.documents import number_text
from labrelay.records.report.svg import LEFT, RIGHT, WIDTH, Figure, join, line, nice_ticks, path, rect, scale, text

if TYPE_CHECKING:
    from labrelay.parsers.interop_quality import CycleQuality

TOP, BOTTOM = 24, 200
UNDETERMINED = "Undetermined"
MOST_LANES, MOST_BARS, ROW, WIDEST = 16, 400, 20, 60
_LANE = re.compile(r"(.+), lane (\d+)\Z")


def sequencing_figures(run: InstrumentRun, cycles: Sequence[CycleQuality] = ()) -> list[Figure]:
    """Return the figures that the run has numbers for: Q30 by cycle, reads by sample and lane, unknown barcodes."""
    drawn = (cycle_figure(cycles, run.reads), lanes_figure(run.qc), unknown_figure(run.qc))
    return [figure for figure in drawn if figure is not None]


def cycle_figure(points: Sequence[CycleQuality], reads: Sequence[ReadSegment]) -> Figure | None:
    """Return %Q30 along the cycles, a line a lane, with the reads below; None without points.

    A read's last cycle is lower than the rest by nature: it has no next one to correct it by.
    """
    known = [(p.lane, p.cycle, p.q30_percent) for p in points if p.q30_percent is not None]
    if not known:
        return None
    last = max(sum(read.cycles for read in reads), *(cycle for _, cycle, _ in known), 2)
    across, up = scale(1, last, LEFT, WIDTH - RIGHT), scale(0, 100, BOTTOM, TOP)
    parts = [text(LEFT, 12, "Base calls of Q30 and better")]
    for tick in (0, 25, 50, 75, 100):
        parts += [line(LEFT, up(tick), WIDTH - RIGHT, up(tick), "grid")]
        parts += [text(LEFT - 8, up(tick) + 4, f"{tick} %", "end")]
    lanes = sorted({lane for lane, _, _ in known})
    for lane in lanes[:MOST_LANES]:
        parts.append(path([(across(cycle), up(share)) for at, cycle, share in known if at == lane], "curve"))
    parts += _reads(reads, last)
    lowest = min(known, key=lambda point: point[2])
    of = f" of lane {lowest[0]}" if len(lanes) > 1 else ""
    said = f"{counted(len(lanes), 'lane')}; the lowest is {number_text(lowest[2])} % in cycle {lowest[1]}{of}."
    return Figure("q30_by_cycle", "Quality by cycle", said, join(parts), BOTTOM + 36)


def _reads(reads: Sequence[ReadSegment], last: int) -> list[Markup]:
    """Return the names of the reads below their cycles, with a line where each ends."""
    across = scale(1, last, LEFT, WIDTH - RIGHT)
    counts = {True: 0, False: 0}
    parts, begin = [line(LEFT, BOTTOM, WIDTH - RIGHT, BOTTOM, "axis")], 1
    for read in reads:
        counts[read.is_index] += 1
        end = begin + read.cycles - 1
        name = f"{'index' if read.is_index else 'read'} {counts[read.is_index]}"
        wide = across(end) - across(begin) > 44
        parts.append(text((across(begin) + across(end)) / 2, BOTTOM + 18, name if wide else name[0], "mid"))
        if end < last:
            parts.append(line(across(end + 0.5), TOP, across(end + 0.5), BOTTOM + 6, "middle"))
        begin = end + 1
    return parts


def _by_lane(metrics: Sequence[QCMetric], name: str) -> dict[int, list[tuple[str, float]]]:
    """Return sample (or barcode) and number by lane, in their order."""
    found: dict[int, list[tuple[str, float]]] = {}
    for metric in metrics:
        match = _LANE.match(metric.scope)
        if metric.name == name and match and metric.value is not None:
            found.setdefault(int(match[2]), []).append((match[1], metric.value))
    return found


def lanes_figure(metrics: Sequence[QCMetric]) -> Figure | None:
    """Return the reads of each sample, lane by lane, most first, reads without a sample in another colour."""
    lanes = _by_lane(metrics, "reads")
    if not lanes:
        return None
    bars: list[tuple[int, str, float]] = []
    for lane in sorted(lanes):
        samples = sorted((each for each in lanes[lane] if each[0] != UNDETERMINED), key=lambda each: -each[1])
        lost = [each for each in lanes[lane] if each[0] == UNDETERMINED]
        bars += [(lane, name, count) for name, count in (*samples, *lost)]
    shown = bars[:MOST_BARS]
    top = max(1.0, *(count for _, _, count in shown))
    up, step = scale(0, top, BOTTOM, TOP), min((WIDTH - LEFT - RIGHT) / len(shown), WIDEST)
    parts = [text(LEFT, 12, "Reads")]
    for tick in nice_ticks(top, 4):
        parts += [
            line(LEFT, up(tick), WIDTH - RIGHT, up(tick), "grid"),
            text(LEFT - 8, up(tick) + 4, _short(tick), "end"),
        ]
    for place, (lane, name, count) in enumerate(shown):
        x = LEFT + place * step
        kind = "bar2" if name == UNDETERMINED else "bar"
        tip = f"{name}, lane {lane}: {count:,.0f}"
        parts.append(rect(x + step * 0.1, up(count), step * 0.8, BOTTOM - up(count), kind, tip))
        if place == 0 or shown[place - 1][0] != lane:
            parts += [line(x, TOP, x, BOTTOM + 6, "middle"), text(x + 4, BOTTOM + 18, f"lane {lane}")]
    parts.append(line(LEFT, BOTTOM, WIDTH - RIGHT, BOTTOM, "axis"))
    return Figure("reads_by_lane", "Reads by sample and lane", _shared(lanes, len(bars)), join(parts), BOTTOM + 30)


def _shared(lanes: dict[int, list[tuple[str, float]]], bars: int) -> str:
    every = [each for lane in lanes.values() for each in lane]
    total = sum(count for _, count in every)
    lost = sum(count for name, count in every if name == UNDETERMINED)
    without = sum(count == 0 for name, count in every if name != UNDETERMINED)
    said = f"{100 * lost / total:.1f} % of the reads belong to no sample." if total else "There are no reads."
    said += f" {counted(without, 'sample of a lane has', 'samples of lanes have')} no read." if without else ""
    return said + (f" The first {MOST_BARS} of {bars:,} are drawn." if bars > MOST_BARS else "")


def _short(count: float) -> str:
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:g} {sign}"
    return f"{count:g}"


def unknown_figure(metrics: Sequence[QCMetric]) -> Figure | None:
    """Return the most frequent barcodes of no sample, a row each, beside a usual sample of their lane."""
    lanes = _by_lane(metrics, "unknown_barcode_reads")
    if not lanes:
        return None
    known = _by_lane(metrics, "reads")
    rows = [(lane, barcode, count) for lane in sorted(lanes) for barcode, count in lanes[lane]][: MOST_LANES * 5]
    top = max(1.0, *(count for _, _, count in rows))
    start = LEFT + 260
    across = scale(0, top, start, WIDTH - RIGHT - 90)
    parts = []
    for place, (lane, barcode, count) in enumerate(rows):
        y = 8 + place * ROW
        parts.append(text(LEFT, y + 13, f"lane {lane}  {barcode}"))
        parts.append(rect(start, y + 2, across(count) - start, ROW - 5, "bar2", f"{barcode}: {count:,.0f}", 1.5))
        parts.append(text(across(count) + 6, y + 13, f"{count:,.0f}"))
    lane, barcode, count = max(rows, key=lambda row: row[2])
    samples = sorted(n for name, n in known.get(lane, []) if name != UNDETERMINED and n)
    beside = f"; a usual sample of that lane has {samples[len(samples) // 2]:,.0f}" if samples else ""
    said = f"The most frequent is {barcode} in lane {lane} with {count:,.0f} reads{beside}."
    return Figure("unknown_barcodes", "Barcodes of no sample", said, join(parts), 16 + len(rows) * ROW)
