"""Opening the metadata store: SQLite by default, PostgreSQL for a team; durable, and one writer at a time on both."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from functools import cache
from types import ModuleType

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from labrelay.model.errors import UsageError
from labrelay.model.faults import faultpoint
from labrelay.records import search_index

BUSY_SECONDS = 30
HEAD = "0010"
AT_THE_END = "labrelay_at_the_end"  # in a session's info: what is called before its writing transaction commits


def now() -> str:
    """Return the time as the tables keep it: UTC, ISO 8601, microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def later(seconds: float) -> str:
    """Return the time so many seconds from now, as the tables keep it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="microseconds")


_acting: ContextVar[str | None] = ContextVar("labrelay_acting", default=None)


@contextmanager
def acting_as(name: str) -> Iterator[None]:
    """Let what is done in the block be on record as done by `name`, such as `token:lims`."""
    before = _acting.set(name)
    try:
        yield
    finally:
        _acting.reset(before)


def actor() -> str:
    """Return who acts: as `acting_as` says, else LABRELAY_ACTOR (of flows and schedules), else the account here."""
    return _acting.get() or os.environ.get("LABRELAY_ACTOR") or account()


def account() -> str:
    """Return the account that this process runs as, from the system and not from its environment."""
    return _account_of(os.getuid())


@cache
def _account_of(uid: int) -> str:
    try:
        return f"os:{pwd.getpwuid(uid).pw_name}"
    except KeyError:  # a uid without an account, as in many containers
        return f"os:uid{uid}"


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
            for last in session.info.pop(AT_THE_END, ()):
                last(session)
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
        """Bring the tables to this program's revision, with the audit triggers; where all is there, nothing is done.

        Triggers that somebody has removed since are made again, which is on record.

        Raises:
            UsageError: The database was written by a newer Labrelay.
            StorageFailed: The disk does not take it (full, read-only).
        """
        found = self.version()
        if found == HEAD:
            self._guard()
            return
        if found is not None and found > HEAD:
            raise UsageError(
                f"the metadata store is at revision {found}, newer than this Labrelay knows ({HEAD}): update Labrelay"
            )
        from labrelay.records import migrate

        with self.explained():
            migrate.upgrade(self.engine)

    def _guard(self) -> None:
        """See that the triggers of the audit trail are there. Cost: one query on the catalogue."""
        from labrelay.records import audit, audit_guards

        with self.explained(), self.engine.connect() as connection:
            if not audit_guards.missing(connection):
                return
        with self.write() as session:
            if gone := audit_guards.missing(session.connection()):
                audit_guards.make(session.connection())
                audit.record(session, "audit.triggers_remade", "audit_event", missing=list(gone))

    def explained(self) -> AbstractContextManager[None]:
        """Return a block in which what the driver says is raised as an error that a person can act on."""
        return _explained(self._backend)

    def hurry(self, seconds: int) -> None:
        """Wait at most so long for another writer from now on: somebody waits for an answer."""
        self.engine.dispose()
        self.engine = self._backend.open_engine(self.url, seconds)

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
