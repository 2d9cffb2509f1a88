"""What our parts of an entry look like in Benchling's fields and results, and back. Pure.

A notebook entry's text cannot be written there, so an experiment has a *record* beside it: a custom entity whose fields
say how things stand, where to find more, and which files belong to it; the numbers are assay results that point to it.
Results cannot be changed, only archived and made again. That takes several calls, so the record keeps a journal: what
its results are, or what they are becoming; a look at results half written is then not taken for somebody's edit.
"""

from __future__ import annotations

import hashlib
import json
import math
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from labrelay.model.canonical import canonical_json
from labrelay.model.problem import Frozen
from labrelay.records.eln.port import Judgement, LinksPart, ResultRow, ResultsPart, StatusPart

NOTHING = "–"  # an empty field is a part that is not there
_NAMESPACE = uuid.UUID("5f1d7a52-7f5e-4f0c-9d0a-3c1b5b0c9e44")
FieldValue = str | float | bool | list[str] | None


class Row(NamedTuple):
    """One assay result as text, in the order of the result schema's fields."""

    sample: str
    run: str
    workflow: str
    metric: str
    label: str
    value: str  # `""` for none; twelve significant digits, which survive any way of writing a number
    unit: str
    verdict: str
    note: str


class FileThere(Frozen):
    """A file that we attached: its blob never changes, so its id tells whether the file is still ours."""

    blob: str
    sha256: str


class Journal(Frozen):
    """What only we know of a record, kept in one of its fields.

    Attributes:
        turn: How often the results were written; part of a result's id, because an archived one keeps its own.
        results: The digest of the results that are there, or were before those that are being written.
        becoming: The digest of the results that are being written; None when they are whole.
        files: Our files by name.
    """

    turn: int = 0
    results: str | None = None
    becoming: str | None = None
    files: dict[str, FileThere] = {}


def read_journal(text: str | None) -> Journal | None:
    """Return the journal of a record, an empty one for an empty field; None when somebody changed it."""
    if not text or not text.strip():
        return Journal()
    try:
        return Journal.model_validate(json.loads(text))
    except ValueError:
        return None


def journal_text(journal: Journal) -> str:
    """Return a journal as its field holds it."""
    return canonical_json(journal.model_dump())


def part_text(part: StatusPart | LinksPart) -> str:
    """Return a part as plain text, one line a thing; Benchling makes addresses in it clickable."""
    return status_text(part) if isinstance(part, StatusPart) else links_text(part)


def status_text(part: StatusPart) -> str:
    """Return the status as plain text, one line a thing."""
    return _lines(" · ".join(p for p in (line.at, line.subject, line.state, line.text) if p) for line in part.lines)


def links_text(part: LinksPart) -> str:
    """Return the links as plain text, one line a link."""
    return _lines(f"{link.title}: {link.url}" for link in part.links)


def text_digest(text: str) -> str:
    """Return the digest of a text field; line ends and blanks at them are no edit of a person's."""
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").strip().split("\n")]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def result_rows(part: ResultsPart) -> list[Row]:
    """Return the results' rows: first each result's verdict, then its numbers."""
    return [*map(_judgement_row, part.judgements), *map(_number_row, part.rows)]


def rows_digest(rows: Iterable[Row]) -> str:
    """Return the digest of results; Benchling keeps them in no order."""
    return hashlib.sha256(canonical_json(sorted(rows)).encode()).hexdigest()


def results_digest(journal: Journal | None, rows: Sequence[Row]) -> str | None:
    """Return the digest of the results that are there; while they are half written, that of those before."""
    if journal is not None and journal.becoming is not None:
        return journal.results
    digest = rows_digest(rows)
    return digest if rows or (journal is not None and journal.results == digest) else None


def new_results(
    rows: Sequence[Row], record: str, turn: int, names: Mapping[str, str]
) -> dict[str, dict[str, FieldValue]]:
    """Return the fields of results that have to be made, by the ids that they get."""
    seen: Counter[Row] = Counter()
    made = {}
    for row in rows:
        made[result_id(record, turn, row, seen[row])] = row_fields(row, record, names)
        seen[row] += 1
    return made


def row_fields(row: Row, record: str, names: Mapping[str, str]) -> dict[str, FieldValue]:
    """Return a row as fields of an assay result; empty text is an empty field."""
    values: dict[str, FieldValue] = {key: text or None for key, text in row._asdict().items()}
    values["value"] = float(row.value) if row.value else None
    values["record"] = record
    values["source"] = "labrelay"
    return {names[key]: value for key, value in values.items()}


def read_row(fields: Mapping[str, object], names: Mapping[str, str]) -> Row | None:
    """Return an assay result as a row; None for results that are not ours."""
    if fields.get(names["source"]) != "labrelay":
        return None
    found = {key: fields.get(names[key]) for key in Row._fields}
    number = found.pop("value")
    return Row(**{key: _text(value) for key, value in found.items()}, value=_number(number))


def result_id(record: str, turn: int, row: Row, nth: int = 0) -> str:
    """Return the id (UUID) of a result: asking twice for the same result in the same turn makes one.

    Args:
        record: The record that it belongs to.
        turn: Of the journal.
        row: What it says.
        nth: Of equal rows, which: 0 for the first.
    """
    return str(uuid.uuid5(_NAMESPACE, canonical_json([record, turn, *row, nth])))


def changes(there: Mapping[str, Row], wanted: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Return which rows have to be made, and which results (by id) have to be archived; equal ones stay."""
    missing = Counter(wanted)
    leftover = []
    for result, row in there.items():
        if missing[row] > 0:
            missing[row] -= 1
        else:
            leftover.append(result)
    return list(missing.elements()), leftover


def _judgement_row(judged: Judgement) -> Row:
    note = ""
    if judged.computed is not judged.verdict or judged.by or judged.reason:
        note = f"{judged.computed.value} by the thresholds; {judged.by or 'a person'}: {judged.reason or 'no reason'}"
    said = judged.verdict.word
    return _row(judged.sample, judged.run, judged.workflow, "verdict", "Verdict", "", "", said, note)


def _number_row(row: ResultRow) -> Row:
    number, said = _number(row.value), row.verdict.word
    return _row(row.sample, row.run, row.workflow, row.metric, row.label, number, row.unit, said, "")


def _row(*cells: str) -> Row:
    return Row(*map(_text, cells))


def _number(value: object) -> str:
    if value is None or value == "":
        return ""
    try:
        number = float(str(value))
    except ValueError:
        return str(value)
    return f"{number:.12g}" if math.isfinite(number) else ""


def _text(value: object) -> str:
    return "" if value is None else " ".join(str(value).split())


def _lines(lines: Iterable[str]) -> str:
    # A line break in a name from outside would make two lines of one.
    return "\n".join(" ".join(line.split()) for line in lines) or NOTHING
