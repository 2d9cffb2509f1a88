"""The notebook: told what an experiment's entry should say, compared with it, and asked by people what is wrong."""

from __future__ import annotations

import logging
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.model.errors import LabrelayError, NotFound, UsageError
from labrelay.model.faults import faultpoint
from labrelay.model.names import printable
from labrelay.model.problem import Frozen, Problem
from labrelay.records import audit, lease, outbox
from labrelay.records.delivery import Troubles
from labrelay.records.eln import book
from labrelay.records.eln.book import PartLine
from labrelay.records.eln.port import Notebook, PartThere
from labrelay.records.eln.telling import Told, entry_held, tell_held
from labrelay.records.lease import Lease
from labrelay.records.schema import ExperimentRow
from labrelay.records.schema_notebook import ElnEntryRow
from labrelay.steps.assign import find_experiment
from labrelay.steps.documents import publish_experiment
from labrelay.steps.eln_parts import wanted_parts
from labrelay.steps.eln_signs import SIGNS
from labrelay.steps.home import Home

log = logging.getLogger(__name__)
Keep = Literal["ours", "theirs"]


class Waiting(Frozen):
    """An entry that announces something and was not taken over, and why."""

    external_id: str
    name: str
    problem: str


class ElnStatus(Frozen):
    """How the notebook stands: who waits for whom.

    Attributes:
        system: Which notebook; `archive` when none is asked.
        linked: Experiments that have an entry.
        parts: Parts that people changed or keep, and entries that they closed.
        waiting: Announcements that were not taken over.
        messages: Signs that wait to be delivered.
        dead: Signs that were given up.
        why: What the notebook said to the one that was tried last.
    """

    system: str
    linked: int
    parts: tuple[PartLine, ...]
    waiting: tuple[Waiting, ...]
    messages: int
    dead: int
    why: str | None = None


@dataclass
class Reconciled:
    """What a comparison of all entries did: looked at, parts repaired, conflicts, and what could not be compared."""

    looked: int = 0
    repaired: int = 0
    conflicts: int = 0
    problems: list[str] = field(default_factory=list)


def tell_notebook(home: Home, experiment_id: str) -> Told | None:
    """Bring an experiment's entry to what the records say; None where no notebook is set.

    Raises:
        Undeliverable: It was not taken; says whether to try again.
        Busy: Another process is at this entry.
    """
    notebook = home.notebook
    if notebook is None:
        return None
    with home.records.read() as session:
        name = session.get_one(ExperimentRow, experiment_id).name
    with entry_held(home.records, notebook, name) as held:
        return _tell_held(home, notebook, experiment_id, held)


def _tell_held(home: Home, notebook: Notebook, experiment_id: str, held: Lease) -> Told:
    # Worked out under the lease: what another worker made of older records is not written over what it says now.
    experiment, parts = wanted_parts(home, experiment_id)
    told = tell_held(home.records, notebook, experiment, parts, held)
    if told.news:
        log.warning("people changed %s in the entry of %s: labrelay eln status", ", ".join(told.news), experiment.name)
    faultpoint("eln.told")
    return told


def bring_up_to_date(home: Home, experiment_id: str, kinds: AbstractSet[str] = frozenset()) -> Told | None:
    """Bring what is written of an experiment, pages and entry, to what the records say.

    Args:
        home: Where.
        experiment_id: Which.
        kinds: Of the messages that are told with it, beside those that wait or were given up.

    Raises:
        StorageFailed: The disk did not take a page.
        Undeliverable: The notebook did not take the entry; says whether to try again.
        Busy: Another process is at this entry.
    """
    with home.records.read() as session:
        due = outbox.open_kinds(session, "eln", experiment_id) | kinds
    if not due <= SIGNS:
        publish_experiment(home, experiment_id)
    return tell_notebook(home, experiment_id)


