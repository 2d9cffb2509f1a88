"""What only PostgreSQL does: servers that go, connections that break, writers that sleep, languages with an order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import seed
from cutting_proxy import CuttingProxy
from postgres import Cluster
from sqlalchemy import insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from labrelay.model.errors import Busy, MissingTool, StorageFailed, UsageError
from labrelay.model.experiment import Experiment, Sample
from labrelay.records import audit, experiments, postgres, runs, search_index
from labrelay.records import database as database_module
from labrelay.records.database import Database
from labrelay.records.schema import AttemptRow, LinkRow, WorkflowRunRow
from labrelay.records.search import search


@pytest.fixture
def url(cluster: Cluster) -> str:
    return cluster.url(cluster.create("empty"))


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    made = Database(url)
    yield made
    made.close()


def link(name: str) -> LinkRow:
    return LinkRow(entity_id=name, system="eln", external_id="1", at="now")


def names(db: Database) -> list[str]:
    with db.read() as session:
        return list(session.scalars(select(LinkRow.entity_id).order_by(LinkRow.entity_id)))


def test_texts_sort_by_their_bytes_whatever_language_the_database_speaks(cluster: Cluster) -> None:
    cluster.execute("CREATE DATABASE german TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de'")
    db = Database(cluster.url("german"))
    db.ensure()
    with db.write() as session:
        session.add_all([link("run_a"), link("RUN_B"), link("run-c"), link("ä")])
    assert names(db) == ["RUN_B", "run-c", "run_a", "ä"]
    db.close()


def test_what_is_not_ours_in_the_same_schema_stays_as_it_is(cluster: Cluster) -> None:
    name = cluster.create()
    cluster.execute("CREATE TABLE other_app (note text); CREATE VIEW lab_notes AS SELECT note FROM other_app", name)
    db = Database(cluster.url(name))
    db.ensure()
    query = "SELECT collation_name FROM information_schema.columns WHERE table_name = 'other_app'"
    with db.read() as session:
        assert session.scalar(text(query)) is None
    db.close()


def test_writers_queue_whatever_isolation_the_server_begins_with(cluster: Cluster) -> None:
    name = cluster.create("empty")
    cluster.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
    stores = [Database(cluster.url(name)) for _ in range(3)]

    def write(db: Database) -> None:
        for number in range(10):
            with db.write() as session:
                seed.audit_something(session, f"run_{number}")

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, stores))
    with stores[0].read() as session:
        assert (audit.count(session), list(audit.broken_links(session))) == (30, [])
    for each in stores:
        each.close()


def test_a_value_that_no_column_takes_is_no_fault_of_the_server(db: Database) -> None:
    with pytest.raises(UsageError, match="does not take a value"), db.write() as session:
        session.execute(insert(LinkRow), {"entity_id": "a\x00b", "system": "s", "external_id": "1", "at": "t"})


def test_a_reader_sees_one_state_however_much_is_written_meanwhile(db: Database) -> None:
    with db.read() as session:
        count = session.query(LinkRow).count()
        with db.write() as other:
            other.add(link("new"))
        assert session.query(LinkRow).count() == count == 0
    assert names(db) == ["new"]


def test_a_second_writer_waits_and_is_then_told_in_one_sentence(
    db: Database, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_SECONDS", 0)
    impatient = Database(url)
    with db.write(), pytest.raises(Busy, match="run the command again"), impatient.write():
        pytest.fail("two writers at once")
    impatient.close()


def test_a_killed_writer_leaves_what_it_committed_and_no_more(url: str, db: Database) -> None:
    code = """
        import os, signal, sys
        from labrelay.records.database import Database
        from labrelay.records.schema import LinkRow
        db = Database(sys.argv[1])
        with db.write() as s: s.add(LinkRow(entity_id="kept", system="eln", external_id="1", at="now"))
        with db.write() as s:
            s.add(LinkRow(entity_id="lost", system="eln", external_id="1", at="now")); s.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), url], check=False)
    assert done.returncode == -signal.SIGKILL
    with db.write() as session:  # its lock went with it
        session.add(link("next"))
    assert names(db) == ["kept", "next"]


def test_a_writer_asleep_in_mid_transaction_is_not_waited_for_and_can_commit_nothing_later(
    url: str, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "IDLE_SECONDS", 1)
    sleeper = Database(url)

    def write_late() -> None:
        with sleeper.write() as session:
            session.add(link("late"))
            session.flush()
            with db.write() as other:  # waits until the server has ended the sleeper's transaction
                other.add(link("awake"))

    with pytest.raises(StorageFailed, match="either there whole or not at all"):
        write_late()
    assert names(db) == ["awake"]
    sleeper.close()


def test_a_server_that_goes_in_mid_transaction_is_said_and_the_same_store_works_when_it_is_back() -> None:
    own = Cluster(durable=True)
    try:
        db = Database(own.url(own.create()))
        db.ensure()
        with db.write() as session:
            session.add(link("before"))

        def write_while_it_goes() -> None:
            with db.write() as session:
                session.add(link("during"))
                session.flush()
                own.halt()

        with pytest.raises(StorageFailed, match="see that its server runs and repeat the command"):
            write_while_it_goes()
        with pytest.raises(StorageFailed, match="does not answer"), db.read() as session:
            session.query(LinkRow).count()
        own.start()
        assert names(db) == ["before"]
        db.close()
    finally:
        own.stop()


