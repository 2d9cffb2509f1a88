"""`labrelay db`: bring the metadata store up to date, back it up, look whether it is sound, move it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from labrelay.cli.show import emit, json_option, table, wants_json

if TYPE_CHECKING:
    from labrelay.records.database import Database


@click.group()
def db() -> None:
    """The metadata store: what this home knows."""


def _opened() -> Database:
    from labrelay.records.database import Database
    from labrelay.steps.home import database_url
    from labrelay.steps.settings import find_home, load_settings

    home = find_home(click.get_current_context().find_root().obj["home"])
    return Database(database_url(home, load_settings(home)))


@db.command()
@json_option
def upgrade() -> None:
    """Bring the tables to this program's revision; every command does so by itself.

    It is one transaction: interrupted, it has changed nothing.
    """
    records = _opened()
    before = records.version()
    records.ensure()
    after = records.version()
    if wants_json():
        emit({"before": before, "after": after})
    elif before == after:
        click.echo(f"the metadata store is at revision {after} already")
    else:
        click.echo(f"the metadata store was at revision {before or 'none'} and is at {after} now")


@db.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@json_option
def backup(file: Path) -> None:
    """Write the whole metadata store into FILE, while others go on working.

    SQLite: FILE is a database; to restore it, stop everything and put it in place of labrelay.sqlite, without the
    -wal and -shm files beside that. PostgreSQL: a dump for pg_restore.
    """
    from labrelay.records.backup import backup as write_backup

    size = write_backup(_opened(), file)
    if wants_json():
        emit({"file": str(file), "bytes": size})
    else:
        click.echo(f"{file}: {size:,} bytes")


@db.command()
@json_option
def check() -> int:
    """Look whether the store is sound: file, tables, references between rows, audit trail. Exit code 1 if not."""
    from labrelay.records.soundness import look

    verdicts = list(look(_opened(), thorough=True))
    if wants_json():
        emit([verdict.model_dump() for verdict in verdicts])
    else:
        rows = [["BROKEN" if v.fix else "ok", v.what, v.said, v.fix or ""] for v in verdicts]
        table(["", "what", "found", "do"], rows, "nothing was looked at")
    return 1 if any(verdict.fix for verdict in verdicts) else 0


@db.command()
@click.argument("url")
@json_option
def copy(url: str) -> None:
    """Copy everything into the empty database at URL, such as postgresql://lab@server/labrelay.

    Stop what works on this home first, then copy, then write `database_url` into labrelay.toml.
    """
    from labrelay.records.copying import copy_into
    from labrelay.records.database import Database

    copied = copy_into(_opened(), Database(url))
    if wants_json():
        emit(copied)
    else:
        click.echo(f"{sum(copied.values()):,} rows of {len(copied)} tables were copied, and the audit trail verifies")
        click.echo("now write the database_url into labrelay.toml")
