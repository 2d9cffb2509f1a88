"""Databases that earlier releases wrote open, are brought up to date, and say what they said."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres import Cluster
from sqlalchemy import MetaData, insert, select

from labrelay.records import audit, migrate
from labrelay.records.database import HEAD, Database
from labrelay.records.lineage import lineage
from labrelay.records.schema import FileRow, SampleRow, WorkflowRunRow
from labrelay.records.search import search
from labrelay.records.sqlite import sqlite_url

WRITTEN = sorted((Path(__file__).parents[1] / "data" / "databases").glob("*.sqlite.gz"))


@pytest.fixture(params=["sqlite", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=WRITTEN, ids=lambda path: path.name.split(".")[0])
def db(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> Iterator[Database]:
    path = tmp_path / "labrelay.sqlite"
    path.write_bytes(gzip.decompress(request.param.read_bytes()))
    opened = Database(sqlite_url(path))
    if kind == "postgres":
        opened = moved(opened, Database(request.getfixturevalue("cluster").url(new_database(request))))
    opened.ensure()
    yield opened
    opened.close()


def new_database(request: pytest.FixtureRequest) -> str:
    cluster: Cluster = request.getfixturevalue("cluster")
    return cluster.create()


def moved(old: Database, new: Database) -> Database:
    """Return a store on PostgreSQL as a release of that revision would have left it: its tables, then its rows."""
    revision = old.version()
    assert revision is not None
    migrate.upgrade(new.engine, revision)
    tables = MetaData()
    tables.reflect(old.engine)
    names = [name for name in tables.tables if name != "alembic_version" and not name.startswith("search_")]
    with old.engine.connect() as source, new.engine.connect() as target, target.begin():
        for table in (each for each in tables.sorted_tables if each.name in names):
            order = table.c.seq if table.name == "audit_event" else table.primary_key.columns[0]
            rows = [dict(row) for row in source.execute(select(table).order_by(order)).mappings()]
            if rows:
                target.execute(insert(table), rows)
    migrate.index_all(new.engine)
    old.close()
    return new


def test_there_is_a_database_of_this_revision() -> None:
    assert f"{HEAD}.sqlite.gz" in {path.name for path in WRITTEN}


def test_it_is_brought_to_this_revision_with_its_audit_chain_whole(db: Database) -> None:
    assert db.version() == HEAD
    with db.read() as session:
        assert list(audit.broken_links(session)) == []
        assert audit.count(session) > 10


def test_who_brought_it_to_this_revision_is_on_record(db: Database, request: pytest.FixtureRequest) -> None:
    older = request.node.callspec.params["db"].name.partition(".")[0]
    with db.read() as session:
        told = [event for event in audit.history(session) if event.action == "records.upgraded"]
    if older == HEAD:
        assert told == []
    else:
        assert [(event.detail, event.actor) for event in told] == [
            ({"before": older, "after": HEAD}, audit.account()),
        ]


def test_its_runs_and_samples_are_still_there(db: Database) -> None:
    with db.read() as session:
        assert {row.name for row in session.query(SampleRow)} == {"alpha", "beta"}
        assert [row.state for row in session.query(WorkflowRunRow)] == ["COMPLETE", "COMPLETE"]
        assert session.query(FileRow).count() >= 12


def test_results_lead_back_to_the_instrument_and_names_are_found(db: Database) -> None:
    with db.read() as session:
        run = session.query(WorkflowRunRow).first()
        assert run is not None
        kinds = {node.kind for node in lineage(session, run.id, "up").nodes}
        assert "instrument run" in {str(kind).replace("_", " ") for kind in kinds}
        assert search(session, "alpha").hits