def test_a_commit_whose_answer_was_lost_is_settled_by_doing_it_again(cluster: Cluster) -> None:
    proxy = CuttingProxy(cluster.port)
    name = cluster.create("empty")
    db = Database(cluster.tcp_url(name, proxy.port))
    experiment, sample = Experiment(name="exp"), Sample(experiment_id=Experiment(name="exp").id, name="A")
    intent = seed.intent_of(experiment, sample, [])

    def intend() -> None:
        with db.write() as session:
            experiments.announce(session, experiment, [sample], correct=False)
            runs.publish(session, intent.workflow, "x", {})
            runs.intend(session, intent)
            proxy.cut = None if proxy.cuts else b"COMMIT"

    with pytest.raises(StorageFailed, match="broke off"):
        intend()
    assert proxy.cuts == 1
    direct = Database(cluster.url(name))
    limit = time.monotonic() + 10
    while not _count(direct, WorkflowRunRow) and time.monotonic() < limit:
        time.sleep(0.02)  # the server commits what it was sent, in its own time
    intend()
    assert (_count(direct, WorkflowRunRow), _count(direct, AttemptRow)) == (1, 1)
    for each in (db, direct):
        each.close()
    proxy.close()


def _count(db: Database, table: type[WorkflowRunRow | AttemptRow]) -> int:
    with db.read() as session:
        return session.query(table).count()


def test_what_it_refuses_us_for_is_the_users_to_mend(cluster: Cluster, tmp_path: Path) -> None:
    for wrong in (cluster.url("nowhere"), cluster.url("empty").replace("lab@", "nobody@")):
        db = Database(wrong)
        with pytest.raises(UsageError, match=r"refuses us \(.*mend its URL"):
            db.version()
    db = Database(f"postgresql://lab@/empty?host={tmp_path}")
    with pytest.raises(StorageFailed, match="does not answer"):
        db.version()


@pytest.mark.parametrize("url", ["mysql://lab@server/x", "oracle://x", "nonsense", ""])
def test_another_database_is_refused_by_name(url: str) -> None:
    with pytest.raises(UsageError, match="postgresql://USER:PASSWORD@HOST/DATABASE or sqlite:///FILE"):
        Database(url)


def test_all_spellings_of_the_url_mean_the_same() -> None:
    spellings = ("postgres://u:p@h/d", "postgresql://u:p@h/d", "postgresql+psycopg://u:p@h/d")
    assert {postgres.driver_url(url).render_as_string(hide_password=False) for url in spellings} == {spellings[2]}


def test_the_missing_client_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingTool, match=r"pip install 'labrelay\[postgres\]'"):
        Database("postgresql://lab@server/labrelay")


def test_what_somebody_changes_past_us_while_we_index_is_indexed_by_the_next_writer(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.ensure()
    seed.seed(db, 2, outputs=1)
    index = search_index._index
    with db.engine.connect() as by_hand:  # as in psql, without the lock of writers
        by_hand.execute(text("UPDATE sample SET subject = 'Zebedee' WHERE name = 'SMP00000'"))

        def commit_meanwhile(session: Session, ids: Sequence[str]) -> None:
            index(session, ids)
            by_hand.commit()

        monkeypatch.setattr(search_index, "_index", commit_meanwhile)
        with db.write() as session:
            session.execute(text("UPDATE sample SET subject = 'Dougal' WHERE name = 'SMP00001'"))
        monkeypatch.undo()
    with db.write() as session:
        session.add(link("x"))
    with db.read() as session:
        assert [search(session, name).totals["sample"] for name in ("dougal", "zebedee")] == [1, 1]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("53100", StorageFailed),
        ("25006", StorageFailed),
        ("53300", Busy),
        ("57P01", StorageFailed),
        ("28P01", UsageError),
    ],
)
def test_codes_of_the_server_are_sentences(code: str, kind: type[Exception]) -> None:
    said = Exception("could not extend file: No space left on device")
    said.sqlstate = code  # type: ignore[attr-defined]
    told = postgres.explain(DBAPIError("", {}, said), 30)
    assert type(told) is kind
    assert "No space left on device" in str(told)


def test_other_errors_of_the_server_are_bugs_and_pass(db: Database) -> None:
    with pytest.raises(DBAPIError, match="no_such_table"), db.read() as session:
        session.execute(text("SELECT * FROM no_such_table"))


def test_nobody_else_can_read_a_password_in_the_list_of_processes(
    cluster: Cluster, db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from labrelay.records.backup import backup

    program = tmp_path / "pg_dump"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/said; echo "$PGPASSWORD" > {tmp_path}/password; exit 3\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    name = db.engine.url.database
    with_password = Database(f"postgresql://lab:s3cret@127.0.0.1:{cluster.port}/{name}")
    with pytest.raises(StorageFailed, match="pg_dump could not make the backup"):
        backup(with_password, tmp_path / "b.dump")
    assert "s3cret" not in (tmp_path / "said").read_text()
    assert (tmp_path / "password").read_text() == "s3cret\n"
    assert not (tmp_path / "b.dump").exists()
    with_password.close()
