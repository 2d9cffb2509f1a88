"""The metadata store is durable, has one writer at a time, and is what the migrations make."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from sqlalchemy import text

from labrelay.model.errors import Busy, StorageFailed, UsageError
from labrelay.model.files import FileRef
from labrelay.records import database as database_module
from labrelay.records import intake, migrate
from labrelay.records.database import Database
from labrelay.records.metadata import TABLES
from labrelay.records.schema import LinkRow
from labrelay.records.sqlite import sqlite_url


@pytest.fixture
def db(tmp_path: Path) -> Database:
    made = Database(sqlite_url(tmp_path / "records.sqlite"))
    made.ensure()
    return made


def link(name: str) -> LinkRow:
    return LinkRow(entity_id=name, system="eln", external_id="1", at="now")


def test_the_migrations_make_exactly_the_tables_of_the_schema(db: Database) -> None:
    with db.engine.connect() as connection:
        assert compare_metadata(migrate.compared(connection), TABLES) == []


def test_committed_rows_survive_power_cuts_because_of_these_settings(db: Database) -> None:
    with db.engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2  # FULL
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1


def test_the_rows_of_a_thousand_files_are_written_without_a_journal_on_disk_for_each(db: Database) -> None:
    io = Path("/proc/self/io")
    if not io.is_file():
        pytest.skip("how often a process writes is told by Linux only")
    hashes = [f"{number * 7919:064x}" for number in range(1000)]
    files = [FileRef(storage="objects", key=f"a/{h}", version=h, sha256=h, size=1) for h in hashes]

    def writes() -> int:
        return int(next(line.split()[1] for line in io.read_text().splitlines() if line.startswith("syscw")))

    before = writes()
    with db.write() as session:
        intake.add_files(session, [(ref, "image", None) for ref in files])
    assert writes() - before < 4 * len(files)  # with a journal on disk it is 11 a file

    with db.read() as session:
        assert session.execute(text("SELECT DISTINCT stats FROM file")).scalars().all() == ["null"]


def test_an_error_in_a_transaction_writes_nothing(db: Database) -> None:
    def fail_half_way() -> None:
        with db.write() as session:
            session.add(link("a"))
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    with db.read() as session:
        assert session.query(LinkRow).count() == 0


def test_a_second_writer_waits_and_is_then_told_in_one_sentence(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_SECONDS", 0)
    impatient = Database(sqlite_url(tmp_path / "records.sqlite"))
    with db.write(), pytest.raises(Busy, match="run the command again"), impatient.write():
        pytest.fail("two writers at once")


def test_a_newer_database_is_refused_and_not_touched(db: Database) -> None:
    with db.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(UsageError, match="newer than this Labrelay"):
        db.ensure()


def test_a_killed_writer_leaves_what_it_committed_and_no_more(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from labrelay.records.database import Database
from labrelay.records.sqlite import sqlite_url
from labrelay.records.schema import LinkRow
db = Database(sys.argv[1]); db.ensure()
with db.write() as s: s.add(LinkRow(entity_id="kept", system="eln", external_id="1", at="now"))
with db.write() as s:
    s.add(LinkRow(entity_id="lost", system="eln", external_id="1", at="now")); s.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    url = sqlite_url(tmp_path / "records.sqlite")
    done = subprocess.run([sys.executable, "-c", code, url], check=False)
    assert done.returncode == -signal.SIGKILL
    with Database(url).read() as session:
        assert [row.entity_id for row in session.query(LinkRow)] == ["kept"]


def test_a_full_disk_is_said_and_nothing_half_written_stays(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "records.sqlite")
    Database(url).ensure()
    pid = os.fork()
    if pid == 0:  # a child, because the limit cannot be lifted again
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        size = (tmp_path / "records.sqlite").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 8192, size + 8192))
        try:
            with Database(url).write() as session:
                session.add_all(link(f"{number}" * 24) for number in range(9))
                session.add_all(link(f"x{number:05}{'y' * 900}") for number in range(500))
        except StorageFailed:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    with Database(url).read() as session:
        assert session.query(LinkRow).count() == 0
        assert session.execute(text("PRAGMA integrity_check")).scalar() == "ok"


@pytest.mark.parametrize("content", [b"this is no database" * 400, None])
def test_a_damaged_file_is_said_with_what_to_do(db: Database, content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "damaged.sqlite"
    db.close()
    raw = bytearray(Path(str(db.engine.url.database)).read_bytes())
    raw[4096 * 2 :] = b"\xff" * (len(raw) - 4096 * 2)
    path.write_bytes(content or bytes(raw))
    damaged = Database(sqlite_url(path))
    with pytest.raises(StorageFailed, match="restore it from a backup"):
        look_at(damaged)


def look_at(db: Database) -> None:
    db.version()
    with db.read() as session:
        session.query(LinkRow).count()
