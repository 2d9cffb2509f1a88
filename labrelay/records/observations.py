"""What scans of landing folders saw: two equal looks, apart in time, are one of the signals that a folder is finished.

The first look is stored, so that the two looks may be made by two processes, before and after a restart.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.model.problem import Frozen
from labrelay.records.database import now
from labrelay.records.schema import ObservationRow

_NOTE = "waits: "  # what was found at the last look; no conclusion, so the folder is looked at again


class Waiting(Frozen):
    """A folder that the last scan did not take: why, and when it was looked at."""

    folder: str
    reason: str
    looked_at: str


class Observation(Frozen):
    """What is known of a folder after a look at it.

    Attributes:
        fingerprint: Digest of all paths, sizes and modification times at the last look.
        rested: How long the folder has been seen unchanged; None at the first look at this content.
        outcome: What was concluded of exactly this content, if anything was.
    """

    fingerprint: str
    rested: timedelta | None = None
    outcome: str | None = None


def observe(session: Session, folder: str, fingerprint: str) -> Observation:
    """Store a look at a folder and return what is known of it; changed content starts anew."""
    moment = now()
    row = session.get(ObservationRow, folder)
    if row is None:
        session.add(ObservationRow(folder=folder, fingerprint=fingerprint, first_at=moment, last_at=moment))
        return Observation(fingerprint=fingerprint)
    # A clock that was set back would make the rest negative: the two looks say nothing about the time between them.
    if row.fingerprint != fingerprint or row.first_at > moment:
        row.fingerprint, row.first_at, row.last_at, row.outcome = fingerprint, moment, moment, None
        return Observation(fingerprint=fingerprint)
    row.last_at = moment
    rested = datetime.now(UTC) - datetime.fromisoformat(row.first_at)
    return Observation(fingerprint=fingerprint, rested=rested, outcome=None if _is_note(row) else row.outcome)


def conclude(session: Session, folder: str, fingerprint: str, outcome: str) -> None:
    """Store what was concluded of a folder, unless another look has seen other content since."""
    row = session.get(ObservationRow, folder)
    if row is not None and row.fingerprint == fingerprint:
        row.outcome = outcome


def note(session: Session, told: Mapping[str, str]) -> None:
    """Store why folders were not taken, by folder, as one scan of all found it; what it did not say is forgotten."""
    for row in session.scalars(select(ObservationRow).where(ObservationRow.outcome.startswith(_NOTE))):
        if row.folder in told:
            continue
        if row.fingerprint:
            row.outcome = None
        else:  # was never more than a note
            session.delete(row)
    for folder, reason in told.items():
        found = session.get(ObservationRow, folder)
        if found is None:
            moment, said = now(), f"{_NOTE}{reason}"
            session.add(ObservationRow(folder=folder, fingerprint="", first_at=moment, last_at=moment, outcome=said))
        elif found.outcome is None or _is_note(found):
            found.outcome = f"{_NOTE}{reason}"


def waiting(session: Session) -> list[Waiting]:
    """Return the folders that the last scan did not take, by folder."""
    rows = session.scalars(
        select(ObservationRow).where(ObservationRow.outcome.startswith(_NOTE)).order_by(ObservationRow.folder)
    )
    return [
        Waiting(folder=row.folder, reason=(row.outcome or "").removeprefix(_NOTE), looked_at=row.last_at)
        for row in rows
    ]


def _is_note(row: ObservationRow) -> bool:
    return (row.outcome or "").startswith(_NOTE)
