"""Insert a row unless its identity is there already, in one statement, on SQLite and Postgres alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import Executable, Table
from sqlalchemy.dialects import sqlite
from sqlalchemy.orm import Session

from labrelay.records.schema import Base

CHUNK = 500  # rows a call


def insert_missing(session: Session, table: type[Base], rows: Sequence[dict[str, Any]]) -> int:
    """Insert those rows whose identity is not there yet and return how many that were.

    Cost: one call of the driver per 500 rows, whatever is there already. All rows have the same names.
    """
    statement = _insert(session, cast(Table, table.__table__))
    # One short statement with many sets of values: it is compiled once, not once for each number of rows.
    statement = statement.execution_options(preserve_rowcount=True)
    session.flush()  # what the rows refer to may be waiting in the session
    added = 0
    for start in range(0, len(rows), CHUNK):
        done = session.execute(statement, list(rows[start : start + CHUNK]))
        added += max(0, getattr(done, "rowcount", 0))
    return added


def _insert(session: Session, table: Table) -> Executable:
    if session.get_bind().dialect.name != "postgresql":
        return sqlite.insert(table).on_conflict_do_nothing()
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table).on_conflict_do_nothing()
