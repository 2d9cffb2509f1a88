"""Databases that earlier releases wrote open, are brought up to date, and say what they said."""

import gzip
from pathlib import Path

import pytest

from labrelay.records import audit
from labrelay.records.database import HEAD, Database
from labrelay.records.lineage import lineage
from labrelay.records.schema import FileRow, SampleRow, WorkflowRunRow
from labrelay.records.search import search
from labrelay.records.sqlite import sqlite_url

WRITTEN = sorted((Path(__file__).parents[1] / "data" / "databases").glob("*.sqlite.gz"))


@pytest.fixture(params=WRITTEN, ids=lambda path: path.name.split(".")[0])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    path = tmp_path / "labrelay.sqlite"
    path.write_bytes(gzip.decompress(request.param.read_bytes()))
    opened = Database(sqlite_url(path))
    opened.ensure()
    return opened


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
