"""The records that stand beside Benchling's entries: found, made, read into parts, and written part by part."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labrelay.records.eln import benchling_content as content
from labrelay.records.eln import benchling_setup as setup
from labrelay.records.eln.port import (
    FILE,
    LINKS,
    RESULTS,
    STATUS,
    FilePart,
    LinksPart,
    PartThere,
    ResultsPart,
    StatusPart,
)

if TYPE_CHECKING:
    from labrelay.records.eln.benchling_api import Api

Thing = Mapping[str, Any]
FIELDS = setup.names(setup.RECORD)
RESULT_FIELDS = setup.names(setup.RESULT)
SHOWN = 500  # characters of a part that a conflict shows
PERSONS = "blob:"  # begins the digest of a file that a person put in the place of ours


@dataclass(frozen=True)
class Look:
    """What a record says now: our parts, and our results by their ids."""

    parts: Mapping[str, PartThere]
    rows: Mapping[str, content.Row]


class Records:
    """The records of one tenant; every method may raise `Undeliverable`."""

    def __init__(self, api: Api, options: setup.Setup) -> None:
        self._api, self._options = api, options
        self._known: dict[str, str] = {}  # by entry: a search may not know yet what was made just now

    def by_identifier(self, identifier: str) -> Thing | None:
        """Return the record that carries our identifier."""
        return _first(self._api.entities(self._options.record_schema, {FIELDS["labrelay_id"]: identifier}))

    def of(self, entry: str) -> Thing | None:
        """Return the record of an entry."""
        if entry in self._known:
            return self._api.entity(self._known[entry])
        record = _first(self._api.entities(self._options.record_schema, {FIELDS["entry"]: entry}))
        if record is not None:
            self._known[entry] = str(record["id"])
        return record

    def entry_of(self, record: Thing) -> str | None:
        """Return the entry that a record belongs to; None while it has none."""
        value = _values(record).get(FIELDS["entry"])
        return str(value) if value else None

    def make(self, name: str, fields: Mapping[str, content.FieldValue]) -> Thing:
        """Make a record."""
        record = self._api.create_entity(name, self._options.record_schema, self._options.folder, fields)
        entry = self.entry_of(record)
        if entry is not None:
            self._known[entry] = str(record["id"])
        return record

    def look(self, record: Thing) -> Look:
        """Return our parts as they are there; results cost a call a hundred."""
        fields = _values(record)
        parts = {}
        for part in (STATUS, LINKS):
            text = str(fields.get(FIELDS[part]) or "")
            if text.strip():
                parts[part] = PartThere(digest=content.text_digest(text), text=text[:SHOWN])
        journal = _journal(record)
        rows = self._rows(record)
        digest = content.results_digest(journal, list(rows.values()))
        if digest is not None:
            said = [f"{row.sample} {row.metric} {row.value} {row.verdict}" for row in sorted(rows.values())]
            parts[RESULTS] = PartThere(digest=digest, text="\n".join(said)[:SHOWN])
        return Look(parts | self._files(record, journal), rows)

    def write_text(self, record: Thing, part: StatusPart | LinksPart) -> None:
        """Set the field of a part."""
        self._api.update_entity(str(record["id"]), {FIELDS[part.name]: content.part_text(part)})

    def write_results(self, record: Thing, part: ResultsPart, rows: Mapping[str, content.Row]) -> None:
        """Put results in the place of those that are there, `rows` by their ids.

        Note what the results are becoming, make the missing, archive the others, note that they are whole.
        """
        entity, wanted = str(record["id"]), content.result_rows(part)
        digest, journal = content.rows_digest(wanted), _journal(record) or _new_journal()
        turn = journal.turn + (0 if journal.becoming == digest else 1)
        becoming = journal.model_copy(update={"turn": turn, "becoming": digest})
        self._note(entity, becoming)
        missing, leftover = content.changes(rows, wanted)
        made = content.new_results(missing, entity, turn, RESULT_FIELDS)
        self._api.create_results(self._options.result_schema, self._options.project, made)
        self._api.archive_results(leftover)
        self._note(entity, becoming.model_copy(update={"results": digest, "becoming": None}))

    def write_file(self, record: Thing, part: FilePart, there: PartThere | None) -> None:
        """Store the bytes, then put the blob in the place of what was there; other files in the field stay."""
        journal = _journal(record) or _new_journal()
        blob = self._api.upload(part.file_name, part.media_type, part.path.read_bytes())
        replaced = None if there is None else there.external_id
        files = journal.files | {part.file_name: content.FileThere(blob=blob, sha256=part.sha256)}
        text = content.journal_text(journal.model_copy(update={"files": files}))
        kept = [one for one in _blobs(record) if one != replaced]
        self._api.update_entity(str(record["id"]), {FIELDS["files"]: [*kept, blob], FIELDS["journal"]: text})

    def _files(self, record: Thing, journal: content.Journal | None) -> dict[str, PartThere]:
        """Return our files; one in whose place a person put another of its name has the digest of that one."""
        blobs = _blobs(record)
        ours = journal.files if journal is not None else {}
        parts = {
            FILE + name: PartThere(digest=file.sha256, external_id=file.blob)
            for name, file in ours.items()
            if file.blob in blobs
        }
        strange = [blob for blob in blobs if blob not in {file.blob for file in ours.values()}]
        if strange and len(parts) < len(ours):
            for blob, name in self._api.blob_names(strange).items():
                if name in ours and FILE + name not in parts:
                    parts[FILE + name] = PartThere(digest=PERSONS + blob, external_id=blob)
        return parts

    def _rows(self, record: Thing) -> dict[str, content.Row]:
        """Return our results of a record by their ids; those of people that point to it are left alone."""
        found = self._api.results(self._options.result_schema, str(record["id"]))
        rows = {result: content.read_row(_values(thing), RESULT_FIELDS) for result, thing in found.items()}
        return {result: row for result, row in rows.items() if row is not None}

    def _note(self, entity: str, journal: content.Journal) -> None:
        self._api.update_entity(entity, {FIELDS["journal"]: content.journal_text(journal)})


def _journal(record: Thing) -> content.Journal | None:
    text = _values(record).get(FIELDS["journal"])
    return content.read_journal(None if text is None else str(text))


def _new_journal() -> content.Journal:
    """Return a journal in the place of one that somebody overwrote; its turn is one that no result's id has yet."""
    return content.Journal(turn=int(time.time()))


def _values(thing: Thing) -> dict[str, Any]:
    return {name: field.get("value") for name, field in (thing.get("fields") or {}).items()}


def _blobs(record: Thing) -> list[str]:
    value = _values(record).get(FIELDS["files"]) or []
    return [str(blob) for blob in value] if isinstance(value, list) else [str(value)]


def _first(found: Sequence[Thing]) -> Thing | None:
    """Return the one that counts of several that a race made: the oldest that is not archived, else the oldest."""
    return next((one for one in found if not one.get("archiveRecord")), found[0] if found else None)
