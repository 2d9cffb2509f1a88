"""The whole metadata store copied into another one: how a home of one person becomes the store of a team."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select, text

from labrelay.model.errors import Conflict, StorageFailed
from labrelay.records import audit, migrate
from labrelay.records.database import Database
from labrelay.records.metadata import TABLES
from labrelay.records.search_schema import DERIVED

ROWS = 1_000  # read and written at a time


def copy_into(source: Database, target: Database) -> dict[str, int]:
    """Copy all rows into an empty store and return how many by table, in one transaction of each store.

    Cost: each row is read and written once, in parts of 1,000; nobody else can write to the target meanwhile.

    Raises:
        Conflict: The target holds rows already; nothing was changed.
        StorageFailed: The copied audit trail does not verify; nothing was changed.
    """
    target.ensure()
    copied: dict[str, int] = {}
    with source.read() as old, target.write() as new:
        into = new.connection()
        for table in TABLES.sorted_tables:
            if table.name in DERIVED:
                continue  # made anew from what is copied
            if into.scalar(select(func.count()).select_from(table.alias())):
                raise Conflict(f"the target's table {table.name} has rows already: name an empty database")
            copied[table.name] = 0
            for rows in _rows(old.connection(), table):
                into.execute(insert(table), rows)
                copied[table.name] += len(rows)
            _continue_numbers(into, table)
        broken = next(audit.broken_links(new), None)
        if broken is not None:
            raise StorageFailed(f"the copied audit trail is not whole ({broken}): look at it with `labrelay db check`")
    migrate.index_all(target.engine)
    return copied


def _rows(connection: Connection, table: Table) -> Iterator[list[dict[str, Any]]]:
    found = connection.execution_options(yield_per=ROWS).execute(select(table).order_by(*table.primary_key))
    for part in found.mappings().partitions(ROWS):
        yield [dict(row) for row in part]


def _continue_numbers(connection: Connection, table: Table) -> None:
    """Have a counter of PostgreSQL go on behind the numbers that were copied."""
    counted = table.autoincrement_column
    if connection.dialect.name != "postgresql" or counted is None:
        return
    connection.execute(
        text(
            f"SELECT setval(pg_get_serial_sequence(:table, :column), max({counted.name})) "  # noqa: S608 - our own names
            f"FROM {table.name} HAVING max({counted.name}) IS NOT NULL"
        ),
        {"table": table.name, "column": counted.name},
    )
