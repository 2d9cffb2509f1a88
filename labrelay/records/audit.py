"""The audit trail: append-only rows, each with the hash of the one before it. The format is in docs/audit.md.

"21 CFR Part 11 like" only: it makes a change visible, it does not make a lab compliant. `audit_guards` refuses change,
`anchors` keeps heads outside of the database, `audit_verify` finds what was changed all the same.

Rows are numbered and chained together as the last thing of their transaction: two statements, however many they are.
Nobody else can be at the end of the chain meanwhile, since each database lets one transaction write at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Select, Text, cast, func, insert, select
from sqlalchemy.orm import Session

from labrelay.model.canonical import digest
from labrelay.model.problem import Frozen
from labrelay.records import audit_verify
from labrelay.records.database import AT_THE_END, account, actor, now
from labrelay.records.schema import AuditRow

GENESIS = "0" * 64
WAITING = "labrelay_audit_waiting"  # in a session's info: the decisions of its transaction, in their order
PAGE = 1000
Decision = tuple[str, str, str, dict[str, Any]]  # who, action, entity, detail


class Head(NamedTuple):
    """The last row of a trail, and the hash of the first, which tells this trail from others."""

    seq: int
    hash: str
    at: str
    chain: str


class Event(Frozen):
    """One decision as people ask for it: who did what to which entity, when."""

    seq: int
    at: str
    actor: str
    action: str
    entity_id: str
    detail: dict[str, Any]


def record(session: Session, action: str, entity_id: str, **detail: Any) -> None:
    """Append one decision in the caller's transaction; `detail` holds ids and numbers, no personal data.

    The row is written at the end of a writing transaction, so the same transaction does not see it.
    """
    decision = (signature(), action, entity_id, detail)
    # What a savepoint holds has to go with it, and a session of somebody else's has no end that we know of.
    if session.in_nested_transaction() or not session.info.get("write"):
        _append(session, [decision])
        return
    waiting: list[Decision] = session.info.setdefault(WAITING, [])
    if not waiting:
        ends: list[Callable[[Session], None]] = session.info.setdefault(AT_THE_END, [])
        ends.append(lambda ended: _append(ended, ended.info.pop(WAITING)))
    waiting.append(decision)


def record_once(session: Session, action: str, entity_id: str, **detail: Any) -> bool:
    """Append a decision unless the newest of this kind about the entity says the same; return whether it was new.

    Cost: one look-up by entity.
    """
    news = is_news(session, action, entity_id, **detail)
    if news:
        record(session, action, entity_id, **detail)
    return news


def is_news(session: Session, action: str, entity_id: str, **detail: Any) -> bool:
    """Tell whether the newest decision of this kind about the entity says something else. Cost: one look-up."""
    query = select(AuditRow.detail).where(AuditRow.entity_id == entity_id, AuditRow.action == action)
    last = session.scalar(query.order_by(AuditRow.seq.desc()).limit(1))
    return bool(last != detail)


def _append(session: Session, decisions: list[Decision]) -> None:
    """Chain decisions to the last row. Cost: two statements."""
    last = session.execute(_last()).first()
    seq, previous = (last.seq, last.hash) if last else (0, GENESIS)
    rows = []
    for who, action, entity_id, detail in decisions:
        seq += 1
        row = {"seq": seq, "at": now(), "actor": who, "action": action, "entity_id": entity_id, "detail": detail}
        row |= {"previous": previous}
        previous = row_hash(row)
        rows.append(row | {"hash": previous})
    session.execute(insert(AuditRow), rows)


def _last() -> Select[int, str, str]:
    return select(AuditRow.seq, AuditRow.hash, AuditRow.at).order_by(AuditRow.seq.desc()).limit(1)


def signature() -> str:
    """Return who acts, for the trail: `schedule:sweep (os:bio)`.

    What is only claimed, by LABRELAY_ACTOR or a caller, never stands without the account that the system knows.
    """
    claimed, known = actor(), account()
    # `os:bio via prefect:…`, as a command's flow says it, names the account already.
    return claimed if claimed == known or claimed.startswith(f"{known} via ") else f"{claimed} ({known})"


def row_hash(row: Mapping[str, Any]) -> str:
    """Return the hash that a row must carry: over its content and its predecessor's hash."""
    return digest([row[name] for name in audit_verify.COLUMNS if name != "hash"])


def head(session: Session) -> Head | None:
    """Return the end of the trail, or None while there is none. Cost: two look-ups by key."""
    last = session.execute(_last()).first()
    if last is None:
        return None
    first = session.scalar(select(AuditRow.hash).order_by(AuditRow.seq).limit(1))
    return Head(last.seq, last.hash, last.at, str(first))


def stored_rows(session: Session) -> Iterator[audit_verify.Row]:
    """Yield all rows for verification, as the database holds them. Cost: one pass, constant memory."""
    columns = [getattr(AuditRow, name) for name in audit_verify.COLUMNS if name != "detail"]
    columns.insert(audit_verify.COLUMNS.index("detail"), cast(AuditRow.detail, Text))
    for row in session.execute(select(*columns).order_by(AuditRow.seq).execution_options(yield_per=PAGE)):
        yield audit_verify.stored_row(row)


def broken_links(session: Session) -> Iterator[str]:
    """Yield a sentence for each row that was edited, removed or moved. Cost: one pass, constant memory."""
    yield from audit_verify.check(audit_verify.Trail(), stored_rows(session))


def exported(session: Session) -> Iterator[dict[str, Any]]:
    """Yield all rows as an export has them: one JSON object each. Cost: one pass, constant memory."""
    columns = [getattr(AuditRow, name) for name in audit_verify.COLUMNS]
    for row in session.execute(select(*columns).order_by(AuditRow.seq).execution_options(yield_per=PAGE)):
        yield dict(row._mapping)


def history(
    session: Session, entity_id: str | None = None, since: str | None = None, limit: int | None = None
) -> list[Event]:
    """Return decisions, oldest first: those about one entity, those from a time (ISO 8601, UTC) on, the newest few."""
    query = select(AuditRow).order_by(AuditRow.seq.desc())
    if entity_id is not None:
        query = query.where(AuditRow.entity_id == entity_id)
    if since is not None:
        query = query.where(AuditRow.at >= since)
    rows = session.scalars(query if limit is None else query.limit(limit)).all()
    return [Event.model_validate({name: getattr(row, name) for name in Event.model_fields}) for row in reversed(rows)]


def concerns(session: Session, entity_id: str) -> bool:
    """Return whether anything on record is about what has exactly this id or word."""
    return session.scalar(select(AuditRow.seq).where(AuditRow.entity_id == entity_id).limit(1)) is not None


def count(session: Session) -> int:
    """Return the number of audit rows."""
    return session.scalar(select(func.count()).select_from(AuditRow)) or 0
