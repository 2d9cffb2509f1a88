"""Insert a row unless its identity is there already, in one statement, on SQLite and Postgres alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from labrelay.records.schema import Base

CHUNK = 500  # rows a statement: SQLite allows 32,766 variables


def insert_missing(session: Session, table: type[Base], rows: Sequence[dict[str, Any]]) -> int:
    """Insert those rows whose identity is not there yet and return how many that were.

    Cost: one statement per 500 rows, whatever is there already.
    """
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    added = 0
    for start in range(0, len(rows), CHUNK):
        statement = insert(table).values(list(rows[start : start + CHUNK])).on_conflict_do_nothing()
        added += max(0, getattr(session.execute(statement), "rowcount", 0))
    return added
