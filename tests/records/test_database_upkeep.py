"""Backups open again with everything in them, copies are whole, and what was tampered with is found."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import seed
from postgres import Cluster, binaries
from sqlalchemy import func, select

from labrelay.model.errors import Conflict, StorageFailed, UsageError
from labrelay.records import copying, soundness
from labrelay.records.backup import backup
from labrelay.records.copying import copy_into
from labrelay.records.database import Database
from labrelay.records.metadata import TABLES
from labrelay.records.schema import LinkRow, OutboxRow
from labrelay.records.search_schema import DERIVED
from labrelay.records.sqlite import sqlite_url


@pytest.fixture
def full(db: Database) -> Database:
    """A store with a little of everything that the main job writes."""
    seed.seed(db, 3, outputs=2)
    return db


def counts(db: Database) -> dict[str, int]:
    with db.read() as session:
        tables = [table for table in TABLES.sorted_tables if table.name not in DERIVED]
        return {table.name: session.scalar(select(func.count()).select_from(table)) or 0 for table in tables}


def bad(db: Database) -> list[str]:
    return [f"{found.what}: {found.said}" for found in soundness.look(db, thorough=True) if found.fix]


def restored(db: Database, file: Path, cluster: Cluster) -> Database:
    """Open a backup as docs/records.md says."""
    if db.engine.dialect.name == "sqlite":
        return Database(sqlite_url(file))
    name = cluster.create()
    place = binaries()
    assert place
    command = [place / "pg_restore", "--no-owner", "--exit-on-error", f"--dbname={cluster.url(name)}", file]
    subprocess.run(command, check=True)
    return Database(cluster.url(name))


@pytest.fixture
def any_cluster(request: pytest.FixtureRequest, db: Database) -> Cluster | None:
    return request.getfixturevalue("cluster") if db.engine.dialect.name == "postgresql" else None


def test_a_backup_made_while_others_write_holds_all_that_was_there_and_is_sound(
    full: Database, tmp_path: Path, any_cluster: Cluster
) -> None:
    before, stop = counts(full), threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            with full.write() as session:
                seed.audit_something(session, f"run_{number}")

    writer = threading.Thread(target=write)
    writer.start()
    size = backup(full, tmp_path / "labrelay.backup")
    stop.set()
    writer.join()
    assert size == (tmp_path / "labrelay.backup").stat().st_size
    copy = restored(full, tmp_path / "labrelay.backup", any_cluster)
    assert bad(copy) == []
    found = counts(copy)
    assert {name: n for name, n in found.items() if n < before[name]} == {}
    assert sum(before.values()) > 30
    copy.close()
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_a_backup_of_a_file_ends_however_busy_another_process_is(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "busy.sqlite")
    db = Database(url)
    db.ensure()
    with db.write() as session:
        session.add_all(LinkRow(entity_id=f"e{n}", system="s" * 4000, external_id="1", at="t") for n in range(3000))
    code = """
        import sys, time
        from labrelay.records.database import Database
        from labrelay.records.schema import LinkRow
        db = Database(sys.argv[1])
        for n in range(100_000):
            with db.write() as s: s.add(LinkRow(entity_id=f"w{n}", system="w", external_id="1", at="t"))
            if n == 0: print("writing", flush=True)
            time.sleep(0.005)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == "writing\n"
        done = threading.Thread(target=backup, args=(db, tmp_path / "copy.sqlite"), daemon=True)
        done.start()
        done.join(30)
        assert writer.poll() is None
        writer.kill()
    assert not done.is_alive()
    assert counts(Database(sqlite_url(tmp_path / "copy.sqlite")))["link"] >= 3000


def test_a_backup_replaces_nothing_and_needs_something_to_back_up(
    full: Database, tmp_path: Path, new_url: Callable[[Path], str]
) -> None:
    (tmp_path / "there").write_text("mine")
    with pytest.raises(Conflict, match="replaces nothing"):
        backup(full, tmp_path / "there")
    assert (tmp_path / "there").read_text() == "mine"
    with pytest.raises(UsageError, match="there is no folder"):
        backup(full, tmp_path / "no" / "such")
    with pytest.raises(UsageError, match="nothing to back up yet"):
        backup(Database(sqlite_url(tmp_path / "new.sqlite")), tmp_path / "b")


