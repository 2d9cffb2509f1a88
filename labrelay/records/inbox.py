"""The inbox: what other systems tell us, committed before they hear that we have it, and worked off in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from labrelay.model.errors import Conflict
from labrelay.model.names import printable
from labrelay.model.problem import Frozen
from labrelay.records.database import now
from labrelay.records.schema import InboxRow
from labrelay.records.upsert import insert_missing

TOKEN, HOOK = "token:", "hook:"  # how the sources of what came through the front door begin
DOOR = (TOKEN, HOOK)


class InboxMessage(Frozen):
    """One message as it came; `source` and `message_id` together say which it is, however often it comes."""

    source: str
    message_id: str
    payload: dict[str, Any]


class Posted(Frozen):
    """A message that is durable; `new` is False when it had been so before."""

    number: int
    new: bool


def take(session: Session, messages: Sequence[InboxMessage]) -> int:
    """Write the messages that are not there yet and return how many those were."""
    moment = now()
    rows = [message.model_dump() | {"received_at": moment} for message in messages]
    return insert_missing(session, InboxRow, rows)


def post(session: Session, message: InboxMessage) -> Posted:
    """Write one message, unless it is there, and return its number either way.

    Raises:
        Conflict: Its source has used the id for another message.
    """
    new = take(session, [message]) == 1
    named = (InboxRow.source == message.source, InboxRow.message_id == message.message_id)
    number, payload = session.execute(select(InboxRow.id, InboxRow.payload).where(*named)).one()
    if payload != message.payload:
        raise Conflict(
            f"the id {printable(message.message_id, 80)} was used for another message before: give each its own"
        )
    return Posted(number=number, new=new)


def waiting(
    session: Session, limit: int = 500, *, door: bool = False, after: int = 0
) -> list[tuple[int, InboxMessage]]:
    """Return the oldest messages that nobody has worked off, each with its number.

    Args:
        session: Where.
        limit: At most so many.
        door: Those that came through the front door; else all others.
        after: Only those with a higher number.
    """
    from_door = or_(*(InboxRow.source.startswith(prefix, autoescape=True) for prefix in DOOR))
    query = select(InboxRow).where(InboxRow.done_at.is_(None), InboxRow.id > after, from_door if door else ~from_door)
    fields = InboxMessage.model_fields
    rows = session.scalars(query.order_by(InboxRow.id).limit(limit))
    return [(row.id, InboxMessage(**{n: getattr(row, n) for n in fields})) for row in rows]


def count_waiting(session: Session) -> int:
    """Return how many messages of any source wait."""
    return session.scalar(select(func.count()).select_from(InboxRow).where(InboxRow.done_at.is_(None))) or 0


def is_open(session: Session, number: int) -> bool:
    """Tell whether a message waits still, and let no other writer work it off before this transaction ends."""
    query = select(InboxRow.done_at).where(InboxRow.id == number).with_for_update()
    return session.scalar(query) is None


def finish(session: Session, numbers: Sequence[int], error: str | None = None, outcome: str | None = None) -> None:
    """Say that messages are worked off and what came of them, or with `error` why they never will be."""
    said = {"error": error, "outcome": outcome}
    texts = {name: printable(text, 400) if text else None for name, text in said.items()}
    for start in range(0, len(numbers), 500):
        these = InboxRow.id.in_(numbers[start : start + 500])
        session.execute(update(InboxRow).where(these).values(done_at=now(), **texts))


def put_off(session: Session, numbers: Sequence[int], outcome: str, before: str) -> int:
    """Say what was seen of messages that are not worked off yet, and return how many wait still.

    Those that were received before a time have waited enough: they are finished with it.
    """
    count = 0
    for start in range(0, len(numbers), 500):
        these = InboxRow.id.in_(numbers[start : start + 500])
        old = list(session.scalars(select(InboxRow.id).where(these, InboxRow.received_at < before)))
        finish(session, old, outcome=outcome)
        wait = (these, InboxRow.done_at.is_(None))
        session.execute(update(InboxRow).where(*wait).values(outcome=printable(outcome, 400)))
        count += session.scalar(select(func.count()).select_from(InboxRow).where(*wait)) or 0
    return count
