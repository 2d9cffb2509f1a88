"""Messages that somebody outside has to be told: at least once, in order per entity, never with a transaction open.

Claim in a short transaction, speak to the outside with none open, acknowledge in a third. When a worker dies between,
the next one repeats the message, so every channel must be idempotent: at once when the dead one was on this machine,
else when its lease has run out. A worker that slept past its lease cannot settle what another has claimed since.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, aliased

from labrelay.model.faults import faultpoint
from labrelay.model.problem import Frozen
from labrelay.records import lease
from labrelay.records.database import Database, later, now
from labrelay.records.schema import OutboxRow
from labrelay.records.upsert import insert_missing

LEASE_SECONDS = 300
MAX_TRIES = 8
LONGEST_PAUSE = 3600  # seconds between tries of a channel that never gives up
OPEN = ("pending", "sending")


class Message(Frozen):
    """A claimed message."""

    id: int
    channel: str
    entity_id: str
    kind: str
    payload: dict[str, Any]
    tries: int
    lease_holder: str


def post(session: Session, channel: str, entity_id: str, kind: str, dedup: str, **payload: Any) -> None:
    """Queue a message in the caller's transaction; the same `dedup` text is the same message."""
    values = {"dedup_key": dedup, "channel": channel, "entity_id": entity_id, "kind": kind, "payload": payload}
    rest = {"state": "pending", "tries": 0, "not_before": now(), "created_at": now()}
    insert_missing(session, OutboxRow, [values | rest])


def claim(db: Database, limit: int = 20, without: Collection[str] = ()) -> list[Message]:
    """Take up to `limit` due messages, at most one per entity and channel, each the oldest open one of its entity.

    Those that are due the longest and were tried the least come first, so that some that fail again and again do not
    keep back the others; none of the channels `without`.
    """
    holder, moment = lease.new_holder(), now()
    earlier = aliased(OutboxRow)
    blocked = select(earlier.id).where(
        earlier.channel == OutboxRow.channel,
        earlier.entity_id == OutboxRow.entity_id,
        earlier.id < OutboxRow.id,
        earlier.state.in_(OPEN),
    )
    with db.write() as session:
        free_dead(session)
        query = select(OutboxRow).where(OutboxRow.state == "pending", OutboxRow.not_before <= moment, ~blocked.exists())
        query = query.where(OutboxRow.channel.not_in(without)).order_by(
            OutboxRow.not_before, OutboxRow.tries, OutboxRow.id
        )
        rows = session.scalars(query.limit(limit)).all()
        for row in rows:
            row.state, row.lease_holder, row.lease_until = "sending", holder, later(LEASE_SECONDS)
            row.tries += 1
        claimed = [Message.model_validate({n: getattr(row, n) for n in Message.model_fields}) for row in rows]
    faultpoint("outbox.claimed")
    return claimed


def free_dead(session: Session) -> int:
    """Make those messages due again whose worker is gone or slept past its lease; return how many."""
    moment, freed = now(), 0
    for row in session.scalars(select(OutboxRow).where(OutboxRow.state == "sending")).all():
        if (row.lease_until or "") < moment or row.lease_holder is None or not lease.is_alive(row.lease_holder):
            row.state, row.lease_until, row.lease_holder = "pending", None, None
            freed += 1
    return freed


def prolong(db: Database, message: Message) -> bool:
    """Prolong the lease of a claimed message and of those that were claimed with it, before the message is told.

    Cost: one query while nine tenths of the lease are left, else a writing transaction.

    Returns:
        Whether it is still ours to tell; else it slept past its lease and another worker has it.
    """
    mine = (OutboxRow.lease_holder == message.lease_holder) & (OutboxRow.state == "sending")
    with db.read() as session:
        until = session.scalar(select(OutboxRow.lease_until).where(mine, OutboxRow.id == message.id))
    if until is not None and until > later(0.9 * LEASE_SECONDS):
        return True
    with db.write() as session:
        session.execute(update(OutboxRow).where(mine).values(lease_until=later(LEASE_SECONDS)))
        return session.scalar(select(OutboxRow.id).where(mine, OutboxRow.id == message.id)) is not None


def confirm(db: Database, message: Message) -> None:
    """Mark a message as told and confirmed."""
    _settle(db, message, state="confirmed", confirmed_at=now(), error=None)
    faultpoint("outbox.confirmed")


def newest(session: Session) -> int:
    """Return the id of the newest message, 0 for none; a delivery that covers all until now notes it first."""
    return session.scalar(select(func.max(OutboxRow.id))) or 0


