"""The audit trail shows every change made behind its back."""

from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from labrelay.records import audit, audit_guards, migrate
from labrelay.records.database import Database
from labrelay.records.sqlite import sqlite_url


@pytest.fixture
def db(tmp_path: Path) -> Database:
    made = Database(sqlite_url(tmp_path / "records.sqlite"))
    made.ensure()
    with made.write() as session:
        for number in range(5):
            audit.record(session, "sample.announced", f"smp_{number}", revision=1)
    return made


def broken(db: Database) -> list[str]:
    with db.read() as session:
        return list(audit.broken_links(session))


def tamper(db: Database, *statements: str) -> None:
    """Edit by hand, as somebody with the file would: the triggers are dropped first."""
    with db.write() as session:
        for trigger in audit_guards.SQLITE:
            session.execute(text(f"DROP TRIGGER {trigger}"))
        for statement in statements:
            session.execute(text(statement))


def test_an_untouched_chain_is_whole(db: Database) -> None:
    assert broken(db) == []


@pytest.mark.parametrize("verb", ["UPDATE audit_event SET actor = 'x' WHERE seq = 2", "DELETE FROM audit_event"])
def test_the_database_itself_refuses_change(db: Database, verb: str) -> None:
    with pytest.raises(IntegrityError, match="append-only"), db.write() as session:
        session.execute(text(verb))
    assert broken(db) == []


def test_an_edited_row_is_found(db: Database) -> None:
    tamper(db, "UPDATE audit_event SET detail = '{\"revision\": 2}' WHERE seq = 3")
    assert broken(db) == ["row 3 was changed after it was written: its content has another hash"]


def test_a_removed_row_is_found(db: Database) -> None:
    tamper(db, "DELETE FROM audit_event WHERE seq = 2")
    assert broken(db) == ["row 2 is missing", "row 3 does not follow row 1: one of them is not what it was"]


def test_two_swapped_rows_are_found(db: Database) -> None:
    tamper(
        db,
        "UPDATE audit_event SET seq = 99 WHERE seq = 2",
        "UPDATE audit_event SET seq = 2 WHERE seq = 3",
        "UPDATE audit_event SET seq = 3 WHERE seq = 99",
    )
    assert len(broken(db)) >= 2


def test_the_triggers_come_back_with_every_upgrade(db: Database) -> None:
    with db.write() as session:
        session.execute(text("DROP TRIGGER audit_no_update"))
    migrate.upgrade(db.engine)
    with pytest.raises(IntegrityError, match="append-only"), db.write() as session:
        session.execute(text("UPDATE audit_event SET actor = 'x'"))