def reconcile(home: Home, experiment: str | None = None, most: int | None = None) -> Reconciled:
    """Compare entries with the records and repair what is missing or old; people's edits stay.

    Args:
        home: Where.
        experiment: Only this one's (name or id); it gets an entry when it has none.
        most: At most so many, those first that were looked at longest ago.

    Raises:
        UsageError: No notebook is set.
        NotFound: There is no such experiment.
    """
    notebook = notebook_or_refuse(home)
    with home.records.read() as session:
        newest = outbox.newest(session)
        if experiment is not None:
            wanted = [find_experiment(session, experiment).id]
        else:
            # What was given up may have no entry yet.
            wanted = [*outbox.given_up(session, "eln"), *book.linked(session, notebook.system, most)]
    outcome, troubles = Reconciled(), Troubles()
    for experiment_id in dict.fromkeys(wanted):
        error = _compare(home, notebook, experiment_id, newest, outcome)
        if troubles.end_it(error):
            break  # who does not answer now will not answer for the next one either
    return outcome


def _compare(home: Home, notebook: Notebook, experiment_id: str, newest: int, outcome: Reconciled) -> Exception | None:
    """Compare one entry and repair it, and return what went wrong; either way others come before it the next time."""
    error: Exception | None = None
    try:
        told = bring_up_to_date(home, experiment_id)
        outcome.looked += 1
        outcome.repaired += len(told.written) if told else 0
        outcome.conflicts += len(told.conflicts) if told else 0
    except LabrelayError as failed:
        error = failed
        outcome.problems.append(str(failed))
    except Exception as failed:
        # An answer of a kind that nobody thought of, in one entry, must not keep the others from being compared.
        error = failed
        log.exception("the entry of %s could not be compared", experiment_id)
        outcome.problems.append(
            f"the entry of {experiment_id} could not be compared: an unexpected error stopped it "
            f"({type(failed).__name__}), see the log"
        )
    with home.records.write() as session:
        book.looked(session, notebook.system, experiment_id)
        if error is None:
            outbox.told(session, "eln", experiment_id, newest)
    return error


def settle(home: Home, experiment: str, part: str, keep: Keep) -> Told | None:
    """Settle a part that a person changed, or an entry that was deleted; the decision is on record.

    Args:
        home: Where.
        experiment: Name or id.
        part: As `labrelay eln status` names it; `entry` for a deleted one.
        keep: `ours` writes ours over it (an entry is made anew); `theirs` leaves it to people from now on.

    Raises:
        UsageError: No notebook is set, there is nothing to settle, the entry is locked, or the part was changed again
            since it was looked at; what it reads now is said.
        NotFound: There is no such experiment.
        Undeliverable: The notebook did not answer; a decision that was written is carried out by the next delivery.
        Busy: Another process is at this entry.
    """
    notebook = notebook_or_refuse(home)
    with home.records.read() as session:
        row = find_experiment(session, experiment)
        experiment_id, name = row.id, row.name
    with entry_held(home.records, notebook, name) as held:
        newest = _settle_held(home, notebook, experiment_id, part, keep, held)
        faultpoint("eln.settled")
        if keep == "ours":
            return _tell_held(home, notebook, experiment_id, held)
    if part == book.ENTRY:
        # What was given up is not wanted in the entry; the pages in the home are wanted all the same.
        bring_up_to_date(home, experiment_id)
        with home.records.write() as session:
            outbox.told(session, "eln", experiment_id, newest)
    return None


def _settle_held(home: Home, notebook: Notebook, experiment_id: str, part: str, keep: Keep, held: Lease) -> int:
    """Write the decision, and return the newest message of that moment."""
    with home.records.read() as session:
        external_id = book.link_of(session, notebook.system, experiment_id)
        row = book.parts_of(session, notebook.system, experiment_id).get(part)
        name = session.get_one(ExperimentRow, experiment_id).name
    if row is None or row.state == book.OK:
        raise UsageError(f"{part} of {name} has nothing to settle: `labrelay eln status` lists what has")
    if (part, keep, row.state) == (book.ENTRY, "ours", book.LOCKED):
        raise UsageError(row.text or f"the entry of {name} is locked in {notebook.title}: unlock it there")
    page = notebook.read(external_id) if keep == "ours" and external_id is not None else None
    there = page.parts.get(part) if page is not None else None
    if there is not None and there.digest != row.saw:
        _show(home, notebook, experiment_id, part, there, held)
        reads = f" and reads now: {printable(there.text, book.SHOWN)}" if there.text else ""
        raise UsageError(
            f"{part} of {name} was changed in {notebook.title} after it was last looked at{reads}; "
            "the same command again writes ours over it"
        )
    with home.records.write() as session:
        lease.confirm(session, held)
        if page is not None and part == book.ENTRY and page.entry.state != "deleted":
            book.close_entry(
                session, notebook.system, experiment_id, book.OK, None
            )  # it is there: taken back, not made
        else:
            _decide(session, notebook.system, experiment_id, part, keep, there.digest if there else None)
        audit.record(session, "eln.settled", experiment_id, system=notebook.system, part=part, keep=keep)
        return outbox.newest(session)