def confirm_older(db: Database, message: Message, newest_id: int) -> int:
    """Mark the messages of the same entity and channel, up to `newest_id`, as told by the same delivery.

    Those that were given up are among them: what they could not tell has been told now.
    """
    with db.write() as session:
        return told(session, message.channel, message.entity_id, newest_id)


def told(session: Session, channel: str, entity_id: str, newest_id: int) -> int:
    """Mark what waits or was given up for an entity, up to `newest_id`, as told; return how many messages that were."""
    same = (OutboxRow.channel == channel) & (OutboxRow.entity_id == entity_id)
    covered = same & (OutboxRow.id <= newest_id) & OutboxRow.state.in_(("pending", "dead"))
    done = session.execute(update(OutboxRow).where(covered).values(state="confirmed", confirmed_at=now()))
    return max(0, getattr(done, "rowcount", 0))


def fail(
    db: Database, message: Message, reason: str, *, retry: bool, after: float = 0.0, patient: bool = False
) -> None:
    """Put a message back with a growing pause (1 min, doubling), or mark it dead after 8 tries or for good.

    Args:
        db: The records.
        message: As it was claimed.
        reason: Why it could not be told, for `labrelay status`.
        retry: Whether trying again can help.
        after: Seconds that the other side asked to be left alone.
        patient: Try for ever, at last every hour: the other side may be down for days.
    """
    if retry and (patient or message.tries < MAX_TRIES):
        growing = min(60 * 2 ** min(message.tries - 1, MAX_TRIES), LONGEST_PAUSE if patient else 60 << MAX_TRIES)
        pause = max(growing, int(after))
        _settle(db, message, state="pending", not_before=later(pause), error=reason)
    else:
        _settle(db, message, state="dead", error=reason)


def put_off(db: Database, failed: Message, *, down: bool) -> None:
    """Put back, untried, what was claimed of a message's channel together with it.

    Args:
        db: The records.
        failed: The message that could not be told, put back already.
        down: Nothing of the channel can be told: all that is due waits as long as this one does.
    """
    others = (OutboxRow.channel == failed.channel) & (OutboxRow.id != failed.id)
    claimed = others & (OutboxRow.state == "sending") & (OutboxRow.lease_holder == failed.lease_holder)
    with db.write() as session:
        back = {"state": "pending", "lease_until": None, "lease_holder": None, "tries": OutboxRow.tries - 1}
        session.execute(update(OutboxRow).where(claimed).values(back))
        until = session.scalar(select(OutboxRow.not_before).where(OutboxRow.id == failed.id))
        if down and until is not None:
            due = others & (OutboxRow.state == "pending") & (OutboxRow.not_before < until)
            session.execute(update(OutboxRow).where(due).values(not_before=until))


def open_kinds(session: Session, channel: str, entity_id: str) -> set[str]:
    """Return the kinds of the messages that wait, or were given up, for an entity."""
    mine = (OutboxRow.channel == channel) & (OutboxRow.entity_id == entity_id) & (OutboxRow.state != "confirmed")
    return set(session.scalars(select(OutboxRow.kind).where(mine).distinct()))


def waiting(session: Session, channel: str | None = None) -> dict[str, int]:
    """Return how many messages are open or dead, by state; of one channel, or of all."""
    query = select(OutboxRow.state, func.count()).where(OutboxRow.state != "confirmed").group_by(OutboxRow.state)
    if channel is not None:
        query = query.where(OutboxRow.channel == channel)
    return {row[0]: row[1] for row in session.execute(query)}


def given_up(session: Session, channel: str) -> list[str]:
    """Return the entities of a channel's messages that were given up."""
    dead = (OutboxRow.channel == channel) & (OutboxRow.state == "dead")
    return list(session.scalars(select(OutboxRow.entity_id).where(dead).distinct().order_by(OutboxRow.entity_id)))


def last_error(session: Session, channel: str) -> str | None:
    """Return what was wrong with the newest message of a channel that was tried and could not be told."""
    failed = (OutboxRow.channel == channel) & (OutboxRow.state != "confirmed") & OutboxRow.error.is_not(None)
    return session.scalar(select(OutboxRow.error).where(failed).order_by(OutboxRow.id.desc()).limit(1))


def _settle(db: Database, message: Message, **values: Any) -> None:
    with db.write() as session:
        cleared = {"lease_until": None, "lease_holder": None}
        mine = (OutboxRow.id == message.id) & (OutboxRow.lease_holder == message.lease_holder)
        session.execute(update(OutboxRow).where(mine).values(**values, **cleared))
