"""MinKNOW's `sample_sheet_*.csv`: which barcode is which sample."""

from __future__ import annotations

from typing import NamedTuple

from labrelay.model.problem import Problem
from labrelay.model.words import counted
from labrelay.parsers.text import cells, column_key, decode, lines, warning

_MOST_ROWS = 10_000


class Row(NamedTuple):
    """One row: barcode with its alias, and what MinKNOW was told of the whole run."""

    line: int
    barcode: str | None
    alias: str | None
    sample: str | None
    experiment: str | None
    flow_cell: str | None
    kit: str | None


def parse_sample_sheet(data: bytes, path: str) -> tuple[list[Row], list[Problem]]:
    """Return the rows of a MinKNOW sample sheet; MinKNOW writes one also where nothing was filled in.

    Args:
        data: The whole file.
        path: For messages.
    """
    text, found = decode(data, path)
    problems = list(found)
    all_lines = lines(text)
    keys = [column_key(cell) for cell in cells(all_lines[0])[0]]
    if not text.strip():
        return [], [*problems, warning("EMPTY_SHEET", "it has no rows, so barcodes have no names from it", path)]
    if not {"barcode", "sampleid", "flowcellid", "experimentid", "alias", "internalbarcode"} & set(keys):
        what = "its first line names none of barcode, alias, sample_id and flow_cell_id, so nothing was taken from it"
        return [], [*problems, warning("BAD_SHEET", what, path, 1)]
    rows = []
    for number, line in enumerate(all_lines[1 : _MOST_ROWS + 1], 2):
        row, balanced = cells(line)
        if not any(row):
            continue
        if not balanced or len(row) > len(keys):
            problems.append(warning("BAD_ROW", "the row does not fit the columns; it was left out", path, number))
            continue
        rows.append(_row(number, dict(zip(keys, row, strict=False))))
    if len(all_lines) > _MOST_ROWS + 1:
        what = f"only the first {counted(_MOST_ROWS, 'row')} were read; no run has so many samples"
        problems.append(warning("TOO_MANY_ROWS", what, path))
    return rows, [*problems, *_ambiguous(rows, path)]


def _row(number: int, values: dict[str, str]) -> Row:
    barcode = values.get("barcode")
    if not barcode:
        pair = [part for part in (values.get("internalbarcode"), values.get("externalbarcode")) if part]
        barcode = "--".join(pair)
    return Row(
        line=number,
        barcode=barcode.lower() or None,
        alias=values.get("alias") or None,
        sample=_told(values.get("sampleid")),
        experiment=_told(values.get("experimentid")),
        flow_cell=values.get("flowcellid") or None,
        kit=values.get("kit") or None,
    )


def _told(value: str | None) -> str | None:
    return None if value in ("", "no_sample", "no_group") else value


def _ambiguous(rows: list[Row], path: str) -> list[Problem]:
    """Return a warning for each barcode that has two names: which of them its reads are is not known."""
    names: dict[tuple[str | None, str], Row] = {}
    problems = []
    for row in rows:
        if row.barcode is None:
            continue
        first = names.setdefault((row.flow_cell, row.barcode), row)
        if first.alias != row.alias:
            what = f"{row.barcode} is {first.alias} in line {first.line} and {row.alias} here; the first is used"
            problems.append(warning("DUPLICATE_BARCODE", what, path, row.line))
    return problems
