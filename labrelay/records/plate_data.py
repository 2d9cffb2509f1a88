"""What the plate maps and pictures of a report are drawn from: values by well and small PNGs, from a result's outputs.

As for the other figures, outputs and columns are found by their names, so that any workflow with such a table gets the
maps. What is absent or cannot be read leaves its picture out.
"""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from labrelay.model.imaging import well_at
from labrelay.records.result import Result, ResultFile

log = logging.getLogger(__name__)

WELL_OUTPUTS = ("wells_table", "wells")
PICTURE_OUTPUTS = ("overlay_images", "overlays")
PLATES = ((8, 12), (16, 24), (32, 48))  # 96, 384 and 1536 wells: rows, columns
MOST_PICTURES, LARGEST_PICTURE = 12, 400_000
PNG = b"\x89PNG\r\n\x1a\n"
PLACE = re.compile(r"overlay-\d+-(?P<well>[A-Za-z0-9]+)-f(?P<field>[\w.]+)")


@dataclass(frozen=True)
class Measure:
    """A column of a table of wells that a map can show: its heading, unit, and whether its scale begins at 0."""

    column: str
    title: str
    unit: str = ""
    from_zero: bool = True


# A later one of the same title is left out.
MEASURES = (
    Measure("count", "Cells in each well"),
    Measure("positive_percent", "Positive cells, of all in each well", "%"),
    Measure("area_median_um2", "Median area of the cells", "µm²", from_zero=False),
    Measure("area_median_px", "Median area of the cells", "px", from_zero=False),
    Measure("mean_intensity", "Mean intensity of the cells", from_zero=False),
)


@dataclass(frozen=True)
class WellValues:
    """A well that was imaged: row and column from 1, its numbers by column, and why it has none.

    A well that could not be counted has no number, which is not 0.
    """

    name: str
    row: int
    column: int
    values: Mapping[str, float]
    fields: int | None = None
    flags: str = ""


@dataclass(frozen=True)
class PlateValues:
    """The wells of a plate; those that were not imaged are not among them. `rows` and `columns` as its wells need."""

    wells: tuple[WellValues, ...]
    rows: int
    columns: int

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What at least one well has a number for, each title once."""
        found = [each for each in MEASURES if any(each.column in well.values for well in self.wells)]
        return tuple({each.title: each for each in reversed(found)}[title] for title in _unique(found))


@dataclass(frozen=True)
class Picture:
    """A PNG of the page: what it shows, its size in pixels, and itself as a `data:` address."""

    title: str
    width: int
    height: int
    address: str


def plate_of(rows: Iterable[Mapping[str, str]]) -> PlateValues | None:
    """Return the plate of a table with a column `well`, or None when no row names a well.

    Args:
        rows: By column name in lower case.
    """
    wells: dict[tuple[int, int], WellValues] = {}
    for row in rows:
        at = well_at(row.get("well", ""))
        if at is not None and at[0] <= PLATES[-1][0] and at[1] <= PLATES[-1][1]:
            wells[at] = _well(row, at)
    if not wells:
        return None
    last = max(row for row, _ in wells), max(column for _, column in wells)
    rows_, columns = next(size for size in PLATES if size[0] >= last[0] and size[1] >= last[1])
    return PlateValues(tuple(wells[at] for at in sorted(wells)), rows_, columns)


def pictures_of(outputs: Sequence[ResultFile]) -> tuple[Picture, ...]:
    """Return the first pictures among a result's outputs, none of them large."""
    found = [file for file in outputs if file.name in PICTURE_OUTPUTS and file.path.suffix.lower() == ".png"]
    read = (_picture(file.path) for file in sorted(found, key=lambda file: file.index)[:MOST_PICTURES])
    return tuple(picture for picture in read if picture is not None)


def wells_output(result: Result) -> ResultFile | None:
    """Return the output that is a table of wells, or None."""
    return next((item for name in WELL_OUTPUTS if (item := result.output(name)) is not None), None)


def _well(row: Mapping[str, str], at: tuple[int, int]) -> WellValues:
    values = {each.column: number for each in MEASURES if (number := _number(row.get(each.column, ""))) is not None}
    fields = _number(row.get("fields", ""))
    name = row["well"].strip().upper()
    return WellValues(name, *at, values, None if fields is None else int(fields), row.get("flags", ""))


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) and abs(value) < 1e15 else None


def _unique(measures: Sequence[Measure]) -> list[str]:
    return list(dict.fromkeys(each.title for each in measures))


def _picture(path: Path) -> Picture | None:
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= LARGEST_PICTURE else b""
    except OSError as error:
        log.warning("%s could not be read (%s); it is left out of the report", path.name, error)
        return None
    if not content.startswith(PNG) or content[12:16] != b"IHDR":
        log.warning("%s is no PNG, or one of more than %d bytes; it is left out", path.name, LARGEST_PICTURE)
        return None
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    found = PLACE.match(path.stem)
    title = path.stem if found is None else f"{found['well']}, field {found['field']}"
    return Picture(title, width, height, "data:image/png;base64," + base64.b64encode(content).decode())
