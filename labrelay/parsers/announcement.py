"""A CSV or TSV of samples that a person or a LIMS announces before the instrument runs.

One column names the sample (`sample`, `sample_id`, `sample_name` or `name`, the first of these that is there). Known
columns are `experiment`, `aliases` (separated by `;`), `barcode` (`ACGT`, `ACGT+TGCA`, `barcode01`), `subject`, `assay`
and `project`; any other column is kept as an attribute. Case, spaces, `-` and `_` in a heading do not matter.

Text is strict: it comes from people, not from instruments, so a bad byte is a mistake to mend.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from labrelay.model.barcodes import BARCODE_WORDS, is_barcode, spelled
from labrelay.model.errors import RefusedInput
from labrelay.model.problem import Frozen, Problem
from labrelay.model.words import counted
from labrelay.parsers.text import delimiter_of

MAX_BYTES = 5_000_000
NAME_COLUMNS = ("sample", "sample_id", "sample_name", "name")
KNOWN = ("experiment", "aliases", "barcode", "subject", "assay", "project")
# How other people head these columns, without signs; a column of the proper name goes first.
ALSO = {
    "sampleid": "sample_id",
    "samplename": "sample_name",
    "alias": "aliases",
    "samplealias": "aliases",
    "experimentname": "experiment",
    "subjectid": "subject",
    "projectname": "project",
    "projectid": "project",
}


class AnnouncedRow(Frozen):
    """One announced sample with the line that it stands on, from 1."""

    line: int
    name: str
    experiment: str | None = None
    aliases: tuple[str, ...] = ()
    barcode: str | None = None
    subject: str | None = None
    assay: str | None = None
    project: str | None = None
    attributes: dict[str, str] = {}


def read_announcement(path: Path) -> tuple[AnnouncedRow, ...]:
    """Return the rows of an announcement.

    Raises:
        RefusedInput: With every problem found, each with its line: no sample column, no rows, empty or repeated names,
            a barcode that is none, too many cells in a row, bytes that are not UTF-8, control characters.
    """
    problems: list[Problem] = []
    text = _text(path, problems)
    rows = list(_rows(text, path.name, problems)) if text is not None else []
    if not rows and not problems:
        problems.append(
            Problem(code="EMPTY_ANNOUNCEMENT", message="there is no sample row below the header", path=path.name)
        )
    if problems:
        raise RefusedInput(f"the announcement {path}", problems)
    return tuple(rows)


def _text(path: Path, problems: list[Problem]) -> str | None:
    try:
        if not path.is_file():
            raise FileNotFoundError
        raw = path.read_bytes()
    except OSError as error:
        reason = (
            "there is no such file" if isinstance(error, FileNotFoundError) else f"it cannot be read ({error.strerror})"
        )
        problems.append(Problem(code="UNREADABLE", message=reason, path=path.name))
        return None
    if len(raw) > MAX_BYTES:
        problems.append(Problem(code="TOO_LARGE", message=f"{len(raw)} bytes, more than {MAX_BYTES}", path=path.name))
        return None
    try:
        text = unicodedata.normalize("NFC", raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        message = "a byte here is not UTF-8: save the table as UTF-8 CSV"
        problems.append(Problem(code="NOT_UTF8", message=message, path=path.name, line=line))
        return None
    for number, content in enumerate(text.splitlines(), 1):
        if any(unicodedata.category(c) == "Cc" and c != "\t" for c in content):
            message = "a control character stands in this line"
            problems.append(Problem(code="CONTROL_CHARACTER", message=message, path=path.name, line=number))
    return text


def _rows(text: str, name: str, problems: list[Problem]) -> Iterator[AnnouncedRow]:
    head = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text), delimiter=delimiter_of(head))
    header = _header(next(reader, []))
    column = next((c for c in NAME_COLUMNS if c in header), None)
    if column is None:
        message = f"no column names the samples: one of {', '.join(NAME_COLUMNS)} has to stand in the header"
        problems.append(Problem(code="NO_SAMPLE_COLUMN", message=message, path=name, line=1))
        return
    for repeated in sorted({c for c in header if c and header.count(c) > 1}):
        message = f"the column {repeated} stands twice in the header"
        problems.append(Problem(code="REPEATED_COLUMN", message=message, path=name, line=1))
    seen: dict[tuple[str, str], int] = {}
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        line = reader.line_num
        row = _row(header, column, cells, line)
        problems.extend(Problem(code=c, message=m, path=name, line=line) for c, m in _faults(row, header, cells, seen))
        yield row


def _header(cells: list[str]) -> list[str]:
    """Return the columns' names in lower case with `_`, each known one by the name that we have for it."""
    plain = [re.sub(r"[\s_-]+", "_", cell.strip()).casefold() for cell in cells]
    renamed = []
    for name in plain:
        ours = ALSO.get(name.replace("_", ""), name)
        renamed.append(ours if ours not in plain and ours not in renamed else name)
    return renamed


def _row(header: list[str], column: str, cells: list[str], line: int) -> AnnouncedRow:
    values = {key: cell.strip() for key, cell in zip(header, cells, strict=False) if key}
    extra = {k: v for k, v in values.items() if k not in KNOWN and k != column and v}
    known = {k: values.get(k) or None for k in KNOWN if k != "aliases"}
    barcode = known.pop("barcode")
    return AnnouncedRow(
        line=line,
        name=values.get(column, ""),
        aliases=tuple(a.strip() for a in values.get("aliases", "").split(";") if a.strip()),
        barcode=spelled(barcode) if barcode else None,
        attributes=extra,
        **known,
    )


def _faults(
    row: AnnouncedRow, header: list[str], cells: list[str], seen: dict[tuple[str, str], int]
) -> Iterator[tuple[str, str]]:
    if len(cells) > len(header) and any(c.strip() for c in cells[len(header) :]):
        yield (
            "EXTRA_CELLS",
            f"{counted(len(cells), 'cell')} under {counted(len(header), 'column')}: quote a cell that holds a comma",
        )
    if not row.name:
        yield "NO_SAMPLE_NAME", "the sample's name is empty"
        return
    if len(row.name) > 100:
        yield "LONG_NAME", "the sample's name has more than 100 characters"
    if row.barcode and not is_barcode(row.barcode):
        yield "BAD_BARCODE", f"the barcode {row.barcode} is none: say {BARCODE_WORDS}"
    first = seen.setdefault((row.experiment or "", row.name.casefold()), row.line)
    if first != row.line:
        yield "DUPLICATE_SAMPLE", f"the sample {row.name} stands on line {first} already"
