"""The audit trail is one chain, refuses change on both databases, and shows what was changed all the same."""

from __future__ import annotations

import os
import pwd
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from labrelay.records import audit, audit_guards, audit_verify, migrate, soundness
from labrelay.records.database import Database
from labrelay.records.schema import AuditRow

ACCOUNT = f"os:{pwd.getpwuid(os.getuid()).pw_name}"


@pytest.fixture
def db(db: Database) -> Database:
    """Each database with a trail of five rows."""
    with db.write() as session:
        for number in range(5):
            audit.record(session, "sample.announced", f"smp_{number}", revision=1, reason="größer als „1“")
    return db


def broken(db: Database) -> list[str]:
    with db.read() as session:
        return list(audit.broken_links(session))


def tamper(db: Database, *statements: str) -> None:
    """Edit by hand, as somebody with the database would: the triggers are dropped first."""
    with db.write() as session:
        names = audit_guards.SQLITE
        on_table = ""
        if session.get_bind().dialect.name == "postgresql":
            names, on_table = audit_guards.POSTGRESQL, " ON audit_event"
        for name in names:
            session.execute(text(f"DROP TRIGGER {name}{on_table}"))
        for statement in statements:
            session.execute(text(statement))


def test_an_untouched_chain_is_whole(db: Database) -> None:
    assert broken(db) == []
    with db.read() as session:
        assert audit.count(session) == 5


@pytest.mark.parametrize(
    "verb",
    [
        "UPDATE audit_event SET actor = 'x' WHERE seq = 2",
        "DELETE FROM audit_event",
        "DELETE FROM audit_event WHERE seq = 5",
        "INSERT INTO audit_event SELECT seq, at, 'x', action, entity_id, detail, previous, hash FROM audit_event "
        "WHERE seq = 2 ON CONFLICT (seq) DO UPDATE SET actor = 'x'",
        "INSERT INTO audit_event SELECT 99, at, actor, action, entity_id, detail, previous, 'x' FROM audit_event "
        "WHERE seq = 2",
    ],
)
def test_the_database_itself_refuses_change(db: Database, verb: str) -> None:
    with pytest.raises(IntegrityError, match="the audit trail"), db.write() as session:
        session.execute(text(verb))
    assert broken(db) == []


def test_each_database_refuses_what_only_it_has(db: Database) -> None:
    on_postgres = db.engine.dialect.name == "postgresql"
    replaced = "INSERT OR REPLACE INTO audit_event SELECT seq, at, 'x', action, entity_id, detail, previous, hash "
    replaced += "FROM audit_event WHERE seq = 2"
    bypasses = ["SET session_replication_role = replica; DELETE FROM audit_event", "TRUNCATE audit_event"]
    for verb in bypasses if on_postgres else [replaced]:
        with pytest.raises(IntegrityError, match="the audit trail"), db.write() as session:
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
    tamper(db)
    migrate.upgrade(db.engine)
    with pytest.raises(IntegrityError, match="append-only"), db.write() as session:
        session.execute(text("UPDATE audit_event SET actor = 'x'"))


def test_triggers_that_somebody_removed_are_told_and_come_back_on_record(db: Database) -> None:
    tamper(db)
    said = {verdict.what: verdict for verdict in soundness.look(db)}
    assert said["audit triggers"].fix is not None
    db.ensure()
    with db.read() as session:
        assert audit_guards.missing(session.connection()) == ()
        last = audit.history(session)[-1]
    assert (last.action, last.actor) == ("audit.triggers_remade", ACCOUNT)
    assert "audit_no_update" in last.detail["missing"]
    db.ensure()
    assert "audit triggers" not in {verdict.what for verdict in soundness.look(db)}
    assert broken(db) == []


def test_a_trigger_of_the_name_that_refuses_nothing_counts_as_missing(db: Database) -> None:
    if db.engine.dialect.name == "postgresql":
        tricks = ["ALTER TABLE audit_event DISABLE TRIGGER audit_no_update"]
    else:
        harmless = "CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit_event BEGIN SELECT 1; END"
        tricks = ["DROP TRIGGER audit_no_update", harmless]
    with db.write() as session:
        for trick in tricks:
            session.execute(text(trick))
    with db.read() as session:
        assert audit_guards.missing(session.connection()) == ("audit_no_update",)


