"""Illumina sample sheets as people write them: version 1, version 2, older ones, and mixtures.

Published readers lose rows of real sheets or refuse them, so this one is our own. It works line by line, keeps every
row with its line number, keeps sections that it does not know, and reports everything at once. It never raises.
Formats: IEM sample sheet (version 1), Illumina sample sheet v2, and the `FCID,Lane,SampleID` table before them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from labrelay.model.instrument import SheetSample
from labrelay.model.problem import Frozen, Problem
from labrelay.parsers.samplesheet_rows import is_table_header, read_rows
from labrelay.parsers.text import cells, column_key, decode, delimiter_of, error, lines, to_int, warning

Version = Literal["before-1", "1", "2"]
_SECTION = re.compile(r"\[([^\]]{1,100})\]\Z")
_PLAIN = {"header", "reads", "settings", "manifests", "data", "sequencing", "sequencing_settings"}
_FAMILIES = ("bclconvert_", "cloud_", "tso500", "dragen")
_MAX_LINES = 200_000


class SampleSheet(Frozen):
    """A sample sheet as it was written.

    Attributes:
        version: `before-1` for a bare table, `1`, or `2` when a section or the header says so.
        header: `[Header]`, names as written.
        reads: Cycles by read: `Read1Cycles`, `Index1Cycles` …; version 1 lists give `Read1Cycles` and up.
        settings: `[Settings]` or `[BCLConvert_Settings]`.
        samples: One per row, in order; a sample with several indexes or lanes has several rows.
        sections: The names of all sections, in order.
        unknown: The lines of the sections that this reader does not know.
        problems: Errors and warnings with their lines.
    """

    version: Version
    header: dict[str, str] = {}
    reads: dict[str, int] = {}
    settings: dict[str, str] = {}
    samples: tuple[SheetSample, ...] = ()
    sections: tuple[str, ...] = ()
    unknown: dict[str, tuple[str, ...]] = {}
    problems: tuple[Problem, ...] = ()


class Row(NamedTuple):
    """One line of a section that is not blank: its number from 1, its text and its cells."""

    line: int
    text: str
    cells: list[str]


@dataclass
class _Section:
    name: str
    line: int
    rows: list[Row] = field(default_factory=list)


def looks_like_sheet(head: bytes) -> bool:
    """Tell whether the beginning of a file is that of a sample sheet (sections, or the old bare table)."""
    for line in lines(decode(head, "").text):
        row, _ = cells(line, delimiter_of(line))
        if any(row):
            return bool(_SECTION.match(row[0])) or {"fcid", "lane"} <= {column_key(cell) for cell in row}
    return False


def read_sample_sheet(data: bytes, path: str, lanes: int | None = None) -> SampleSheet:
    """Return the sheet with everything that is wrong with it.

    Args:
        data: The whole file.
        path: For messages.
        lanes: Of the flow cell, when known: a row beyond it is `LANE_OUT_OF_RANGE`.
    """
    if not data.strip(b"\0 \t\r\n"):
        text = "the sample sheet is empty, so no read could be given to a sample; write its rows"
        return SampleSheet(version="1", problems=(error("EMPTY_SHEET", text, path),))
    text, decoding = decode(data, path)
    problems = list(decoding)
    sections = _sections(text, path, problems)
    if sections is None:
        what = "it is no sample sheet: it begins neither with a [Section] nor with a row of column names"
        return SampleSheet(version="1", problems=(*problems, error("NOT_A_SHEET", what, path)))
    return _assemble(sections, path, lanes, problems)


def _rows(text: str, path: str, problems: list[Problem]) -> Iterator[Row]:
    all_lines = lines(text)
    if len(all_lines) > _MAX_LINES:
        problems.append(error("TOO_LARGE", f"it has more than {_MAX_LINES} lines", path))
        return
    delimiter = delimiter_of(next((line for line in all_lines if _has_columns(line)), ""))
    if delimiter != ",":
        shown = {";": "semicolons", "\t": "tabs"}[delimiter]
        problems.append(warning("DELIMITER_GUESSED", f"its columns are separated by {shown}, not by commas", path))
    for number, line in enumerate(all_lines, 1):
        row, balanced = cells(line, delimiter)
        if not balanced:
            what = "a quotation mark is opened and not closed in this line; its cells may be wrong"
            problems.append(error("UNBALANCED_QUOTE", what, path, number))
        if any(row):
            yield Row(number, line, row)


def _has_columns(line: str) -> bool:
    return is_table_header(cells(line, delimiter_of(line))[0])


def _sections(text: str, path: str, problems: list[Problem]) -> list[_Section] | None:
    sections: list[_Section] = []
    for row in _rows(text, path, problems):
        match = _SECTION.match(row.cells[0])
        if match and not any(row.cells[1:]):
            name = match[1].strip()
            if any(section.name.lower() == name.lower() for section in sections):
                problems.append(warning("REPEATED_SECTION", f"[{name}] stands there twice", path, row.line))
            sections.append(_Section(name, row.line))
        elif sections:
            sections[-1].rows.append(row)
        elif is_table_header(row.cells):
            sections.append(_Section("", row.line, [row]))
        else:
            return None
    return sections or None


def _pairs(sections: list[_Section], *names: str) -> dict[str, str]:
    found = {}
    for section in sections:
        if section.name.lower() in names:
            found.update({row.cells[0]: row.cells[1] if len(row.cells) > 1 else "" for row in section.rows})
    return found


def _cycles(sections: list[_Section]) -> dict[str, int]:
    found: dict[str, int] = {}
    for section in sections:
        if section.name.lower() != "reads":
            continue
        for row in section.rows:
            bare = to_int(row.cells[0])
            named = to_int(row.cells[1]) if len(row.cells) > 1 else None
            if bare is not None:
                found[f"Read{len(found) + 1}Cycles"] = bare
            elif named is not None:
                found[row.cells[0]] = named
    return found


def _known(name: str) -> bool:
    lowered = name.lower()
    return not lowered or lowered in _PLAIN or lowered.startswith(_FAMILIES)


def _assemble(sections: list[_Section], path: str, lanes: int | None, problems: list[Problem]) -> SampleSheet:
    header = _pairs(sections, "header")
    names = [section.name.lower() for section in sections]
    unknown = [section for section in sections if not _known(section.name)]
    for section in unknown:
        what = f"[{section.name}] is no section that Labrelay knows; it is kept and not used"
        problems.append(warning("UNKNOWN_SECTION", what, path, section.line))
    tables = [s for s in sections if s.name.lower() == "bclconvert_data"]
    old = [s for s in sections if s.name.lower() in ("data", "")]
    if tables and any(len(section.rows) > 1 for section in old):
        what = "it has rows in [Data] and in [BCLConvert_Data]; the latter are used"
        problems.append(warning("HYBRID_SHEET", what, path, old[0].line))
    samples = [sample for section in tables or old for sample in read_rows(section.rows, path, lanes, problems)]
    if not samples:
        what = "the sample sheet names no sample, so no read could be given to one; write its rows"
        problems.append(error("EMPTY_SHEET", what, path))
    version: Version = "1"
    if tables or header.get("FileFormatVersion") == "2":
        version = "2"
    elif names == [""]:
        version = "before-1"
    return SampleSheet(
        version=version,
        header=header,
        reads=_cycles(sections),
        settings=_pairs(sections, "settings", "bclconvert_settings"),
        samples=tuple(samples),
        sections=tuple(section.name for section in sections if section.name),
        unknown={section.name: tuple(row.text for row in section.rows) for section in unknown},
        problems=tuple(problems),
    )
