"""Benchling as the notebook: an experiment's status, links and files in a custom entity, its numbers as assay results.

What is written where, and which schemas it needs: docs/eln-benchling.md. An entry's external id is its own (`etr_…`),
whether people announced it or we made it; what we write stands in its record, because its text cannot be written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from labrelay.model.errors import MissingTool, RefusedInput
from labrelay.model.problem import Problem
from labrelay.records.delivery import Undeliverable
from labrelay.records.eln import benchling_content as content
from labrelay.records.eln import benchling_news as news
from labrelay.records.eln import benchling_setup as setup
from labrelay.records.eln.benchling_records import FIELDS, Records, Thing
from labrelay.records.eln.port import (
    Account,
    ChangedThere,
    Entry,
    FilePart,
    Heading,
    News,
    Notebook,
    Page,
    Part,
    ResultsPart,
)

if TYPE_CHECKING:
    from labrelay.records.eln.benchling_api import Api

CLOSED = frozenset(
    {"ACCEPTED", "NEEDS_REVIEW", "ACCEPTANCE_SNAPSHOT_IN_PROGRESS", "REVIEW_SNAPSHOT_IN_PROGRESS"}
)  # reviews in which Benchling keeps people from changing an entry
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
        self._records = Records(api, options)
        self._urls: dict[str, str] = {}

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
        """Return the entry whose record carries our identifier."""
        record = self._records.by_identifier(identifier)
        entry = None if record is None else self._records.entry_of(record)
        return None if entry is None else self._look(entry)

    def create(self, identifier: str, heading: Heading) -> Entry:
        """Make the record and then its entry, or what is missing of them; the record's name is the entry's.

        The entry has no field that could be searched. So the record comes first and keeps the name that the entry will
        have, and a lost answer is settled by that name.
        """
        record = self._records.by_identifier(identifier)
        if record is None:
            title = " ".join(heading.title.split())
            record = self._records.make(f"{title} [{identifier}]".strip(), {FIELDS["labrelay_id"]: identifier})
        known = self._records.entry_of(record)
        if known is not None:
            return self._look(known)
        name, folder = str(record["name"]), self._options.folder
        found = self._api.entry_by_name(name, folder)
        if found is None:
            found = self._api.create_entry(name, folder, {"Labrelay record": str(record.get("webURL") or record["id"])})
        self._api.update_entity(str(record["id"]), {FIELDS["entry"]: str(found["id"])})
        return self._entry(found)

    def read(self, external_id: str) -> Page:
        """Return the entry with our parts of its record."""
        entry = self._look(external_id)
        record = None if entry.state == "deleted" else self._records.of(external_id)
        if record is None:
            return Page(entry=entry)
        return Page(entry=_with_record(entry, record), parts=self._records.look(record).parts)

    def digest(self, part: Part) -> str | None:
        """Return the digest of a part as `read` shows it."""
        if isinstance(part, FilePart):
            return part.sha256
        if isinstance(part, ResultsPart):
            return content.rows_digest(content.result_rows(part))
        return content.text_digest(content.part_text(part))

    def write(self, external_id: str, part: Part, expected: str | None) -> None:
        """Write a part to the record, which is made if the entry has none yet."""
        entry = self._look(external_id)
        record = None if entry.state == "deleted" else self._records.of(external_id)
        entry = entry if record is None else _with_record(entry, record)
        if entry.state != "open":
            raise Undeliverable(f"{external_id} is {entry.state} in Benchling: {entry.why}", retry=False)
        if record is None:
            record = self._records.make(f"Labrelay: {external_id}", {FIELDS["entry"]: external_id})
        look = self._records.look(record)
        there = look.parts.get(part.name)
        digest = None if there is None else there.digest
        if digest != expected:
            raise ChangedThere(part.name)
        if isinstance(part, ResultsPart):
            self._records.write_results(record, part, look.rows)
        elif isinstance(part, FilePart):
            self._records.write_file(record, part, there)
        else:
            self._records.write_text(record, part)

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

    def _look(self, external_id: str) -> Entry:
        found = self._api.entry(external_id)
        return _gone(external_id) if found is None else self._entry(found)

    def _entry(self, thing: Thing) -> Entry:
        """Return how an entry stands; in review and accepted it is closed, for us as for people."""
        self._note(thing)
        external_id = str(thing["id"])
        if thing.get("archiveRecord"):
            return Entry(external_id=external_id, state="deleted", why=f"archived: {_reason(thing)}")
        review = str((thing.get("reviewRecord") or {}).get("status") or "")
        if review in CLOSED:
            return Entry(external_id=external_id, state="locked", why=f"its review says {review}")
        return Entry(external_id=external_id)

    def _note(self, thing: Thing) -> None:
        if thing.get("webURL"):
            self._urls[str(thing["id"])] = str(thing["webURL"])


def _with_record(entry: Entry, record: Thing) -> Entry:
    """Return the entry as closed if somebody archived its record."""
    if entry.state != "open" or not record.get("archiveRecord"):
        return entry
    return entry.model_copy(update={"state": "deleted", "why": f"its record was archived: {_reason(record)}"})


def _gone(external_id: str) -> Entry:
    return Entry(external_id=external_id, state="deleted", why="there is no such thing, or the app may not see it")


def _reason(thing: Thing) -> str:
    return str((thing.get("archiveRecord") or {}).get("reason") or "no reason given")
