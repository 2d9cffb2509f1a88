"""Plate maps: a cell for each well, coloured by a number; not imaged, not counted and 0 are three things."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from markupsafe import Markup

from labrelay.model.imaging import well_name
from labrelay.model.words import counted, first_of
from labrelay.records.documents import number_text
from labrelay.records.plate_data import Measure, PlateValues, WellValues
from labrelay.records.report.svg import WIDTH, Figure, join, line, rect, text

HALF = 472
SHADES = 8  # classes `shade0` to `shade7` of the style sheet
TOP, LEFT = 26, 34
LARGEST_CELL = 44


def plate_figures(plate: PlateValues | None) -> list[Figure]:
    """Return a map for each number that the wells have: the first as wide as the page, the others half as wide."""
    if plate is None:
        return []
    # Of a single well the others would show nothing that the page does not say in numbers.
    shown = plate.measures if len(plate.wells) > 1 else plate.measures[:1]
    return [
        _map(plate, measure, WIDTH if place == 0 else HALF, f"plate_{measure.column}")
        for place, measure in enumerate(shown)
    ]


def shade_of(value: float, low: float, high: float) -> str:
    """Return the class of a well's colour: `zero` for 0, else one of eight shades from `low` to `high`."""
    if value == 0:
        return "zero"
    part = (value - low) / (high - low) if high > low else 1.0
    return f"shade{min(SHADES - 1, int(part * SHADES))}"


def _map(plate: PlateValues, measure: Measure, width: int, name: str) -> Figure:
    values = [well.values[measure.column] for well in plate.wells if measure.column in well.values]
    low, high = 0.0 if measure.from_zero else min(values), max(values)
    cell = min(LARGEST_CELL, (width - LEFT - 8) / plate.columns)
    parts = [*_names(plate, cell)]
    wells = {(well.row, well.column): well for well in plate.wells}
    for row in range(1, plate.rows + 1):
        for column in range(1, plate.columns + 1):
            x, y = LEFT + (column - 1) * cell, TOP + (row - 1) * cell
            at = x, y, cell
            parts.append(_cell(wells.get((row, column)), well_name(row, column), measure, (low, high), at))
            if (well := wells.get((row, column))) and width == WIDTH and measure.column in well.values:
                parts.append(_written(well.values[measure.column], (low, high), at))
    bottom = TOP + plate.rows * cell
    parts += _legend(measure, low, high, bottom + 18, width)
    return Figure(
        name,
        measure.title,
        _summary(plate, measure, values),
        join(parts),
        bottom + (44 if width == WIDTH else 66),
        width,
    )


def _names(plate: PlateValues, cell: float) -> Iterator[Markup]:
    for column in range(1, plate.columns + 1):
        # Numbers need more room than small cells have: then every second column is named.
        if cell >= 14 or column % 2:
            yield text(LEFT + (column - 0.5) * cell, TOP - 8, str(column), "mid")
    for row in range(1, plate.rows + 1):
        if cell >= 12 or row % 2:
            letters = well_name(row, 1).rstrip("0123456789")
            yield text(LEFT - 8, TOP + (row - 0.5) * cell + 4, letters, "end")


def _cell(
    well: WellValues | None, name: str, measure: Measure, scale: tuple[float, float], at: tuple[float, float, float]
) -> Markup:
    x, y, size = at
    gap = 1 if size < 20 else 1.5
    inner, radius = size - 2 * gap, 2 if size < 20 else 4
    if well is None:
        return rect(x + gap, y + gap, inner, inner, "unseen", f"{name}: not imaged", radius)
    value = well.values.get(measure.column)
    if value is None and well.fields:
        return rect(x + gap, y + gap, inner, inner, "zero", f"{name}: no cells to measure", radius)
    if value is None:
        box = rect(x + gap, y + gap, inner, inner, "blind", f"{name}: {_why(well)}", radius)
        return box + _cross(x + gap, y + gap, inner)
    told = f"{name}: {_said(well, measure, value)}"
    box = rect(x + gap, y + gap, inner, inner, shade_of(value, *scale), told, radius)
    # What a flag says of a well (a field left out, light taken off) is not seen in its colour.
    return box + (_corner(x + gap + inner, y + gap, size / 4) if well.flags else Markup(""))