def test_many_writers_make_one_chain(db: Database) -> None:
    def work(writer: int) -> None:
        for number in range(10):
            with db.write() as session:
                audit.record(session, "test.first", f"run_{writer}", number=number)
                audit.record(session, "test.second", f"run_{writer}", number=number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert broken(db) == []
    with db.read() as session:
        assert audit.count(session) == 85


def test_what_a_transaction_decides_is_written_in_two_statements_and_in_its_order(db: Database) -> None:
    from sqlalchemy import event

    said: list[str] = []
    event.listen(db.engine, "before_cursor_execute", lambda *a: said.append(a[2]))
    with db.write() as session:
        for number in range(50):
            audit.record(session, "test.many", f"smp_{number}")
    assert len([each for each in said if "audit_event" in each]) == 2
    with db.read() as session:
        assert [e.entity_id for e in audit.history(session, limit=50)] == [f"smp_{n}" for n in range(50)]


def decide_and_fail(session: Session) -> None:
    audit.record(session, "test.lost", "smp_1")
    raise ZeroDivisionError


def test_a_decision_goes_with_its_transaction_and_with_its_savepoint(db: Database) -> None:
    with pytest.raises(ZeroDivisionError), db.write() as session:
        decide_and_fail(session)
    with db.write() as session:
        audit.record(session, "test.kept", "smp_1")
        with pytest.raises(ZeroDivisionError), session.begin_nested():
            decide_and_fail(session)
        audit.record(session, "test.kept", "smp_2")
    assert broken(db) == []
    with db.read() as session:
        assert sorted((e.action, e.entity_id) for e in audit.history(session, limit=2)) == [
            ("test.kept", "smp_1"),
            ("test.kept", "smp_2"),
        ]
        assert audit.count(session) == 7


def test_who_acts_is_the_account_of_the_system_beside_what_was_claimed(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("USER", "LOGNAME", "USERNAME", "LNAME"):
        monkeypatch.setenv(name, "somebody")
    with db.write() as session:
        audit.record(session, "test.plain", "smp_1")
    claims = (
        "schedule:sweep",
        f"{ACCOUNT}x",
        f"os:chief ({ACCOUNT})",
        f"{ACCOUNT} via prefect:p",
        "os:chief via prefect:p",
    )
    for claimed in claims:
        monkeypatch.setenv("LABRELAY_ACTOR", claimed)
        with db.write() as session:
            audit.record(session, "test.claimed", "smp_1")
    with db.read() as session:
        actors = list(session.scalars(select(AuditRow.actor).order_by(AuditRow.seq)))[-6:]
    assert actors == [
        ACCOUNT,
        f"schedule:sweep ({ACCOUNT})",
        f"{ACCOUNT}x ({ACCOUNT})",
        f"os:chief ({ACCOUNT}) ({ACCOUNT})",
        f"{ACCOUNT} via prefect:p",
        f"os:chief via prefect:p ({ACCOUNT})",
    ]


def test_an_account_without_a_name_is_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 2_000_000_123)
    assert audit.account() == "os:uid2000000123"


def test_history_is_asked_by_entity_and_time(db: Database) -> None:
    with db.write() as session:
        audit.record(session, "sample.corrected", "smp_2", reason="swapped")
    with db.read() as session:
        assert [e.action for e in audit.history(session, "smp_2")] == ["sample.announced", "sample.corrected"]
        last = audit.history(session)[-1]
        assert [e.seq for e in audit.history(session, since=last.at)] == [6]
        assert [e.seq for e in audit.history(session, limit=2)] == [5, 6]


def test_an_export_of_each_database_is_what_the_verifier_reads(db: Database) -> None:
    from labrelay.model.canonical import canonical_json

    with db.read() as session:
        lines = [f"{canonical_json(row)}\n".encode() for row in audit.exported(session)]
    rows = [audit_verify.exported_row(line) for line in lines]
    trail = audit_verify.Trail()
    assert list(audit_verify.check(trail, [row for row in rows if row is not None])) == []
    with db.read() as session:
        head = audit.head(session)
    assert head is not None
    assert (trail.rows, trail.head, trail.chain) == (5, (head.seq, head.hash), head.chain)
