"""What the records keep of a notebook's entries: the link, each part's digests, conflicts, and what closed an entry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from labrelay.model.names import printable
from labrelay.model.problem import Frozen
from labrelay.records.database import now
from labrelay.records.eln.decide import Written
from labrelay.records.eln.port import Page, PartName
from labrelay.records.schema import ExperimentRow, LinkRow
from labrelay.records.schema_notebook import ElnPartRow
from labrelay.records.upsert import insert_missing

ENTRY = "entry"  # the part that stands for the entry itself
OK, CONFLICT, THEIRS, LOCKED, DELETED = "ok", "conflict", "theirs", "locked", "deleted"
SHOWN = 300  # characters of what a person wrote


class PartLine(Frozen):
    """How a part of an entry stands, for `labrelay eln status`."""

    experiment: str
    experiment_id: str
    part: str
    state: str
    text: str | None = None
    at: str


def link_of(session: Session, system: str, experiment_id: str) -> str | None:
    """Return the id of the experiment's entry in a notebook."""
    row = session.get(LinkRow, (experiment_id, system))
    return row.external_id if row else None


def linked(session: Session, system: str, most: int | None = None) -> list[str]:
    """Return the experiments that have an entry in a notebook, those first that were looked at longest ago."""
    query = select(LinkRow.entity_id).join(ExperimentRow, ExperimentRow.id == LinkRow.entity_id)
    query = query.where(LinkRow.system == system).order_by(LinkRow.at, LinkRow.entity_id).limit(most)
    return list(session.scalars(query))


def link(session: Session, system: str, experiment_id: str, external_id: str, url: str) -> None:
    """Write which entry is the experiment's; a new one takes the place of the old."""
    values = {"entity_id": experiment_id, "system": system, "external_id": external_id, "url": url, "at": now()}
    insert_missing(session, LinkRow, [values])
    row = session.get_one(LinkRow, (experiment_id, system))
    row.external_id, row.url, row.at = external_id, url, now()


def looked(session: Session, system: str, experiment_id: str) -> None:
    """Write that the entry was compared just now, so that the reconcile job goes on with others."""
    mine = (LinkRow.entity_id == experiment_id) & (LinkRow.system == system)
    session.execute(update(LinkRow).where(mine).values(at=now()))


def unlink(session: Session, system: str, experiment_id: str) -> None:
    """Forget the experiment's entry and what was written there."""
    session.execute(delete(LinkRow).where(LinkRow.entity_id == experiment_id, LinkRow.system == system))
    mine = (ElnPartRow.experiment_id == experiment_id) & (ElnPartRow.system == system)
    session.execute(delete(ElnPartRow).where(mine, ElnPartRow.part != ENTRY))


def parts_of(session: Session, system: str, experiment_id: str) -> dict[PartName, ElnPartRow]:
    """Return what is on record of an entry's parts, the entry itself among them."""
    query = select(ElnPartRow).where(ElnPartRow.system == system, ElnPartRow.experiment_id == experiment_id)
    return {row.part: row for row in session.scalars(query)}


def written(row: ElnPartRow | None) -> Written:
    """Return what the records say of a part, for the comparison."""
    if row is None:
        return Written()
    return Written(wrote=row.wrote, sending=row.sending, theirs=row.state == THEIRS)


def part_row(session: Session, system: str, experiment_id: str, part: PartName) -> ElnPartRow:
    """Return the row of a part, a new one when there is none."""
    key = {"system": system, "experiment_id": experiment_id, "part": part}
    empty = {"state": OK, "wrote": None, "sending": None, "saw": None, "text": None, "at": now()}
    insert_missing(session, ElnPartRow, [key | empty])
    return session.get_one(ElnPartRow, (system, experiment_id, part))


def intend(session: Session, system: str, experiment_id: str, page: Page, digests: Mapping[PartName, str]) -> None:
    """Write what is about to be written, before the notebook is asked: what a killed process wrote is then known.

    What is there now was found to be ours; it stays known as that until the new content is confirmed.
    """
    for part, digest in digests.items():
        row = part_row(session, system, experiment_id, part)
        row.wrote = page.parts[part].digest if part in page.parts else None
        row.sending, row.at = digest, now()


def note(session: Session, system: str, experiment_id: str, page: Page, ours: Mapping[PartName, str]) -> None:
    """Write that these parts are there as they should be."""
    for part, digest in ours.items():
        row = part_row(session, system, experiment_id, part)
        row.wrote, row.sending, row.state, row.text, row.at = digest, None, OK, None, now()
        row.saw = page.parts[part].digest


def dispute(session: Session, system: str, experiment_id: str, page: Page, parts: Sequence[PartName]) -> list[PartName]:
    """Write that a person changed these parts, with what is there now; return those of which that is news."""
    fresh = []
    for part in parts:
        row, there = part_row(session, system, experiment_id, part), page.parts[part]
        if row.state != CONFLICT or row.saw != there.digest:
            fresh.append(part)
        row.state, row.saw, row.text, row.at = CONFLICT, there.digest, printable(there.text, SHOWN) or None, now()
    return fresh


def close_entry(session: Session, system: str, experiment_id: str, state: str, why: str | None) -> None:
    """Write that a person locked or deleted the entry, or with `ok` that it is open again."""
    row = part_row(session, system, experiment_id, ENTRY)
    row.state, row.text, row.at = state, why, now()


def open_questions(session: Session, system: str | None = None) -> list[PartLine]:
    """Return the parts that wait for a person or were left to people, and entries that are closed."""
    query = select(ElnPartRow, ExperimentRow.name).join(ExperimentRow, ExperimentRow.id == ElnPartRow.experiment_id)
    query = query.where(ElnPartRow.state != OK).order_by(ExperimentRow.name, ElnPartRow.part)
    if system is not None:
        query = query.where(ElnPartRow.system == system)
    return [
        PartLine(
            experiment=name,
            experiment_id=row.experiment_id,
            part=row.part,
            state=row.state,
            text=row.text,
            at=row.at,
        )
        for row, name in session.execute(query)
    ]