def _written(value: float, scale: tuple[float, float], at: tuple[float, float, float]) -> Markup:
    """Return a well's number inside it, where there is room, in an ink that its colour lets read."""
    x, y, size = at
    number = number_text(value) if abs(value) < 10_000 else f"{value / 1000:.0f}k"
    if 6.5 * len(number) + 6 > size:
        return Markup("")
    dark = shade_of(value, *scale) in ("shade5", "shade6", "shade7")
    return text(x + size / 2, y + size / 2 + 4, number, "onshade mid" if dark else "inwell mid")


def _cross(x: float, y: float, size: float) -> Markup:
    low, high = 0.25 * size, 0.75 * size
    return line(x + low, y + low, x + high, y + high, "blindmark") + line(
        x + low, y + high, x + high, y + low, "blindmark"
    )


def _corner(right: float, top: float, size: float) -> Markup:
    return line(right - size, top, right, top + size, "flagmark")


def _why(well: WellValues) -> str:
    return "could not be counted" + (f" ({well.flags.replace('_', ' ')})" if well.flags else "")


def _said(well: WellValues, measure: Measure, value: float) -> str:
    unit = f" {measure.unit}" if measure.unit else ""
    number = counted(int(value), "cell") if measure.column == "count" else f"{number_text(value)}{unit}"
    if measure.column == "positive_percent" and (cells := well.values.get("count")) is not None:
        number += f" of {counted(int(cells), 'cell')}"
    fields = f" in {counted(well.fields, 'field')}" if well.fields is not None else ""
    return f"{number}{fields}" + (f" ({well.flags.replace('_', ' ')})" if well.flags else "")


def _legend(measure: Measure, low: float, high: float, y: float, width: float) -> Iterator[Markup]:
    """Yield the scale with its ends and unit, and beside or below it what the other cells mean."""
    step = 16 if width == WIDTH else 12
    unit = f" {measure.unit}" if measure.unit else ""
    yield text(LEFT, y + 11, number_text(low), "")
    x = LEFT + 12.0 + 7 * len(number_text(low))
    for shade in range(SHADES):
        yield rect(x + shade * step, y, step, 14, f"shade{shade}")
    yield text(x + SHADES * step + 6, y + 11, f"{number_text(high)}{unit}", "")
    wide = width == WIDTH
    x, y = (x + SHADES * step + 60 + 7 * len(number_text(high) + unit), y) if wide else (float(LEFT), y + 22)
    none = "0" if measure.column == "count" else "0, or no cells" if measure.from_zero else "no cells"
    for kind, said in (("zero", none), ("unseen", "not imaged"), ("blind", "could not be counted")):
        yield rect(x, y, 14, 14, kind, "", 3)
        if kind == "blind":
            yield _cross(x, y, 14)
        yield text(x + 20, y + 11, said)
        x += 44 + 6.4 * len(said)


def _summary(plate: PlateValues, measure: Measure, values: list[float]) -> str:
    unit = f" {measure.unit}" if measure.unit else ""
    low, high = number_text(min(values)), number_text(max(values))
    span = f"{low}{unit}" if low == high else f"{low} to {high}{unit}, median {number_text(median(values))}"
    said = f"{counted(len(values), 'well')}: {span}."
    blind = sum(not well.fields for well in plate.wells)
    zero = values.count(0)
    said += f" {counted(zero, 'well has', 'wells have')} 0." if zero and high != "0" else ""
    said += f" {counted(blind, 'well')} could not be counted." if blind else ""
    flags = [well.flags for well in plate.wells if well.flags and well.values.get(measure.column) is not None]
    names = first_of(sorted({flag.replace("_", " ") for flag in flags}), 3)
    return said + (f" {counted(len(flags), 'corner is', 'corners are')} marked: {names}." if flags else "")