def test_a_store_is_copied_whole_and_goes_on_where_it_was(full: Database, tmp_path: Path, cluster: Cluster) -> None:
    """From each kind to the other one."""
    to_postgres = full.engine.dialect.name == "sqlite"
    target = Database(cluster.url(cluster.create()) if to_postgres else sqlite_url(tmp_path / "copy.sqlite"))
    copied = copy_into(full, target)
    assert {**counts(full)} == counts(target) == copied
    assert bad(target) == []
    for db in (full, target):
        with db.write() as session:
            seed.audit_something(session, "run_next")
            session.add(OutboxRow(dedup_key="next", channel="eln", entity_id="e", kind="k", payload={}, state="pending",
                                  tries=0, not_before="t", created_at="t"))  # fmt: skip
            session.flush()
    with full.read() as one, target.read() as other:
        newest = select(func.max(OutboxRow.id))
        assert one.scalar(newest) == other.scalar(newest)
    with pytest.raises(Conflict, match="has rows already"):
        copy_into(full, target)
    target.close()


def test_a_copy_that_is_interrupted_has_changed_nothing(
    full: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Database(sqlite_url(tmp_path / "copy.sqlite"))
    monkeypatch.setattr(copying.audit, "broken_links", lambda _session: iter(["audit row 2 was changed"]))
    with pytest.raises(StorageFailed, match="audit row 2 was changed"):
        copy_into(full, target)
    assert set(counts(target).values()) == {0}
    target.close()


def test_a_sound_store_is_said_to_be_sound(full: Database) -> None:
    found = list(soundness.look(full, thorough=True))
    assert [each.what for each in found] == ["records", "tables", "references", "audit trail"]
    assert [each for each in found if each.fix] == []


def test_missing_tables_and_rows_that_others_name_are_found(full: Database, request: pytest.FixtureRequest) -> None:
    name = full.engine.url.database
    if full.engine.dialect.name == "sqlite":
        with sqlite3.connect(str(name)) as by_hand:
            by_hand.executescript("DELETE FROM sample; DROP TABLE link")
    else:
        cluster: Cluster = request.getfixturevalue("cluster")
        cluster.execute("SET session_replication_role = replica; DELETE FROM sample; DROP TABLE link", str(name))
    said = " ".join(bad(full))
    assert "3 of dataset.sample_id" in said
    assert "link" in said.partition("references")[0]


def test_a_damaged_file_is_a_finding_and_no_backup_of_it_is_made(full: Database, tmp_path: Path) -> None:
    if full.engine.dialect.name != "sqlite":
        return
    full.close()
    raw = bytearray(Path(str(full.engine.url.database)).read_bytes())
    raw[4096 * 20 : 4096 * 40] = b"\xff" * 4096 * 20
    (tmp_path / "damaged.sqlite").write_bytes(raw)
    (tmp_path / "no-database.sqlite").write_text("hello")
    for name in ("damaged", "no-database"):
        db = Database(sqlite_url(tmp_path / f"{name}.sqlite"))
        assert [found.fix for found in soundness.look(db, thorough=True)] == ["restore a backup"]
        with pytest.raises(StorageFailed) as refused:
            backup(db, tmp_path / "copy")
        assert "\n" not in str(refused.value)
        assert not (tmp_path / "copy").exists()


def test_an_account_without_rights_is_told_so(cluster: Cluster) -> None:
    name = cluster.create()
    cluster.execute("CREATE ROLE stranger LOGIN", name)
    db = Database(cluster.url(name).replace("lab@", "stranger@"))
    with pytest.raises(UsageError, match="it has to own the database"):
        db.ensure()
    db.close()
    cluster.execute(f"DROP DATABASE {name}")
    cluster.execute("DROP ROLE stranger")
