"""The triggers that keep the audit trail append-only, on SQLite and PostgreSQL.

They refuse UPDATE, DELETE and (PostgreSQL) TRUNCATE, and an INSERT that is not the next row: SQLite's INSERT OR REPLACE
would else replace a row without any DELETE being seen. Alembic's batch mode drops triggers in silence, so they are made
again after every migration, and each opening of a home looks whether they are there and are ours.

They stop mistakes and careless hands. Who owns the tables can drop them; what such a person changes is found by the
chain and its anchors.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, text

REFUSED = "the audit trail is append-only"
NOT_NEXT = "the audit trail takes only the next row"
NEXT = """NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM audit_event)"""

SQLITE: Mapping[str, str] = {
    "audit_no_update": f"BEFORE UPDATE ON audit_event BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END",
    "audit_no_delete": f"BEFORE DELETE ON audit_event BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END",
    "audit_only_next": f"BEFORE INSERT ON audit_event WHEN {NEXT} BEGIN SELECT RAISE(ABORT, '{NOT_NEXT}'); END",
}
FUNCTION = "labrelay_audit_guard"
BODY = f"""
BEGIN
    IF TG_OP <> 'INSERT' THEN
        RAISE EXCEPTION '{REFUSED}' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF {NEXT} THEN
        RAISE EXCEPTION '{NOT_NEXT}' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
"""
# Each with its bits in pg_trigger.tgtype: 1 row, 2 before, 4 insert, 8 delete, 16 update, 32 truncate.
POSTGRESQL: Mapping[str, tuple[str, int]] = {
    "audit_no_update": ("BEFORE UPDATE ON audit_event FOR EACH ROW", 19),
    "audit_no_delete": ("BEFORE DELETE ON audit_event FOR EACH ROW", 11),
    "audit_no_truncate": ("BEFORE TRUNCATE ON audit_event FOR EACH STATEMENT", 34),
    "audit_only_next": ("BEFORE INSERT ON audit_event FOR EACH ROW", 7),
}


def make(connection: Connection) -> None:
    """Make all triggers anew, in the connection's transaction."""
    if connection.dialect.name == "postgresql":
        _make_postgresql(connection)
        return
    for name, what in SQLITE.items():
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
        connection.exec_driver_sql(f"CREATE TRIGGER {name} {what}")


def _make_postgresql(connection: Connection) -> None:
    connection.exec_driver_sql(
        f"CREATE OR REPLACE FUNCTION {FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $guard${BODY}$guard$"
    )
    for name, (what, _bits) in POSTGRESQL.items():
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name} ON audit_event")
        connection.exec_driver_sql(f"CREATE TRIGGER {name} {what} EXECUTE FUNCTION {FUNCTION}()")
        # ALWAYS: a session in the role of a replica would pass by ordinary triggers.
        connection.exec_driver_sql(f"ALTER TABLE audit_event ENABLE ALWAYS TRIGGER {name}")


def missing(connection: Connection) -> tuple[str, ...]:
    """Return the triggers that are not there or are not as we make them. Cost: one query on the catalogue."""
    if connection.dialect.name == "postgresql":
        rows = connection.execute(_POSTGRESQL_TRIGGERS, {"function": FUNCTION})
        found = {name: bits for name, enabled, bits, source in rows if enabled == "A" and source == BODY}
        return tuple(name for name, (_what, bits) in POSTGRESQL.items() if found.get(name) != bits)
    query = text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_event'")
    made: dict[str, str] = dict(connection.execute(query).all())
    return tuple(name for name, what in SQLITE.items() if made.get(name) != f"CREATE TRIGGER {name} {what}")


_POSTGRESQL_TRIGGERS = text(
    "SELECT t.tgname, t.tgenabled, t.tgtype, p.prosrc FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid "
    "WHERE t.tgrelid = 'audit_event'::regclass AND NOT t.tgisinternal AND t.tgqual IS NULL AND p.proname = :function"
)
