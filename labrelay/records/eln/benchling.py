"""Benchling as the notebook: an experiment's status, links and files in a custom entity, its numbers as assay results.

What is written where, and which schemas it needs: docs/eln-benchling.md. An external id is that of an entry (`etr_…`)
for experiments that people announced there, else that of the record itself (`bfi_…`), because an entry without text
would be of no use to anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labrelay.model.errors import MissingTool, RefusedInput
from labrelay.model.problem import Problem
from labrelay.records.delivery import Undeliverable
from labrelay.records.eln import benchling_content as content
from labrelay.records.eln import benchling_news as news
from labrelay.records.eln import benchling_setup as setup
from labrelay.records.eln.port import (
    FILE,
    LINKS,
    RESULTS,
    STATUS,
    Account,
    ChangedThere,
    Entry,
    FilePart,
    Heading,
    LinksPart,
    News,
    Notebook,
    Page,
    Part,
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
FEW = 20  # experiments whose samples are asked for one by one; of more, all samples are listed


def open_notebook(account: Account) -> Notebook:
    """Return Benchling, spoken to as an app; nothing is asked yet.

    Args:
        account: `token` is the app's client secret, `options` those of `benchling_setup.Setup`.

    Raises:
        MissingTool: Benchling's client is not installed.
        RefusedInput: Options are missing or unknown.
    """
    try:
        from labrelay.records.eln.benchling_api import Api
    except ImportError:
        raise MissingTool(
            "Benchling's client is not installed: pip install 'labrelay[benchling]', then try again"
        ) from None
    problems = setup.option_problems(account.options)
    if problems:
        raise RefusedInput("the settings of Benchling", problems)
    options = setup.Setup(**account.options)
    return Benchling(Api(account.url, options.client_id, account.token), options, account.url)


class Benchling:
    """One tenant of Benchling by the access of one app; see `port.Notebook` for what the methods answer."""

    system = "benchling"
    title = "Benchling"

    def __init__(self, api: Api, options: setup.Setup, url: str) -> None:
        self._api, self._options, self._url = api, options, url
        self._urls: dict[str, str] = {}
        self._records: dict[str, str] = {}  # by entry: a search may not know yet what was made just now

    def close(self) -> None:
        """Close connections."""
        self._api.close()

    def url(self, external_id: str) -> str:
        """Return the page that Benchling named when it was asked last, else the tenant."""
        return self._urls.get(external_id, self._url)

    def check(self) -> list[Problem]:
        """Return what is missing: credentials, access, schemas, fields."""
        options, found = self._options, list[Problem]()
        looks: list[tuple[Callable[[], Thing], Callable[[Thing], list[Problem]]]] = [
            (lambda: self._api.folder(options.folder), lambda _: []),
            *(
                (
                    lambda k=kind, s=schema: self._api.schema(k, s),
                    lambda t, k=kind, f=fields: setup.field_problems(k, t, f),
                )
                for kind, schema, fields in (
                    ("entity", options.record_schema, setup.RECORD),
                    ("assay result", options.result_schema, setup.RESULT),
                    ("entry", options.experiment_schema, {}),
                    ("entity", options.sample_schema, setup.SAMPLE),
                )
                if schema is not None
            ),
        ]
        if options.project is not None:
            looks.append((lambda: self._api.project(str(options.project)), lambda _: []))
        for look, judge in looks:
            try:
                found += judge(look())
            except Undeliverable as error:
                found.append(setup.problem("NOT_REACHED", str(error)))
                if error.retryable or getattr(error, "status", 0) == 401:
                    break  # the others would say the same
        return found

    def find(self, identifier: str) -> Entry | None:
        """Return the record that was made for our identifier."""
        found = self._api.entities(self._options.record_schema, {FIELDS["labrelay_id"]: identifier})
        return None if not found else self._entry(_first(found))

    def create(self, identifier: str, heading: Heading) -> Entry:
        """Make the record for our identifier, or return the one that is there."""
        found = self.find(identifier)
        if found is not None:
            return found
        title = " ".join(heading.title.split()) or identifier
        return self._entry(self._make(title, {FIELDS["labrelay_id"]: identifier}))

    def read(self, external_id: str) -> Page:
        """Return the entry, or the record, with our parts of it."""
        entry, record = self._look(external_id)
        if record is None:
            return Page(entry=entry)
        return Page(entry=entry, parts=self._parts(record))

    def digest(self, part: Part) -> str | None:
        """Return the digest of a part as `read` shows it."""
        if isinstance(part, FilePart):
            return part.sha256
        if isinstance(part, ResultsPart):
            return content.rows_digest(content.result_rows(part))
        return content.text_digest(_text(part))

    def write(self, external_id: str, part: Part, expected: str | None) -> None:
        """Write a part to the record, which is made if the entry has none yet."""
        entry, record = self._look(external_id)
        if entry.state != "open":
            raise Undeliverable(
                f"{external_id} is {entry.state} in Benchling: {entry.why or 'nobody says why'}", retry=False
            )
        if record is None:
            record = self._make(f"Labrelay: {external_id}", {FIELDS["entry"]: external_id})
            self._records[external_id] = str(record["id"])
        there = self._parts(record).get(part.name)
        digest = None if there is None else there.digest
        if digest == self.digest(part) and digest is not None:
            return
        if digest != expected:
            raise ChangedThere(part.name)
        if isinstance(part, ResultsPart):
            self._write_results(record, part)
        elif isinstance(part, FilePart):
            self._write_file(record, part)
        else:
            self._api.update_entity(str(record["id"]), {FIELDS[part.name]: _text(part)})

    def announced_since(self, cursor: str | None) -> News:
        """Return the entries that were changed, or whose samples were, since the cursor."""
        entry_schema, sample_schema = self._options.experiment_schema, self._options.sample_schema
        if entry_schema is None or sample_schema is None:
            return News(announcements=(), cursor=cursor or "")
        after = news.since(cursor) if cursor else None
        changed = self._api.entries(entry_schema, after)
        samples = self._api.entities(sample_schema, modified_after=after)
        wanted = dict.fromkeys(filter(None, [*(str(e["id"]) for e in changed), *map(news.experiment_of, samples)]))
        entries = {str(entry["id"]): entry for entry in changed}
        entries |= {str(e["id"]): e for e in self._api.entries_by_id([one for one in wanted if one not in entries])}
        by_entry = self._samples(sample_schema, list(wanted), None if after else samples)
        for entry in entries.values():
            self._note(entry)
        announced = [
            news.announcement(entry, by_entry[external_id])
            for external_id, entry in entries.items()
            if not entry.get("archiveRecord") and (entry.get("schema") or {}).get("id") == entry_schema
        ]
        announced.sort(key=lambda one: (one.at is not None, one.at, one.external_id))
        return News(announcements=tuple(announced), cursor=news.newest([*changed, *samples], cursor))

    def _samples(self, schema: str, entries: Sequence[str], known: list[Thing] | None) -> dict[str, list[Thing]]:
        """Return all samples of each entry; `known` are all that there are."""
        if known is None and len(entries) <= FEW:
            field = setup.SAMPLE["experiment"][0]
            return {entry: self._api.entities(schema, {field: entry}) for entry in entries}
        by_entry: dict[str, list[Thing]] = {entry: [] for entry in entries}
        for sample in self._api.entities(schema) if known is None else known:
            by_entry.setdefault(news.experiment_of(sample) or "", []).append(sample)
        return by_entry

    def _look(self, external_id: str) -> tuple[Entry, Thing | None]:
        """Return the entry as it stands, and its record if it has one."""
        if not external_id.startswith("etr_"):
            record = self._api.entity(external_id)
            return (_gone(external_id) if record is None else self._entry(record)), record
        found = self._api.entry(external_id)
        if found is None:
            return _gone(external_id), None
        entry, record = self._entry(found), self._record_of(external_id)
        if entry.state == "open" and record is not None and record.get("archiveRecord"):
            entry = entry.model_copy(update={"state": "deleted", "why": f"its record was archived: {_reason(record)}"})
        return entry, record

    def _record_of(self, entry: str) -> Thing | None:
        known = self._records.get(entry)
        if known is not None:
            return self._api.entity(known)
        found = self._api.entities(self._options.record_schema, {FIELDS["entry"]: entry})
        if not found:
            return None
        record = _first(found)
        self._records[entry] = str(record["id"])
        return record

    def _make(self, name: str, fields: Mapping[str, content.FieldValue]) -> Thing:
        return self._api.create_entity(name, self._options.record_schema, self._options.folder, fields)

    def _parts(self, record: Thing) -> dict[str, PartThere]:
        from labrelay.records.eln.benchling_api import values

        fields = values(record)
        parts = {}
        for part in (STATUS, LINKS):
            text = str(fields.get(FIELDS[part]) or "")
            if text.strip():
                parts[part] = PartThere(digest=content.text_digest(text), text=text[:SHOWN])
        journal = content.read_journal(_string(fields.get(FIELDS["journal"])))
        rows = list(self._rows(record).values())
        digest = _results_digest(journal, rows)
        if digest is not None:
            shown = "\n".join(f"{row.sample} {row.metric} {row.value} {row.verdict}" for row in sorted(rows))
            parts[RESULTS] = PartThere(digest=digest, text=shown[:SHOWN])
        blobs = fields.get(FIELDS["files"]) or []
        for name, file in (journal.files if journal else {}).items():
            if isinstance(blobs, list) and file.blob in blobs:
                parts[FILE + name] = PartThere(digest=file.sha256, external_id=file.blob)
        return parts

    def _rows(self, record: Thing) -> dict[str, content.Row]:
        """Return our results of a record by their ids; those of people that point to it are left alone."""
        found = self._api.results(self._options.result_schema, str(record["id"]))
        rows = {result: content.read_row(fields, RESULT_FIELDS) for result, fields in found.items()}
        return {result: row for result, row in rows.items() if row is not None}

    def _write_results(self, record: Thing, part: ResultsPart) -> None:
        """Note what the results are becoming, make the missing, archive the others, note that they are whole."""
        entity, wanted = str(record["id"]), content.result_rows(part)
        journal = self._journal(record)
        turn = journal.turn + (0 if journal.becoming == self.digest(part) else 1)
        becoming = journal.model_copy(update={"turn": turn, "becoming": self.digest(part)})
        self._note_journal(entity, becoming)
        missing, leftover = content.changes(self._rows(record), wanted)
        seen: dict[content.Row, int] = {}
        made: dict[str, dict[str, content.FieldValue]] = {}
        for row in missing:
            nth = seen[row] = seen.get(row, -1) + 1
            made[content.result_id(entity, turn, row, nth)] = content.row_fields(row, entity, RESULT_FIELDS)
        self._api.create_results(self._options.result_schema, self._options.project, made)
        self._api.archive_results(leftover)
        self._note_journal(entity, becoming.model_copy(update={"results": self.digest(part), "becoming": None}))

    def _write_file(self, record: Thing, part: FilePart) -> None:
        """Store the bytes, then put the blob in the place of our earlier one; files of people stay in the field."""
        from labrelay.records.eln.benchling_api import values

        journal = self._journal(record)
        blob = self._api.upload(part.file_name, part.media_type, part.path.read_bytes())
        there = values(record).get(FIELDS["files"]) or []
        earlier = journal.files.get(part.file_name)
        kept = [one for one in there if earlier is None or one != earlier.blob] if isinstance(there, list) else []
        files = journal.files | {part.file_name: content.FileThere(blob=blob, sha256=part.sha256)}
        text = content.journal_text(journal.model_copy(update={"files": files}))
        self._api.update_entity(str(record["id"]), {FIELDS["files"]: [*kept, blob], FIELDS["journal"]: text})

    def _journal(self, record: Thing) -> content.Journal:
        from labrelay.records.eln.benchling_api import values

        return content.read_journal(_string(values(record).get(FIELDS["journal"]))) or content.Journal()

    def _note_journal(self, entity: str, journal: content.Journal) -> None:
        self._api.update_entity(entity, {FIELDS["journal"]: content.journal_text(journal)})

    def _entry(self, thing: Thing) -> Entry:
        self._note(thing)
        if thing.get("archiveRecord"):
            return Entry(external_id=str(thing["id"]), state="deleted", why=f"archived: {_reason(thing)}")
        return Entry(external_id=str(thing["id"]))

    def _note(self, thing: Thing) -> None:
        if thing.get("webURL"):
            self._urls[str(thing["id"])] = str(thing["webURL"])


def _first(found: Sequence[Thing]) -> Thing:
    """Return the one that counts of several that a race made: the oldest that is not archived, else the oldest."""
    return next((one for one in found if not one.get("archiveRecord")), found[0])


def _gone(external_id: str) -> Entry:
    return Entry(external_id=external_id, state="deleted", why="there is no such thing, or the app may not see it")


def _reason(thing: Thing) -> str:
    return str((thing.get("archiveRecord") or {}).get("reason") or "no reason given")


def _results_digest(journal: content.Journal | None, rows: Sequence[content.Row]) -> str | None:
    """Return the digest of the results that are there; while they are half written, that of those before."""
    if journal is not None and journal.becoming is not None:
        return journal.results
    if not rows and (journal is None or journal.results is None):
        return None
    return content.rows_digest(rows)


def _text(part: StatusPart | LinksPart) -> str:
    return content.status_text(part) if isinstance(part, StatusPart) else content.links_text(part)


def _string(value: object) -> str | None:
    return None if value is None else str(value)
