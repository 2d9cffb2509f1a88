"""Quality over time as one self-contained page: an individuals chart a series, and its values as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from markupsafe import Markup

from labrelay.model.control import Judged, Limits
from labrelay.model.words import counted
from labrelay.records.documents import Document, document, number_text, unit_sign, with_unit
from labrelay.records.report.render import render
from labrelay.records.report.svg import (
    LEFT,
    RIGHT,
    WIDTH,
    Figure,
    circle,
    join,
    line,
    path,
    scale,
    text,
    ticks_between,
)
from labrelay.stores.durable import make_dirs, storage_errors, write_atomic

TOP, BOTTOM = 26, 300
EDGE = 70  # at the right, for the names of the limits
DATES = 8
MOST = 400  # newest values that are drawn
Place = tuple[float, float]
Scale = Callable[[float], float]


@dataclass(frozen=True)
class Plot:
    """One series to draw.

    Attributes:
        title, where: Of what, and of which instrument, assay and workflow.
        standing: What is expected of the next value, one sentence.
        names: What each value is called in its tooltip.
        times: ISO 8601, one a value.
        judged: The values with their limits, oldest first.
    """

    title: str
    where: str
    unit: str
    standing: str
    names: tuple[str, ...]
    times: tuple[str, ...]
    judged: tuple[Judged, ...]

    @property
    def newest(self) -> Plot:
        """The same with the values that are drawn only."""
        return Plot(
            self.title,
            self.where,
            self.unit,
            self.standing,
            self.names[-MOST:],
            self.times[-MOST:],
            self.judged[-MOST:],
        )


@dataclass(frozen=True)
class Row:
    """A value of a page's table."""

    name: str
    value: str
    expected: str
    verdict: str
    said: str


def write_trend_page(plots: Sequence[Plot], target: Path) -> Document:
    """Write the series as one HTML page.

    Raises:
        StorageFailed: The disk did not take the file.
    """
    drawn = [(plot, figure(plot.newest, number), rows(plot)) for number, plot in enumerate(plots)]
    signals = sum(each.signal for plot in plots for each in plot.judged)
    with storage_errors("write the trends", target.absolute().parent):
        make_dirs(target.absolute().parent)
        title = plots[0].title if len({plot.title for plot in plots}) == 1 else "Quality over time"
        write_atomic(target, render("trends.html.j2", title=title, plots=drawn, signals=signals))
    return document(target, "Quality over time")


def figure(plot: Plot, number: int = 0) -> Figure:
    """Return the individuals chart of a series: values in their order, each beside the limits that it was judged by."""
    low, high = _extent(plot.judged)
    up = scale(low, high, BOTTOM, TOP)
    across = scale(0, max(1, len(plot.judged) - 1), LEFT + 14, WIDTH - RIGHT - EDGE)
    parts = [text(LEFT - 48, 14, unit_sign(plot.unit), "strong")]
    for tick in ticks_between(low, high, 5):
        parts += [line(LEFT, up(tick), WIDTH - RIGHT - EDGE + 8, up(tick), "grid")]
        parts += [text(LEFT - 8, up(tick) + 4, tick_text(tick), "end")]
    parts += [*_limits(plot, across, up), *_curve(plot, across, up), *_dots(plot, across, up), *_dates(plot, across)]
    signals = sum(each.signal for each in plot.judged)
    missing = sum(each.value is None for each in plot.judged)
    said = f"{counted(len(plot.judged), 'run')}, {counted(signals, 'signal')}"
    said += f", {counted(missing, 'value')} missing" if missing else ""
    return Figure(f"trend-{number}", plot.title, f"{said}; {plot.standing}.", join(parts), BOTTOM + 28)


def rows(plot: Plot) -> list[Row]:
    """Return the values as a table has them, the newest first."""
    made = []
    for name, judged in zip(plot.names, plot.judged, strict=True):
        around = judged.limits
        expected = "–" if around is None else f"{number_text(around.low)} to {number_text(around.high)}"
        said = "outside its limits" if judged.outside else "eight on one side" if judged.shift else ""
        verdict = "fail" if judged.outside else "warn" if judged.shift else ""
        made.append(Row(name, with_unit(judged.value, plot.unit), expected, verdict, said))
    return made[::-1]


