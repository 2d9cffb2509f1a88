"""The rows of a sample sheet's table: columns by their many names, one sample a row, and the checks across rows."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Protocol

from labrelay.model.instrument import SheetSample
from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.parsers.text import column_key, error, to_int, warning

_COLUMNS = {
    "sample_id": ("sampleid",),
    "name": ("samplename",),
    "lane": ("lane",),
    "index": ("index", "index1"),
    "index2": ("index2",),
    "project": ("sampleproject", "project"),
}
_BASES = re.compile(r"[ACGTN]+\Z")
_MAX_NAME = 200


class TableRow(Protocol):
    """A line of the table: its number and its cells."""

    @property
    def line(self) -> int:
        """From 1."""

    @property
    def cells(self) -> list[str]:
        """Stripped."""


def is_table_header(row: Sequence[str]) -> bool:
    """Tell whether these cells are the column names of a table of samples."""
    keys = {column_key(cell) for cell in row}
    return bool(keys & {"sampleid", "samplename"}) and len(keys) > 1


def read_rows(rows: Sequence[TableRow], path: str, lanes: int | None, problems: list[Problem]) -> list[SheetSample]:
    """Return the samples of a table, the first row of which names the columns.

    Args:
        rows: The lines of the section that are not blank.
        path: For messages.
        lanes: Of the flow cell, when known.
        problems: What is wrong is added here.
    """
    if not rows:
        return []
    columns = _columns(rows[0], path, problems)
    if "sample_id" not in columns and "name" not in columns:
        text = "its table has no Sample_ID column; name the columns in the first row"
        problems.append(error("NO_SAMPLE_COLUMN", text, path, rows[0].line))
        return []
    samples = []
    for row in rows[1:]:
        if any(row.cells[len(rows[0].cells) :]):
            text = "the row has more cells than there are columns; is a comma missing its quotation marks?"
            problems.append(warning("EXTRA_CELLS", text, path, row.line))
        sample = _sample(row, columns, path, problems)
        if sample is not None:
            samples.append(sample)
    _check_lanes(samples, path, lanes, problems)
    _check_duplicates(samples, path, problems)
    return samples


def _columns(header: TableRow, path: str, problems: list[Problem]) -> dict[str, int]:
    keys = [column_key(cell) for cell in header.cells]
    columns = {}
    for field, names in _COLUMNS.items():
        places = [number for number, key in enumerate(keys) if key in names]
        if len(places) > 1:
            text = f"column {header.cells[places[0]]} stands there {len(places)} times; the first is used"
            problems.append(warning("REPEATED_COLUMN", text, path, header.line))
        if places:
            columns[field] = places[0]
    return columns


def _sample(row: TableRow, columns: dict[str, int], path: str, problems: list[Problem]) -> SheetSample | None:
    value = {field: _cell(row, place) for field, place in columns.items()}
    sample_id = value.get("sample_id") or value.get("name")
    if sample_id is None:
        problems.append(error("NO_SAMPLE_ID", "the row has no Sample_ID; give it one", path, row.line))
        return None
    if not sample_id.isprintable() or len(sample_id) > _MAX_NAME:
        text = f"the sample's name is not printable or too long: {printable(sample_id, 60)}; rename it"
        problems.append(error("UNSAFE_NAME", text, path, row.line))
        return None
    lane = to_int(value.get("lane"))
    if lane is None and value.get("lane"):
        problems.append(error("BAD_LANE", f"lane {printable(value['lane'] or '', 20)!r} is no number", path, row.line))
    index, index2 = _indexes(value.get("index"), value.get("index2"))
    return SheetSample(
        sample_id=sample_id,
        name=value.get("name"),
        lane=lane,
        index=index,
        index2=index2,
        project=value.get("project"),
        barcode=_barcode(index, index2),
        line=row.line,
    )


def _cell(row: TableRow, place: int) -> str | None:
    return unicodedata.normalize("NFC", row.cells[place]) or None if place < len(row.cells) else None


def _indexes(index: str | None, index2: str | None) -> tuple[str | None, str | None]:
    if index and not index2:
        # Sheets before version 1 write both indexes in one cell.
        first, sign, second = index.replace("+", "-").partition("-")
        if sign and _BASES.match(first.upper()) and _BASES.match(second.upper()):
            return first, second
    return index, index2


def _barcode(index: str | None, index2: str | None) -> str | None:
    """Return `ACGT+TGCA`; nothing when an index is a set's name (`SI-GA-G6`) or N throughout (no index was used)."""
    parts = [part.upper() for part in (index, index2) if part]
    if not parts or not all(_BASES.match(part) and set(part) != {"N"} for part in parts):
        return None
    return "+".join(parts)


def _check_lanes(samples: list[SheetSample], path: str, lanes: int | None, problems: list[Problem]) -> None:
    for sample in samples:
        if sample.lane is not None and (sample.lane < 1 or (lanes is not None and sample.lane > lanes)):
            text = f"lane {sample.lane} is not on this flow cell" + (f" of {lanes}" if lanes is not None else "")
            problems.append(error("LANE_OUT_OF_RANGE", f"{text}; is it the sheet of another run?", path, sample.line))


def _check_duplicates(samples: list[SheetSample], path: str, problems: list[Problem]) -> None:
    """Report rows that claim the same reads: one index in one lane (a row without lane claims all lanes)."""
    seen: dict[tuple[str, str], dict[int | None, int | None]] = {}
    for sample in samples:
        key = ((sample.index or "").upper(), (sample.index2 or "").upper())
        lanes = seen.setdefault(key, {})
        clash = sample.lane if sample.lane in lanes else None
        if lanes and (sample.lane is None or sample.lane in lanes or None in lanes):
            earlier = lanes.get(clash, next(iter(lanes.values())))
            text = f"{printable(sample.sample_id, 60)} claims the index and lane of line {earlier}"
            problems.append(error("DUPLICATE_SAMPLE", f"{text}; correct one of them", path, sample.line))
        lanes.setdefault(sample.lane, sample.line)
