"""What the notebook announces becomes experiments and samples here; an edit there raises the sample's revision here.

Heard first, taken over after: each entry's newest announcement is on record before anything is done with it, so that
nothing is lost with a kill, and what cannot be taken over waits there with its reason until the entry or the records
change.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from shlex import quote
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from labrelay.model.errors import Conflict, LabrelayError, RefusedInput
from labrelay.model.experiment import Experiment, Sample
from labrelay.model.faults import faultpoint
from labrelay.model.names import on_one_line, printable
from labrelay.model.problem import errors_of
from labrelay.records import experiments, lease
from labrelay.records.database import now
from labrelay.records.eln import book
from labrelay.records.eln.port import Announcement, News, Notebook
from labrelay.records.experiments import Announced
from labrelay.records.lease import Lease
from labrelay.records.schema import ExperimentRow, LinkRow, SampleRow
from labrelay.records.schema_notebook import ElnCursorRow, ElnEntryRow
from labrelay.records.upsert import insert_missing
from labrelay.steps.eln import notebook_or_refuse
from labrelay.steps.eln_signs import sign
from labrelay.steps.home import Home

log = logging.getLogger(__name__)


@dataclass
class Pulled:
    """What a pull did: announcements heard, those taken over, and what waits (entry, reason)."""

    heard: int = 0
    taken: list[Announced] = field(default_factory=list)
    waiting: list[tuple[str, str]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def pull(home: Home) -> Pulled:
    """Hear what was announced or edited in the notebook since the last time, and take it over.

    Doing it again changes nothing. Cost: one look at the notebook, one transaction for all that was heard, one an
    entry that has changed.

    Raises:
        UsageError: No notebook is set.
        Undeliverable: It did not answer as it should.
        Busy: Another process pulls, or has taken over because this one slept past its lease.
    """
    notebook = notebook_or_refuse(home)
    with lease.held(home.records, f"the news of {notebook.title}") as held:
        outcome = Pulled()
        with home.records.read() as session:
            row = session.get(ElnCursorRow, notebook.system)
            cursor = row.cursor if row else None
        _hear(home, notebook.system, notebook.announced_since(cursor), held, outcome)
        faultpoint("eln.heard")
        for external_id in _due(home, notebook.system):
            _take_over(home, notebook, external_id, held, outcome)
        return outcome


def _hear(home: Home, system: str, news: News, held: Lease, outcome: Pulled) -> None:
    """Write the newest announcement of each entry, and how far the notebook was heard."""
    with home.records.write() as session:
        lease.confirm(session, held)
        for told in news.announcements:
            values = {"system": system, "external_id": told.external_id, "version": told.version, "heard_at": now()}
            content = told.model_dump(mode="json")
            insert_missing(session, ElnEntryRow, [values | {"content": content}])
            row = session.get_one(ElnEntryRow, (system, told.external_id))
            outcome.heard += row.applied != told.version
            row.version, row.content, row.heard_at = told.version, content, now()
        insert_missing(session, ElnCursorRow, [{"system": system, "cursor": news.cursor, "at": now()}])
        cursor = session.get_one(ElnCursorRow, system)
        cursor.cursor, cursor.at = news.cursor, now()


def _due(home: Home, system: str) -> list[str]:
    changed = or_(ElnEntryRow.applied.is_(None), ElnEntryRow.applied != ElnEntryRow.version)
    query = select(ElnEntryRow.external_id).where(ElnEntryRow.system == system, changed)
    with home.records.read() as session:
        return list(session.scalars(query.order_by(ElnEntryRow.heard_at, ElnEntryRow.external_id)))


def _take_over(home: Home, notebook: Notebook, external_id: str, held: Lease, outcome: Pulled) -> None:
    """Take one entry over in one transaction; what cannot be taken over waits with its reason."""
    try:
        with home.records.write() as session:
            lease.confirm(session, held)
            row = session.get_one(ElnEntryRow, (notebook.system, external_id))
            told = Announcement.model_validate(row.content)
            if faults := errors_of(told.problems):
                raise RefusedInput(f"the entry {external_id} in {notebook.title}", faults)
            experiment_id = _experiment_id(session, notebook, told, row.experiment_id)
            changed = _announce(session, notebook, told, experiment_id)
            row.experiment_id = experiment_id
            gone = _gone(session, experiment_id, told)
            book.link(session, notebook.system, experiment_id, external_id, notebook.url(external_id))
            row.applied, row.problem = told.version, None
            sign(home, session, "announced", [experiment_id], told.version, now())
        outcome.taken.append(changed)
        outcome.left += [f"{name} is no longer in {notebook.title} {external_id}; it stays here" for name in gone]
        faultpoint("eln.taken_over")
    except LabrelayError as error:
        if error.retryable:
            raise
        reason = on_one_line(str(error))
    except Exception as error:
        # Met in one entry, it must not keep the others from being taken over.
        log.exception("the entry %s in %s could not be taken over", external_id, notebook.title)
        reason = (
            f"the entry {external_id} in {notebook.title} could not be taken over: an unexpected error stopped it "
            f"({type(error).__name__}), see the log"
        )
    else:
        return
    _wait(home, notebook, external_id, reason, held)
    outcome.waiting.append((external_id, reason))


def _wait(home: Home, notebook: Notebook, external_id: str, reason: str, held: Lease) -> None:
    """Write why an entry was not taken over."""
    with home.records.write() as session:
        lease.confirm(session, held)
        session.get_one(ElnEntryRow, (notebook.system, external_id)).problem = reason


def _experiment_id(session: Session, notebook: Notebook, told: Announcement, known: str | None) -> str:
    """Return the experiment that an entry is about: known, linked, or new; never one that only has the same name.

    Raises:
        Conflict: There is another experiment of this name; a person says whether it is the same.
    """
    query = select(LinkRow.entity_id).where(LinkRow.system == notebook.system, LinkRow.external_id == told.external_id)
    found = known or session.scalar(query)
    if found is not None:
        return found
    name = printable(told.name.strip(), 200)
    if not name:
        raise Conflict(f"the entry {told.external_id} in {notebook.title} gives its experiment no name: add one there")
    row = session.scalar(select(ExperimentRow).where(ExperimentRow.name == name))
    if row is not None:
        linked = book.link_of(session, notebook.system, row.id)
        other = f"the entry {linked} announces one of this name" if linked else "one of this name is known here"
        raise Conflict(
            f"the entry {told.external_id} in {notebook.title} announces {name}, and {other}: when they are the same, "
            f"`labrelay eln link {quote(name)} {quote(told.external_id)}`; else name it differently there"
        )
    return Experiment(name=name).id


def _announce(session: Session, notebook: Notebook, told: Announcement, experiment_id: str) -> Announced:
    row = session.get(ExperimentRow, experiment_id)
    name = row.name if row is not None else printable(told.name.strip(), 200)
    values: dict[str, Any] = {field: getattr(told, field) for field in experiments.EDITABLE}
    experiment = Experiment(name=name, external_id=told.external_id, **values)
    samples = [Sample(experiment_id=experiment_id, **each.model_dump()) for each in told.samples]
    who = f" by {told.by}" if told.by else ""
    reason = f"edited in {notebook.title}, entry {told.external_id}{who}"
    outcome = experiments.announce(session, experiment, samples, correct=True, reason=reason)
    if row is not None:
        row.external_id = row.external_id or told.external_id
    return outcome


def _gone(session: Session, experiment_id: str, told: Announcement) -> list[str]:
    """Return the samples that are known here and not announced there any more: reads may be theirs, so they stay."""
    there = {sample.name for sample in told.samples}
    names = session.scalars(select(SampleRow.name).where(SampleRow.experiment_id == experiment_id))
    return sorted(name for name in names if name not in there)