def _extent(judged: Sequence[Judged]) -> tuple[float, float]:
    """Return what the axis shows: all values, and limits as far as they do not press the values flat."""
    values = [each.value for each in judged if each.value is not None] or [0.0]
    low, high = min(values), max(values)
    reach = 2 * (high - low) or abs(high) * 0.1 or 1.0
    edges = [edge for each in judged if each.limits for edge in (each.limits.low, each.limits.high) if isfinite(edge)]
    low = min([low, *(edge for edge in edges if edge >= low - reach)])
    high = max([high, *(edge for edge in edges if edge <= high + reach)])
    room = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
    return low - room, high + room


def _limits(plot: Plot, across: Scale, up: Scale) -> Iterator[Markup]:
    """Yield the band between the limits as steps, its edges and the centre line, named at their ends."""
    known = [(place, each.limits) for place, each in enumerate(plot.judged) if each.limits is not None]
    if not known:
        return
    half = (across(1) - across(0)) / 2
    lows, highs, centres = (_steps(known, across, up, half, name) for name in ("low", "high", "centre"))
    yield path([*highs, *reversed(lows)], "band", closed=True)
    yield path(lows, "edge")
    yield path(highs, "edge")
    yield path(centres, "middle")
    last = known[-1][1]
    for value, (x, y) in ((last.low, lows[-1]), (last.high, highs[-1]), (last.centre, centres[-1])):
        kind = "" if value == last.centre else "limittext"
        yield text(x + 8, y + 4, number_text(value), kind)


def _steps(known: Sequence[tuple[int, Limits]], across: Scale, up: Scale, half: float, name: str) -> list[Place]:
    found: list[Place] = []
    for place, around in known:
        y = up(getattr(around, name))
        found += [(across(place) - half, y), (across(place) + half, y)]
    return found


def _curve(plot: Plot, across: Scale, up: Scale) -> Iterator[Markup]:
    """Yield the line through the values; a missing one leaves a gap."""
    part: list[Place] = []
    for place, each in enumerate(plot.judged):
        if each.value is not None:
            part.append((across(place), up(each.value)))
            continue
        if len(part) > 1:
            yield path(part, "curve")
        part = []
    if len(part) > 1:
        yield path(part, "curve")


def _dots(plot: Plot, across: Scale, up: Scale) -> Iterator[Markup]:
    size = 3.5 if len(plot.judged) <= 120 else 2.2
    for place, (name, each) in enumerate(zip(plot.names, plot.judged, strict=True)):
        if each.value is None:
            yield circle(across(place), BOTTOM - 5, 3, "missing", f"{name}: missing")
            continue
        told = f"{name}: {with_unit(each.value, plot.unit)}"
        if each.limits is not None:
            told += f", expected {number_text(each.limits.low)} to {number_text(each.limits.high)}"
        kind = "outside" if each.outside else "shifted" if each.shift else "dot"
        yield circle(across(place), up(each.value), size + 2 if each.signal else size, kind, told)


def _dates(plot: Plot, across: Scale) -> Iterator[Markup]:
    yield line(LEFT, BOTTOM, WIDTH - RIGHT - EDGE + 8, BOTTOM, "axis")
    step = max(1, -(-len(plot.times) // DATES))
    before = ""
    for place in range(0, len(plot.times), step):
        day = plot.times[place][:10]
        if day != before:
            yield line(across(place), BOTTOM, across(place), BOTTOM + 5, "axis")
            yield text(across(place), BOTTOM + 20, day, "mid")
        before = day


def tick_text(value: float) -> str:
    """Return a tick's number, short: `92.5`, `400 k`, `1.2 M`."""
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == ' k' else size):.4g}{letter}"
    return f"{round(value, 9):.6g}"
