"""What the emulated service knows, as JSON documents in an SQLite file of its own.

A thing has a kind (`run`, `readSet` …), an id, the id of its parent (a read set's store) and a body whose members are
those of the service model's `Get…` answer, times as ISO 8601 text. What was acknowledged survives kill -9 and power
cuts: WAL with `synchronous=FULL`, one transaction a call.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Body = dict[str, Any]
NOTHING: Mapping[str, str] = {}
LAST = 1 << 62  # beyond every thing

SCHEMA = """
CREATE TABLE IF NOT EXISTS things (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL, id TEXT NOT NULL, parent TEXT NOT NULL, status TEXT, body TEXT NOT NULL,
    UNIQUE (kind, parent, id)
);
CREATE INDEX IF NOT EXISTS things_by_status ON things (kind, parent, status, seq);
CREATE INDEX IF NOT EXISTS things_in_order ON things (kind, parent, seq);
CREATE TABLE IF NOT EXISTS counters (kind TEXT PRIMARY KEY, last INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS tokens (
    operation TEXT NOT NULL, token TEXT NOT NULL, digest TEXT NOT NULL, answer TEXT NOT NULL,
    PRIMARY KEY (operation, token)
);
"""


class Snapshot:
    """Reading within one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def get(self, kind: str, key: str, parent: str = "") -> Body | None:
        """Return the body of one thing, or None."""
        query = "SELECT body FROM things WHERE kind = ? AND parent = ? AND id = ?"
        row = self._db.execute(query, (kind, parent, key)).fetchone()
        return json.loads(row[0]) if row else None

    def each(self, kind: str, parent: str | None = "", status: str | None = None) -> Iterator[Body]:
        """Yield bodies in the order in which the things were made; `parent=None` means of all parents."""
        for _seq, body in self._rows(kind, parent, status, after=0):
            yield body

    def page(
        self,
        kind: str,
        parent: str | None = "",
        *,
        limit: int,
        token: str | None = None,
        status: str | None = None,
        equal: Mapping[str, str] | None = None,
        keep: Callable[[Body], bool] = lambda _body: True,
        newest_first: bool = False,
    ) -> tuple[list[Body], str | None]:
        """Return up to `limit` bodies after the one that `token` names, and the next token or None.

        Args:
            kind, parent, status: What is listed; the status is looked up by index.
            limit: At least 1.
            token: As returned before.
            equal: Members of the body and the text that each must be; cheaper than `keep`.
            keep: Which bodies are listed.
            newest_first: Lists what was made last first.
        """
        found: list[Body] = []
        last = int(token or 0)
        for seq, body in self._rows(kind, parent, status, last, equal or {}, newest_first=newest_first):
            if not keep(body):
                continue
            if len(found) == limit:
                return found, str(last)
            found.append(body)
            last = seq
        return found, None

    def count(self, kind: str, parent: str | None = "", status: str | None = None) -> int:
        """Return how many things there are."""
        where, values = _where(kind, parent, status)
        return int(self._db.execute(f"SELECT count(*) FROM things WHERE {where}", values).fetchone()[0])  # noqa: S608

    def has(self, kind: str, parent: str, status: str) -> bool:
        """Return whether there is any such thing; however many there are, it reads one."""
        query = "SELECT 1 FROM things WHERE kind = ? AND parent = ? AND status = ? LIMIT 1"
        return self._db.execute(query, (kind, parent, status)).fetchone() is not None

    def first_ids(self, kind: str, limit: int) -> list[str]:
        """Return the ids of the things of a kind that were made first, without a parent, at most so many."""
        query = "SELECT id FROM things WHERE kind = ? AND parent = '' ORDER BY seq LIMIT ?"
        return [row[0] for row in self._db.execute(query, (kind, limit))]

    def answered(self, operation: str, token: str) -> tuple[str, Body] | None:
        """Return the digest of the request and the answer that were given for an idempotency token, or None."""
        query = "SELECT digest, answer FROM tokens WHERE operation = ? AND token = ?"
        row = self._db.execute(query, (operation, token)).fetchone()
        return (row[0], json.loads(row[1])) if row else None

    def _rows(
        self,
        kind: str,
        parent: str | None,
        status: str | None,
        after: int,
        equal: Mapping[str, str] = NOTHING,
        *,
        newest_first: bool = False,
    ) -> Iterator[tuple[int, Body]]:
        where, values = _where(kind, parent, status)
        for member, text in equal.items():
            where += " AND json_extract(body, ?) = ?"
            values += (f"$.{member}", text)
        past, order = ("<", "DESC") if newest_first else (">", "ASC")
        if newest_first and not after:
            after = LAST
        query = f"SELECT seq, body FROM things WHERE {where} AND seq {past} ? ORDER BY seq {order}"  # noqa: S608 (our words)
        for seq, body in self._db.execute(query, (*values, after)):
            yield seq, json.loads(body)


def _where(kind: str, parent: str | None, status: str | None) -> tuple[str, tuple[str, ...]]:
    parts, values = ["kind = ?"], [kind]
    if parent is not None:
        parts.append("parent = ?")
        values.append(parent)
    if status is not None:
        parts.append("status = ?")
        values.append(status)
    return " AND ".join(parts), tuple(values)


class Transaction(Snapshot):
    """Reading and writing within one transaction."""

    def put(self, kind: str, key: str, body: Body, parent: str = "") -> None:
        """Write a thing, new or changed; its `status` member, if any, can be listed by."""
        self._db.execute(
            "INSERT INTO things (kind, id, parent, status, body) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (kind, parent, id) DO UPDATE SET status = excluded.status, body = excluded.body",
            (kind, key, parent, body.get("status"), json.dumps(body)),
        )

    def delete(self, kind: str, key: str, parent: str = "") -> None:
        """Remove a thing; one that is not there is no error."""
        self._db.execute("DELETE FROM things WHERE kind = ? AND parent = ? AND id = ?", (kind, parent, key))

    def next_number(self, kind: str, first: int = 1) -> int:
        """Return the next number of this kind, counting from `first`."""
        query = (
            "INSERT INTO counters (kind, last) VALUES (?, ?) "
            "ON CONFLICT (kind) DO UPDATE SET last = last + 1 RETURNING last"
        )
        return int(self._db.execute(query, (kind, first)).fetchone()[0])

    def remember(self, operation: str, token: str, digest: str, answer: Body) -> None:
        """Keep the answer to a request with an idempotency token."""
        self._db.execute("INSERT INTO tokens VALUES (?, ?, ?, ?)", (operation, token, digest, json.dumps(answer)))


class State:
    """The state file; any thread may use it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._local = threading.local()
        self._writing = threading.Lock()
        with self._connect() as db:
            db.executescript(SCHEMA)

    @contextmanager
    def read(self) -> Iterator[Snapshot]:
        """Open a transaction that sees one moment; do not write inside it."""
        db = self._connection()
        db.execute("BEGIN")
        try:
            yield Snapshot(db)
        finally:
            db.execute("COMMIT")

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Open a transaction that is durable when the block ends, and undone when it raises."""
        with self._writing:
            db = self._connection()
            db.execute("BEGIN IMMEDIATE")
            try:
                yield Transaction(db)
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    def _connection(self) -> sqlite3.Connection:
        if not hasattr(self._local, "db"):
            self._local.db = self._connect()
        connection: sqlite3.Connection = self._local.db
        return connection

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._file, timeout=30, isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        return db
