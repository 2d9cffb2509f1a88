"""Opening the metadata store: SQLite by default, PostgreSQL for a team; durable, and one writer at a time on both."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from types import ModuleType

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from labrelay.model.errors import UsageError
from labrelay.model.faults import faultpoint
from labrelay.records import search_index

BUSY_SECONDS = 30
HEAD = "0006"


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


def _backend_of(url: str) -> ModuleType:
    """Return the module that knows this kind of database; PostgreSQL's is loaded by those who have one."""
    if url.startswith("sqlite"):
        from labrelay.records import sqlite

        return sqlite
    if not url.startswith(("postgresql://", "postgres://")):
        raise UsageError("the URL of a metadata store is postgresql://USER:PASSWORD@HOST/DATABASE or sqlite:///FILE")
    from labrelay.records import postgres

    return postgres


class Database:
    """The metadata store of one home.

    Args:
        url: `sqlite:///FILE` or `postgresql://…`; nothing is opened yet.

    Raises:
        MissingTool: The client of PostgreSQL is not installed.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._backend = _backend_of(url)
        self.engine: Engine = self._backend.open_engine(url, BUSY_SECONDS)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Yield a session in one writing transaction; it commits at the end, or changes nothing.

        Raises:
            Busy: Another process has held the write lock for 30 s.
            StorageFailed: The disk does not take the commit (full, read-only), or the server is gone.
            UsageError: The server refuses us.
        """
        with self.explained(), Session(self.engine, expire_on_commit=False) as session:
            session.info["write"] = True
            session.connection(execution_options={"labrelay_write": True})
            yield session
            search_index.settle(session)
            faultpoint("records.commit")
            session.commit()
        faultpoint("records.committed")

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Yield a session that sees one consistent state and never waits for a writer."""
        with self.explained(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    def version(self) -> str | None:
        """Return the revision of the tables, or None for an empty database."""
        with self.explained(), self.engine.connect() as connection:
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
        with self.explained():
            migrate.upgrade(self.engine)

    def explained(self) -> AbstractContextManager[None]:
        """Return a block in which what the driver says is raised as an error that a person can act on."""
        return _explained(self._backend)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


@contextmanager
def _explained(backend: ModuleType) -> Iterator[None]:
    """Raise what the database driver says in the block as an error that a person can act on."""
    try:
        yield
    except DBAPIError as error:
        told = backend.explain(error, BUSY_SECONDS)
        if told is None:
            raise
        raise told from error
