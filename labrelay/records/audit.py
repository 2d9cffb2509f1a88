"""The audit trail: append-only rows, each with the hash of the one before it.

"21 CFR Part 11 like" only: it makes a change visible, it does not make a lab compliant. Triggers refuse UPDATE and
DELETE; Alembic's batch mode drops triggers in silence, so `migrate.upgrade` makes them again after every migration.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, func, select, text
from sqlalchemy.orm import Session

from labrelay.model.canonical import digest
from labrelay.records.database import actor, now
from labrelay.records.schema import AuditRow

GENESIS = "0" * 64
WRITTEN = "labrelay_audit_written"  # in a session's info: its transaction, and the last row that it wrote there
TRIGGERS = ("audit_no_update", "audit_no_delete")


def record(session: Session, action: str, entity_id: str, **detail: Any) -> None:
    """Append one decision in the caller's transaction; `detail` holds ids and numbers, no personal data."""
    last, previous = _last(session)
    row = AuditRow(
        seq=last + 1,
        at=now(),
        actor=actor(),
        action=action,
        entity_id=entity_id,
        detail=detail,
        previous=previous,
        hash="",
    )
    row.hash = row_hash(row)
    session.add(row)
    session.flush()
    session.info[WRITTEN] = _transaction(session), row.seq, row.hash


def _last(session: Session) -> tuple[int, str]:
    """Return the number and hash of the last row; what this transaction wrote itself it need not ask for."""
    known = session.info.get(WRITTEN)
    if known is not None and known[0] is _transaction(session):
        return int(known[1]), str(known[2])
    row = session.execute(select(AuditRow.seq, AuditRow.hash).order_by(AuditRow.seq.desc()).limit(1)).first()
    return (row.seq, row.hash) if row else (0, GENESIS)


def _transaction(session: Session) -> object:
    return session.get_nested_transaction() or session.get_transaction()


def row_hash(row: AuditRow) -> str:
    """Return the hash that this row must carry: over its content and its predecessor's hash."""
    return digest([row.seq, row.at, row.actor, row.action, row.entity_id, row.detail, row.previous])


def broken_links(session: Session) -> Iterator[str]:
    """Yield a sentence for each row that was edited, removed or moved. Cost: one pass, constant memory."""
    previous, expected = GENESIS, 1
    for row in session.scalars(select(AuditRow).order_by(AuditRow.seq).execution_options(yield_per=1000)):
        if row.seq != expected:
            yield f"audit rows {expected} to {row.seq - 1} are missing"
        if row.previous != previous:
            yield f"audit row {row.seq} does not follow the row before it"
        if row.hash != row_hash(row):
            yield f"audit row {row.seq} was changed after it was written"
        previous, expected = row.hash, row.seq + 1


def count(session: Session) -> int:
    """Return the number of audit rows."""
    return session.scalar(select(func.count()).select_from(AuditRow)) or 0


def create_triggers(connection: Connection) -> None:
    """Make the triggers that refuse change, where they are missing (SQLite)."""
    if connection.dialect.name != "sqlite":
        return
    for name, verb in zip(TRIGGERS, ("UPDATE", "DELETE"), strict=True):
        connection.execute(
            text(
                f"CREATE TRIGGER IF NOT EXISTS {name} BEFORE {verb} ON audit_event "
                f"BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
            )
        )
