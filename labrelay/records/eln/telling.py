"""Bringing an experiment's entry in a notebook to what it should say: looked at, compared, written, read back.

Level-based: whoever calls says only 'look again', so that a repeat, a lost message or two at once end the same. No
transaction is open while the notebook is asked. Before a part is written its digest is on record, so that after a kill
our own writing is not taken for a person's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from shlex import quote

from sqlalchemy.orm import Session

from labrelay.model.experiment import Experiment
from labrelay.model.faults import faultpoint
from labrelay.records import lease
from labrelay.records.database import Database
from labrelay.records.delivery import Undeliverable
from labrelay.records.eln import book
from labrelay.records.eln.decide import Action, decide
from labrelay.records.eln.port import ChangedThere, Entry, Heading, Notebook, Page, Part, PartName
from labrelay.records.lease import Lease

LOOKS = 3  # at an entry that people change while we write


@dataclass
class Told:
    """What became of an entry.

    Attributes:
        external_id: Its id in the notebook; None when it was left to people.
        written: Parts that were written now.
        conflicts: Parts that a person changed.
        news: Those of them that were not known to be changed.
    """

    external_id: str | None = None
    written: list[PartName] = field(default_factory=list)
    conflicts: list[PartName] = field(default_factory=list)
    news: list[PartName] = field(default_factory=list)


def tell(db: Database, notebook: Notebook, experiment: Experiment, parts: Sequence[Part]) -> Told:
    """Bring the experiment's entry to these parts; what people changed stays and is on record as a conflict.

    Cost: a look before and, when something was written, one after; a request or two a written part.

    Raises:
        Undeliverable: The notebook did not take it, or a person has closed the entry; says whether to try again.
        Busy: Another process is at this entry.
    """
    with entry_held(db, notebook, experiment.name) as held:
        return tell_held(db, notebook, experiment, parts, held)


def entry_held(db: Database, notebook: Notebook, name: str) -> AbstractContextManager[Lease]:
    """Hold the entry of the experiment of this name: what it shall say is worked out and decided by one at a time.

    Raises:
        Busy: Another process is at this entry.
    """
    return lease.held(db, f"the entry of {name} in {notebook.title}")


def tell_held(db: Database, notebook: Notebook, experiment: Experiment, parts: Sequence[Part], held: Lease) -> Told:
    """Do what `tell` does, for a caller that holds the entry since before it worked out the parts.

    Raises:
        Undeliverable: As `tell`.
        Busy: The lease has run out and another process has taken over; nothing more was written.
    """
    return _Telling(db, notebook, experiment, parts, held).run()


class _Telling:
    """One telling under its lease, which is confirmed by every write, here and there."""

    def __init__(
        self, db: Database, notebook: Notebook, experiment: Experiment, parts: Sequence[Part], held: Lease
    ) -> None:
        self.db, self.notebook, self.experiment, self.held = db, notebook, experiment, held
        digests = {part.name: notebook.digest(part) for part in parts}
        self.wanted = {name: digest for name, digest in digests.items() if digest is not None}
        self.parts = {part.name: part for part in parts if part.name in self.wanted}
        self.system, self.outcome = notebook.system, Told()

    def run(self) -> Told:
        external_id = self._entry()
        if external_id is None:
            return self.outcome
        self.outcome.external_id = external_id
        for _look in range(LOOKS):
            page = self.notebook.read(external_id)
            self._refuse_closed(page.entry)
            try:
                if not self._settle(external_id, page):
                    return self.outcome
            except ChangedThere:
                continue  # the next look finds what was changed
        raise Undeliverable(
            f"the entry of {self.experiment.name} in {self.notebook.title} is being edited just now: it is tried again",
            retry=True,
        )

    @contextmanager
    def _write_held(self) -> Iterator[Session]:
        """Open a transaction that does not commit when another process has taken over."""
        with self.db.write() as session:
            lease.confirm(session, self.held)
            yield session

    def _still_held(self) -> None:
        """Prolong the lease before the notebook is written, or raise when another process has taken over."""
        with self._write_held():
            pass

    def _entry(self) -> str | None:
        """Return the entry's id: on record, found by our identifier, or new; None when it was left to people."""
        with self.db.read() as session:
            external_id = book.link_of(session, self.system, self.experiment.id)
            row = book.parts_of(session, self.system, self.experiment.id).get(book.ENTRY)
        if row is not None and row.state == book.THEIRS:
            return None
        if external_id is not None:
            return external_id
        identifier = (row.wrote if row else None) or self.experiment.id
        heading = Heading(
            title=self.experiment.title or self.experiment.name,
            owner=self.experiment.owner,
            project=self.experiment.project,
        )
        entry = self.notebook.find(identifier)
        if entry is None:
            self._still_held()
            entry = self.notebook.create(identifier, heading)
        faultpoint("eln.made")
        with self._write_held() as session:
            url = self.notebook.url(entry.external_id)
            book.link(session, self.system, self.experiment.id, entry.external_id, url)
            book.part_row(session, self.system, self.experiment.id, book.ENTRY).wrote = identifier
        faultpoint("eln.linked")
        return entry.external_id

    def _refuse_closed(self, entry: Entry) -> None:
        """Write whether the entry is open, and raise when a person has closed it."""
        said = f" ({entry.why})" if entry.why else ""
        name, title = self.experiment.name, self.notebook.title
        state, why = book.OK, None
        if entry.state == "deleted":
            state = book.DELETED
            why = (
                f"the entry of {name} in {title} was deleted there{said}: "
                f"`labrelay eln settle {quote(name)} entry --keep ours` makes a new one, "
                "`--keep theirs` leaves it at that"
            )
        elif entry.state == "locked":
            state = book.LOCKED
            why = (
                f"the entry of {name} in {title} refuses changes{said}: unlock it there, or give our account the right"
            )
        with self.db.read() as session:
            row = book.parts_of(session, self.system, self.experiment.id).get(book.ENTRY)
            known = (row.state, row.text) if row else (book.OK, None)
        if known != (state, why):
            with self._write_held() as session:
                book.close_entry(session, self.system, self.experiment.id, state, why)
        if why is not None:
            raise Undeliverable(why, retry=False)

    def _settle(self, external_id: str, page: Page) -> bool:
        """Do what the comparison says; return whether something was written, so that it has to be looked at again."""
        actions = self._actions(page)
        by_action = {action: [n for n, each in actions.items() if each is action] for action in Action}
        fine, changed, due = by_action[Action.NOTE], by_action[Action.CONFLICT], by_action[Action.WRITE]
        with self._write_held() as session:
            book.note(session, self.system, self.experiment.id, page, {name: self.wanted[name] for name in fine})
            news = book.dispute(session, self.system, self.experiment.id, page, changed)
            book.intend(session, self.system, self.experiment.id, page, {name: self.wanted[name] for name in due})
            book.looked(session, self.system, self.experiment.id)
        self.outcome.conflicts = changed
        self.outcome.news += [name for name in news if name not in self.outcome.news]
        faultpoint("eln.intended")
        self._write(external_id, page, due)
        return bool(due)

    def _actions(self, page: Page) -> dict[PartName, Action]:
        with self.db.read() as session:
            rows = book.parts_of(session, self.system, self.experiment.id)
        there: Mapping[PartName, str] = {name: part.digest for name, part in page.parts.items()}
        return {n: decide(wanted, book.written(rows.get(n)), there.get(n)) for n, wanted in self.wanted.items()}

    def _write(self, external_id: str, page: Page, due: Sequence[PartName]) -> None:
        """Write parts, each on its own: one that is refused for good does not keep the others from being written."""
        refused: list[Undeliverable] = []
        for name in due:
            expected = page.parts[name].digest if name in page.parts else None
            if name in self.outcome.written:
                raise Undeliverable(
                    f"{name} of {self.experiment.name} does not read in {self.notebook.title} as it was written: "
                    "it is looked at again",
                    retry=True,
                )
            self._still_held()
            try:
                self.notebook.write(external_id, self.parts[name], expected)
            except Undeliverable as error:
                if error.retryable:
                    raise
                refused.append(error)
                continue
            self.outcome.written.append(name)
            faultpoint("eln.written")
        if refused:
            raise refused[0]
