"""How well a sequencing run went, as figures: %Q30 by cycle and lane, and how its reads were shared out."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from markupsafe import Markup

from labrelay.model.instrument import CycleQuality, InstrumentRun, ReadSegment
from labrelay.model.words import counted
from labrelay.records.documents import number_text
from labrelay.records.report.svg import (
    LEFT,
    RIGHT,
    WIDTH,
    Figure,
    join,
    line,
    nice_ticks,
    path,
    rect,
    scale,
    text,
    ticks_between,
)

TOP, BOTTOM = 26, 250
ROW = 20
MOST_BARS = 48
NAMES = 240  # at the left of bars, for samples or barcodes
NOBODY = "Undetermined"
_IN_A_LANE = re.compile(r"(.+), lane (\d+)\Z", re.DOTALL)


def quality_figures(run: InstrumentRun, cycles: Sequence[CycleQuality]) -> list[Figure]:
    """Return the figures that a run gives: none where neither the instrument nor a converter has counted."""
    made = [_by_cycle(cycles, run.reads)] if any(point.q30_percent is not None for point in cycles) else []
    shared = _counts(run, "reads")
    if shared:
        lost = sum(shared.get(NOBODY, {}).values())
        total = sum(sum(lanes.values()) for lanes in shared.values())
        share = f"; {100 * lost / total:.1f} % have none" if total else ""
        said = f"Reads of {counted(len(shared.keys() - {NOBODY}), 'sample')}, all lanes together{share}."
        made.append(_bars("reads-by-sample", "Reads by sample", said, shared))
    unknown = _counts(run, "unknown_barcode_reads")
    if unknown:
        said = "The most frequent barcodes that no sample of the sheet has, all lanes together."
        made.append(_bars("unknown-barcodes", "Unknown barcodes", said, _largest_first(unknown)))
    return made


def _by_cycle(points: Sequence[CycleQuality], reads: Sequence[ReadSegment]) -> Figure:
    """Draw a line a lane; index reads stand on a band."""
    by_lane: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for point in points:
        if point.q30_percent is not None:
            by_lane[point.lane].append((point.cycle, point.q30_percent))
    low = min(share for lane in by_lane.values() for _cycle, share in lane)
    last = max(point.cycle for point in points)
    up = scale(max(0.0, low - 3), 100, BOTTOM, TOP)
    across = scale(1, max(2, last), LEFT + 8, WIDTH - RIGHT)
    parts = [text(LEFT - 48, 14, "%", "strong"), *_reads(reads, across)]
    for tick in ticks_between(max(0.0, low - 3), 100):
        parts += [
            line(LEFT, up(tick), WIDTH - RIGHT, up(tick), "grid"),
            text(LEFT - 8, up(tick) + 4, f"{tick:g}", "end"),
        ]
    for lane in sorted(by_lane):
        places = [(across(cycle), up(share)) for cycle, share in sorted(by_lane[lane])]
        tip = Markup("<g><title>lane {}</title>{}</g>").format(lane, path(places, "curve"))
        parts.append(tip)
    for tick in ticks_between(1, last, 10):
        parts.append(text(across(tick), BOTTOM + 18, f"{tick:g}", "mid"))
    said = f"Base calls of Q30 and better in each cycle, {counted(len(by_lane), 'lane')}; index reads on a band."
    return Figure("q30-by-cycle", "%Q30 by cycle", said, join(parts), BOTTOM + 28)


def _reads(reads: Sequence[ReadSegment], across: object) -> Iterator[Markup]:
    """Yield a band for each index read and a mark where a read begins."""
    at = 1
    place = across if callable(across) else float
    for read in reads:
        left, right = float(place(at)), float(place(at + read.cycles - 1))
        if read.is_index:
            yield rect(left, TOP - 6, right - left, BOTTOM - TOP + 6, "band", f"index read {read.number}")
        elif at > 1:
            yield line(left, TOP - 6, left, BOTTOM, "axis")
        at += read.cycles


def _counts(run: InstrumentRun, name: str) -> dict[str, dict[int, float]]:
    """Return a count by what it is of, sample or barcode, and lane; nothing of what was not counted."""
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for metric in run.qc:
        match = _IN_A_LANE.match(metric.scope) if metric.name == name and metric.value is not None else None
        if match is not None and metric.value is not None:
            found[match[1]][int(match[2])] = metric.value
    return dict(found)


def _largest_first(counts: Mapping[str, dict[int, float]]) -> dict[str, dict[int, float]]:
    return dict(sorted(counts.items(), key=lambda each: -sum(each[1].values())))


def _bars(name: str, title: str, said: str, counts: Mapping[str, Mapping[int, float]]) -> Figure:
    """Draw a bar each, those without a sample in another colour; what is too many is said."""
    shown = list(counts.items())[:MOST_BARS]
    totals = {label: sum(lanes.values()) for label, lanes in shown}
    top = max(totals.values()) or 1.0
    across = scale(0, top, NAMES, WIDTH - RIGHT - 90)
    height = TOP + ROW * len(shown) + 24
    parts = []
    for tick in nice_ticks(top, 5):
        parts += [line(across(tick), TOP - 8, across(tick), height - 20, "grid")]
        parts += [text(across(tick), height - 4, number_text(tick), "mid")]
    for row, (label, lanes) in enumerate(shown):
        y = TOP + row * ROW
        tip = ", ".join(f"lane {lane}: {number_text(count)}" for lane, count in sorted(lanes.items()))
        kind = "bar2" if label == NOBODY else "bar"
        parts += [
            text(NAMES - 8, y + 11, label if len(label) <= 34 else f"{label[:33]}…", "end"),
            rect(NAMES, y, across(totals[label]) - NAMES, ROW - 6, kind, f"{label}: {tip}", radius=2),
            text(across(totals[label]) + 6, y + 11, number_text(totals[label])),
        ]
    if len(counts) > len(shown):
        said += f" The first {len(shown)} of {len(counts):,} are drawn."
    return Figure(name, title, said, join(parts), height)
