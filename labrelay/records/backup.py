"""A copy of the metadata store in one file, made while others go on writing, complete or not there at all."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from sqlalchemy.engine import make_url

from labrelay.model.errors import Conflict, MissingTool, StorageFailed, UsageError
from labrelay.records.database import Database
from labrelay.stores.durable import fsync_dir, storage_errors

TEMP = ".part"


def backup(db: Database, path: Path) -> int:
    """Write a backup and return its size in bytes. Cost: one pass over the store, constant memory.

    SQLite: a database file that opens as it is. PostgreSQL: a dump in the custom format of pg_dump, for pg_restore.

    Raises:
        Conflict: There is a file of this name; a backup never replaces one.
        UsageError: There are no tables yet, or the folder is missing.
        MissingTool: The store is on PostgreSQL and there is no pg_dump here.
        StorageFailed: The disk did not take it, or the copy is not sound.
    """
    if path.exists():
        raise Conflict(f"{path} is there already: a backup replaces nothing, name another file")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent} for the backup: make it first")
    if db.version() is None:
        raise UsageError("the metadata store is empty: there is nothing to back up yet")
    part = path.with_name(path.name + TEMP)
    part.unlink(missing_ok=True)
    try:
        with storage_errors(f"write the backup {path.name}", path.parent):
            (_of_sqlite if db.engine.dialect.name == "sqlite" else _of_postgres)(db, part)
            with part.open("rb") as written:
                os.fsync(written.fileno())
            part.rename(path)
            fsync_dir(path.parent)
    finally:
        part.unlink(missing_ok=True)
    return path.stat().st_size


def _of_sqlite(db: Database, part: Path) -> None:
    with closing(sqlite3.connect(str(db.engine.url.database))) as source:
        try:
            found = _copied(source, part)
        except sqlite3.Error as error:
            said = str(error).splitlines()[0]
            raise StorageFailed(
                f"the backup could not be made ({said}): free space or mend the rights, then repeat"
            ) from error
    if found != "ok":
        said = found.splitlines()[0]
        raise StorageFailed(f"the metadata store itself is damaged ({said}): restore an older backup")


def _copied(source: sqlite3.Connection, part: Path) -> str:
    """Copy the database and return what SQLite finds wrong with the copy, or `ok`."""
    with closing(sqlite3.connect(part)) as copy:
        # In one step: a reader of the WAL blocks no writer, and a copy in steps begins anew with each commit of others.
        source.backup(copy)
        # A copy in WAL mode would be two files; the program that opens it turns WAL on again.
        copy.execute("PRAGMA journal_mode=DELETE")
        return str(copy.execute("PRAGMA quick_check(1)").fetchone()[0])


def _of_postgres(db: Database, part: Path) -> None:
    if shutil.which("pg_dump") is None:
        raise MissingTool("a backup of PostgreSQL needs its program pg_dump here (Debian: postgresql-client)")
    url = make_url(db.engine.url).set(drivername="postgresql")
    password = url.password
    # libpq's own spelling; the password goes by the environment, because anybody may read the list of processes
    address = url._replace(password=None).render_as_string()
    environment = {**os.environ, **({"PGPASSWORD": str(password)} if password else {})}
    command = ["pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={part}", f"--dbname={address}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["it says nothing"])[0]
        raise StorageFailed(f"pg_dump could not make the backup ({said}): mend that and repeat the command")
