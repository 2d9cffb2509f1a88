"""SQLite as the metadata store of one home: a file, durable through a power cut, one writer at a time.

WAL mode with `synchronous=FULL` (NORMAL lost every committed row in a simulated power cut). A writing transaction takes
the write lock at once (`BEGIN IMMEDIATE`), so that it never fails half-way for another writer.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from labrelay.model.errors import Busy, LabrelayError, StorageFailed


def sqlite_url(path: Path) -> str:
    """Return the URL of a database file."""
    return f"sqlite:///{path}"


def open_engine(url: str, busy_seconds: int) -> Engine:
    """Return the engine of a database file; nothing is opened yet.

    Args:
        url: `sqlite:///FILE`.
        busy_seconds: How long a writer waits for another one.
    """
    engine = create_engine(
        url, connect_args={"timeout": busy_seconds, "check_same_thread": False}, json_serializer=_json_of
    )

    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            # KiB; of a hundred thousand files' rows the indexes by hash are written all over, which 2 MB do not hold
            "cache_size=-32768",
            # Each row that a trigger follows opens a journal of its own, whose pages went through a file
            "temp_store=MEMORY",
            # pages; each of those indexes' pages is written once for several commits
            "wal_autocheckpoint=4000",
            f"busy_timeout={busy_seconds * 1000}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        writing = connection.get_execution_options().get("labrelay_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def _json_of(value: object) -> str:
    """Return what a column of JSON holds, as `json.dumps` spells it; None, as of most files, without starting that."""
    return "null" if value is None else json.dumps(value)


def explain(error: DBAPIError, busy_seconds: int) -> LabrelayError | None:
    """Return the error that a person can act on, for what SQLite said; None when it is none of those."""
    said = str(error.orig)
    if "locked" in said or "busy" in said:
        return Busy(
            f"another process has been writing to the metadata store for {busy_seconds} s: run the command again later"
        )
    if any(word in said for word in ("full", "disk I/O", "readonly", "unable to open")):
        return StorageFailed(
            f"the metadata store could not be written ({said}): free space or mend the rights, then repeat the command"
        )
    if "not a database" in said or "malformed" in said:
        return StorageFailed(f"the file of the metadata store is damaged ({said}): restore it from a backup")
    return None
