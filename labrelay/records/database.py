"""Opening the metadata store: SQLite by default, durable through a power cut, one writer at a time.

SQLite runs in WAL mode with `synchronous=FULL` (NORMAL lost every committed row in a simulated power cut). A writing
transaction takes the write lock at once (`BEGIN IMMEDIATE`), so that it never fails half-way for another writer.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from labrelay.model.errors import Busy, StorageFailed, UsageError
from labrelay.model.faults import faultpoint

BUSY_SECONDS = 30
HEAD = "0004"


def now() -> str:
    """Return the time as the tables keep it: UTC, ISO 8601, microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def actor() -> str:
    """Return who acts: LABRELAY_ACTOR (set by flows and schedules), else the account on this machine."""
    named = os.environ.get("LABRELAY_ACTOR")
    if named:
        return named
    try:
        return f"os:{getpass.getuser()}"
    except (KeyError, OSError):  # a uid without an account, as in many containers
        return f"os:uid{os.getuid()}"


class Database:
    """The metadata store of one home.

    Args:
        url: An SQLAlchemy URL; `sqlite:///…/labrelay.sqlite` by default.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine: Engine = create_engine(url, connect_args=self._arguments())
        if self.engine.dialect.name == "sqlite":
            _tune_sqlite(self.engine)

    def _arguments(self) -> dict[str, Any]:
        return {"timeout": BUSY_SECONDS, "check_same_thread": False} if self.url.startswith("sqlite") else {}

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Yield a session in one writing transaction; it commits at the end, or changes nothing.

        Raises:
            Busy: Another process has held the write lock for 30 s.
            StorageFailed: The disk does not take the commit (full, read-only).
        """
        with explained(), Session(self.engine, expire_on_commit=False) as session:
            session.info["write"] = True
            session.connection(execution_options={"labrelay_write": True})
            yield session
            faultpoint("records.commit")
            session.commit()
        faultpoint("records.committed")

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Yield a session that sees one consistent state and never waits for a writer."""
        with explained(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    def version(self) -> str | None:
        """Return the revision of the tables, or None for an empty database."""
        with explained(), self.engine.connect() as connection:
            if not self.engine.dialect.has_table(connection, "alembic_version"):
                return None
            found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
            return found

    def ensure(self) -> None:
        """Bring the tables to this program's revision, with the audit triggers; one of that revision is left alone.

        Raises:
            UsageError: The database was written by a newer Labrelay.
            StorageFailed: The disk does not take it (full, read-only).
        """
        from labrelay.records import migrate

        found = self.version()
        if found == HEAD:
            return
        if found is not None and found > HEAD:
            raise UsageError(
                f"the metadata store is at revision {found}, newer than this Labrelay knows ({HEAD}): update Labrelay"
            )
        with explained():
            migrate.upgrade(self.engine)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


@contextmanager
def explained() -> Iterator[None]:
    """Raise what the database driver says in the block as an error that a person can act on."""
    try:
        yield
    except OperationalError as error:
        raise explain(error) from error


def explain(error: OperationalError) -> Exception:
    """Return the error that a person can act on, for what the database driver said."""
    said = str(error.orig)
    if "locked" in said or "busy" in said:
        return Busy(
            f"another process has been writing to the metadata store for {BUSY_SECONDS} s: run the command again later"
        )
    if any(word in said for word in ("full", "disk I/O", "readonly", "unable to open")):
        return StorageFailed(
            f"the metadata store could not be written ({said}): free space or mend the rights, then repeat the command"
        )
    return error


def _tune_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={BUSY_SECONDS * 1000}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        writing = connection.get_execution_options().get("labrelay_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def sqlite_url(path: Path) -> str:
    """Return the URL of a database file."""
    return f"sqlite:///{path}"
