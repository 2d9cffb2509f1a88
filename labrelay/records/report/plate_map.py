"""A plate as a picture: which wells were acquired, or a number a well as shades of one colour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite

from markupsafe import Markup

from labrelay.model.imaging import Plate, well_at, well_name
from labrelay.model.words import counted
from labrelay.records.documents import number_text
from labrelay.records.report.plate import SHADES, shade_of
from labrelay.records.report.svg import CHART_CSS, WIDTH, Figure, join, rect, text

_SIZES = ((2, 3), (4, 6), (6, 8), (8, 12), (16, 24), (32, 48))
PLATE_CSS = """
.chart .well { fill: var(--shade); stroke: var(--line); } .chart .taken { fill: var(--accent); stroke: var(--accent); }
"""


def plate_figure(
    plate: Plate, values: Mapping[str, float | None] | None = None, name: str = "", unit: str = ""
) -> Figure | None:
    """Return the map of a plate, or None when no well of it is known.

    Args:
        plate: Its size, where it is not told, is the smallest usual one that holds its wells.
        values: A number a well, such as cells; a well that is not in it is shown as empty.
        name, unit: What the numbers are.
    """
    places = {well: place for well in (*plate.wells, *(values or {})) if (place := well_at(well)) is not None}
    if not places:
        return None
    rows, columns = _size(plate, places)
    step = min(44.0, (WIDTH - 60) / columns, 560 / rows)
    known = [value for value in (values or {}).values() if value is not None and isfinite(value)]
    ends = (min(known), max(known)) if known else None
    acquired = set(plate.wells)
    parts = [*_headings(rows, columns, step)]
    for row in range(1, rows + 1):
        for column in range(1, columns + 1):
            well = well_name(row, column)
            kind, tip = _well(well, acquired, values, ends, unit)
            at = (40 + (column - 1) * step, 26 + (row - 1) * step)
            parts.append(rect(*at, step * 0.86, step * 0.86, kind, tip, radius=step * 0.43))
    height = 30 + rows * step
    if ends is not None:
        parts += _legend(ends, height + 12, name, unit)
        height += 44
    size = f"of {rows} × {columns} " if (plate.rows, plate.columns) == (rows, columns) else ""
    said = (
        f"{counted(len(plate.wells), 'well')} {size}acquired{'' if size else '; no file tells the size of the plate'}"
    )
    if ends is not None:
        span = number_text(ends[0]) if ends[0] == ends[1] else f"{number_text(ends[0])} to {number_text(ends[1])}"
        said = f"{name}, {span} {unit}".rstrip()
    return Figure("plate", plate.id or "Plate", f"{said}.", join(parts), height, css=CHART_CSS + PLATE_CSS)


def _size(plate: Plate, places: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    low_row, low_column = (max(place[axis] for place in places.values()) for axis in (0, 1))
    if plate.rows and plate.columns and low_row <= plate.rows <= 48 and low_column <= plate.columns <= 72:
        return plate.rows, plate.columns
    return next((size for size in _SIZES if size[0] >= low_row and size[1] >= low_column), (low_row, low_column))


def _headings(rows: int, columns: int, step: float) -> Iterator[Markup]:
    every = 1 if step > 16 else 2
    for column in range(1, columns + 1, every):
        yield text(40 + (column - 0.57) * step, 16, str(column), "mid")
    for row in range(1, rows + 1, every):
        yield text(30, 26 + (row - 0.57) * step + 4, well_name(row, 1)[:-2], "end")


def _well(
    well: str,
    acquired: set[str],
    values: Mapping[str, float | None] | None,
    ends: tuple[float, float] | None,
    unit: str,
) -> tuple[str, str]:
    """Return a well's class and its tooltip."""
    if values is None or ends is None:
        return ("taken", f"{well}: acquired") if well in acquired else ("well", f"{well}: not acquired")
    value = values.get(well)
    if value is None or not isfinite(value):
        return "well", f"{well}: no value"
    return shade_of(value, *ends), f"{well}: {number_text(value)} {unit}".rstrip()


def _legend(ends: tuple[float, float], top: float, name: str, unit: str) -> Iterator[Markup]:
    for shade in range(SHADES):
        yield rect(40 + shade * 24, top, 24, 12, f"shade{shade}")
    yield text(40, top + 28, number_text(ends[0]))
    yield text(40 + SHADES * 24, top + 28, number_text(ends[1]), "end")
    yield text(52 + SHADES * 24, top + 11, f"{name} {unit}".strip())
