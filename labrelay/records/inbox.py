"""The inbox: what other systems tell us, committed before they hear that we have it, and worked off in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from labrelay.model.names import printable
from labrelay.model.problem import Frozen
from labrelay.records.database import now
from labrelay.records.schema import InboxRow
from labrelay.records.upsert import insert_missing


class InboxMessage(Frozen):
    """One message as it came; `source` and `message_id` together say which it is, however often it comes."""

    source: str
    message_id: str
    payload: dict[str, Any]


def take(session: Session, messages: Sequence[InboxMessage]) -> int:
    """Write the messages that are not there yet and return how many those were."""
    moment = now()
    rows = [message.model_dump() | {"received_at": moment} for message in messages]
    return insert_missing(session, InboxRow, rows)


def waiting(session: Session, limit: int = 500) -> list[tuple[int, InboxMessage]]:
    """Return the oldest messages that nobody has worked off, each with its number."""
    query = select(InboxRow).where(InboxRow.done_at.is_(None)).order_by(InboxRow.id).limit(limit)
    fields = InboxMessage.model_fields
    return [(row.id, InboxMessage(**{n: getattr(row, n) for n in fields})) for row in session.scalars(query)]


def finish(session: Session, numbers: Sequence[int], error: str | None = None) -> None:
    """Say that messages are worked off, or with `error` why they never will be."""
    for start in range(0, len(numbers), 500):
        these = InboxRow.id.in_(numbers[start : start + 500])
        said = printable(error, 400) if error else None
        session.execute(update(InboxRow).where(these).values(done_at=now(), error=said))
