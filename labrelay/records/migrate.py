"""Bringing the tables to this program's revision with Alembic; imported only when a database needs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, and_, func, select
from sqlalchemy.orm import Session

from labrelay.records import audit, audit_guards, search_engine, search_index
from labrelay.records.metadata import TABLES

PORTION = 5000  # things that are indexed in one transaction
SCRIPTS = Path(__file__).parent / "migrations"


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Run the migrations up to `revision` in one transaction, then what a migration loses or leaves out:
    the audit triggers, and the order of texts on PostgreSQL."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    with engine.connect().execution_options(labrelay_write=True) as connection, connection.begin():
        config.attributes["connection"] = connection
        before = MigrationContext.configure(connection).get_current_revision()
        command.upgrade(config, revision)
        if connection.dialect.name == "postgresql":
            from labrelay.records import postgres

            postgres.collate(connection, list(TABLES.tables))
        audit_guards.make(connection)
        after = MigrationContext.configure(connection).get_current_revision()
        if before not in (None, after):
            with Session(connection) as session:  # in the same transaction, which is not this session's to commit
                audit.record(session, "records.upgraded", "records", before=before, after=after)
        if connection.dialect.has_table(connection, "search_document"):  # not at the revisions before it
            search_engine.create(connection)
    index_all(engine)


def index_all(engine: Engine) -> None:
    """Index all that is marked as changed, in portions that are each committed: a stopped one goes on where it was."""
    done = True
    while done:
        with Session(engine.execution_options(labrelay_write=True)) as session, session.begin():
            if not engine.dialect.has_table(session.connection(), "search_document"):
                return
            done = bool(search_index.settle(session, PORTION))


def compared(connection: Connection) -> MigrationContext:
    """Return what Alembic compares tables in; the full-text index, which differs between databases, is left out."""

    def include(name: str | None, kind: str, _parents: Any) -> bool:
        return not ((kind == "table" and (name or "").startswith("search_fts")) or name in search_engine.OWN_NAMES)

    return MigrationContext.configure(connection, opts={"include_name": include})


def differences(connection: Connection) -> str | None:
    """Return in short words how the tables differ from those of the schema, or None."""
    found = compare_metadata(compared(connection), TABLES)
    return "; ".join(_words(each) for each in found[:5]) or None


def _words(difference: Any) -> str:
    """Return one of Alembic's differences, such as ('add_column', None, 'file', Column(…)), in short."""
    parts = difference if isinstance(difference[0], str) else difference[0]
    return " ".join(
        str(getattr(part, "name", part)) for part in parts if isinstance(part, str) or hasattr(part, "name")
    )


def dangling(connection: Connection) -> str | None:
    """Return which references of rows lead nowhere, or None. Cost: one pass over each table that refers to another."""
    found = []
    for table in TABLES.sorted_tables:
        for key in table.foreign_key_constraints:
            other = key.referred_table.alias()
            column, target = next((e.parent, other.c[e.column.name]) for e in key.elements)
            query = select(func.count()).select_from(table.outerjoin(other, column == target))
            count = connection.scalar(query.where(and_(column.is_not(None), target.is_(None))))
            if count:
                found.append(f"{count} of {table.name}.{column.name}")
    return ", ".join(found) or None
