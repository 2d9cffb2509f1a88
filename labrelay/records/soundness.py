"""Is the metadata store as it should be? Its file, tables, references and audit trail are only read."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import text

from labrelay.model.errors import LabrelayError
from labrelay.model.problem import Frozen
from labrelay.model.words import counted
from labrelay.records import audit, audit_guards
from labrelay.records.database import HEAD, Database


class Verdict(Frozen):
    """What one look found.

    Attributes:
        what: `records`, `tables`, `references`, `audit triggers` or `audit trail`.
        said: One sentence.
        fix: What to do, when it is not as it should be; None when it is.
    """

    what: str
    said: str
    fix: str | None = None
    waits: bool = False  # not wrong: the next command puts it right by itself


def look(db: Database, *, thorough: bool = False) -> Iterator[Verdict]:
    """Yield what there is to say. Cost: one pass over the audit trail; `thorough` reads the whole store."""
    try:
        yield from _look(db, thorough=thorough)
    except LabrelayError as error:
        on_file = db.engine.dialect.name == "sqlite"
        fix = "restore a backup" if on_file else "look after the server, and our URL, password and rights"
        yield Verdict(what="records", said=str(error).splitlines()[0], fix=fix)


def _look(db: Database, *, thorough: bool) -> Iterator[Verdict]:
    found = db.version()
    if found is None or found < HEAD:
        said = f"revision {found or 'none'}; the next command brings it to {HEAD}"
        yield Verdict(what="records", said=said, waits=True)
        return
    if found > HEAD:
        said = f"revision {found} is newer than this Labrelay knows ({HEAD})"
        yield Verdict(what="records", said=said, fix="update Labrelay")
        return
    damaged = damage(db, thorough=thorough)
    if damaged:
        yield Verdict(what="records", said=f"the database file is damaged: {damaged}", fix="restore a backup")
        return
    where = "the file is sound" if db.engine.dialect.name == "sqlite" else "PostgreSQL"
    yield Verdict(what="records", said=f"revision {found}, {where}")
    if thorough:
        yield from _structure(db)
    with db.read() as session:
        unguarded = audit_guards.missing(session.connection())
        broken = next(audit.broken_links(session), None)
        count = audit.count(session)
    if unguarded:
        said = f"nothing refuses a change any more: {', '.join(unguarded)} were removed or changed"
        fix = "the next command makes them again, on record; ask who removed them"
        yield Verdict(what="audit triggers", said=said, fix=fix)
    if broken is not None:
        said = f"{broken}: somebody has changed the records by hand"
        yield Verdict(what="audit trail", said=said, fix="labrelay audit verify")
    else:
        yield Verdict(what="audit trail", said=f"{counted(count, 'entry', 'entries')}, unbroken")


def damage(db: Database, *, thorough: bool) -> str | None:
    """Return what SQLite finds wrong with its file; PostgreSQL looks after its own."""
    if db.engine.dialect.name != "sqlite":
        return None
    pragma = "integrity_check" if thorough else "quick_check"
    with db.read() as session:
        said = [row[0] for row in session.execute(text(f"PRAGMA {pragma}(5)"))]
    return None if said == ["ok"] else "; ".join(said)


def _structure(db: Database) -> Iterator[Verdict]:
    from labrelay.records import migrate

    with db.explained(), db.engine.connect() as connection:
        differing = migrate.differences(connection)
        dangling = migrate.dangling(connection)
    if differing:
        yield Verdict(
            what="tables", said=f"they differ from those of revision {HEAD}: {differing}", fix="restore a backup"
        )
    else:
        yield Verdict(what="tables", said=f"as revision {HEAD} makes them")
    if dangling:
        yield Verdict(
            what="references", said=f"rows name others that are not there: {dangling}", fix="restore a backup"
        )
    else:
        yield Verdict(what="references", said="every row finds the rows that it names")