def _show(home: Home, notebook: Notebook, experiment_id: str, part: str, there: PartThere, held: Lease) -> None:
    """Write what is there now as what people were shown."""
    with home.records.write() as session:
        lease.confirm(session, held)
        row = book.part_row(session, notebook.system, experiment_id, part)
        row.saw, row.text = there.digest, printable(there.text, book.SHOWN) or None


def _decide(session: Session, system: str, experiment_id: str, part: str, keep: Keep, there: str | None) -> None:
    row = book.part_row(session, system, experiment_id, part)
    row.text = None
    if keep == "theirs":
        row.state = book.THEIRS
        return
    row.state = book.OK
    if part != book.ENTRY:
        # What the person sees there now may be replaced; what somebody writes after this moment may not.
        row.wrote, row.sending = there, None
        return
    # The notebook may keep the identifier of a deleted entry, so the new one has the next.
    last = row.wrote or experiment_id
    base, _dash, number = last.partition("-")
    row.wrote = f"{base}-{int(number or 1) + 1}"
    book.unlink(session, system, experiment_id)


def link(home: Home, experiment: str, external_id: str) -> None:
    """Say that an entry of the notebook is this experiment's; what it announces is taken over by the next pull.

    Raises:
        UsageError: No notebook is set, or the experiment has another entry.
        NotFound: There is no such experiment, or no such entry.
    """
    notebook = notebook_or_refuse(home)
    page = notebook.read(external_id)
    if page.entry.state == "deleted":
        raise NotFound(f"{notebook.title} has no entry {external_id}")
    with home.records.write() as session:
        row = find_experiment(session, experiment)
        known = book.link_of(session, notebook.system, row.id)
        if known not in (None, external_id):
            raise UsageError(f"{row.name} has the entry {known} in {notebook.title} already")
        book.link(session, notebook.system, row.id, external_id, notebook.url(external_id))
        entry = session.get(ElnEntryRow, (notebook.system, external_id))
        if entry is not None:
            entry.experiment_id, entry.problem = row.id, None
        audit.record(session, "eln.linked", row.id, system=notebook.system, external_id=external_id)


def status(home: Home) -> ElnStatus:
    """Return how the notebook stands, from the records alone: nothing is asked."""
    system = home.settings.eln
    with home.records.read() as session:
        counts = outbox.waiting(session, "eln")
        return ElnStatus(
            system=system,
            linked=len(book.linked(session, system)),
            parts=tuple(book.open_questions(session, system)),
            waiting=tuple(_waiting(session, system)),
            messages=counts.get("pending", 0) + counts.get("sending", 0),
            dead=counts.get("dead", 0),
            why=outbox.last_error(session, "eln"),
        )


def check(home: Home) -> list[Problem]:
    """Ask the notebook whether our account can do what it has to; writes nothing.

    Raises:
        UsageError: No notebook is set, or the settings leave something out.
    """
    return notebook_or_refuse(home).check()


def _waiting(session: Session, system: str) -> list[Waiting]:
    query = select(ElnEntryRow).where(ElnEntryRow.system == system, ElnEntryRow.problem.is_not(None))
    rows = session.scalars(query.order_by(ElnEntryRow.heard_at)).all()
    return [
        Waiting(external_id=row.external_id, name=str(row.content.get("name")), problem=row.problem or "")
        for row in rows
    ]


def notebook_or_refuse(home: Home) -> Notebook:
    """Return the notebook of the settings.

    Raises:
        UsageError: None is set.
    """
    if home.notebook is None:
        raise UsageError("no notebook is set: eln in labrelay.toml says which, and docs/eln.md what it needs")
    return home.notebook
