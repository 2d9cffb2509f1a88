"""What is searched is what the records say, in the same transaction, whoever changed them and by whatever statement."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import seed
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.orm import Session

from labrelay.model.experiment import Experiment, Sample
from labrelay.records import experiments, migrate, search_index
from labrelay.records.database import Database
from labrelay.records.schema import CrateRow, ExperimentRow, FileRow, LinkRow, RunIORow, SampleRow, WorkflowRunRow
from labrelay.records.search import COUNTED, Found, _beginning, parse, search
from labrelay.records.search_schema import SearchDirtyRow, SearchDocumentRow, SearchGroupRow
from labrelay.records.search_words import body_of, words_of
from labrelay.records.sqlite import sqlite_url

OLD = Path(__file__).parents[1] / "data" / "databases" / "0001.sqlite.gz"
HOSTILE = [
    "AND",
    "OR",
    "NOT",
    "NEAR",
    '"',
    "'",
    "a*",
    "^a",
    "{a b}",
    "a:b",
    "-a",
    "a & b",
    "a | !b",
    "<->",
    ":*",
    "\\'",
]


@pytest.fixture
def few(new_url: Callable[[Path], str], tmp_path: Path) -> Iterator[Database]:
    made = seed.open_database(new_url(tmp_path))
    seed.seed(made, 3, outputs=2)
    yield made
    made.close()


def asked(db: Database, question: str) -> Found:
    with db.read() as session:
        return search(session, question)


def totals(db: Database, question: str) -> dict[str, int]:
    return {kind: count for kind, count in asked(db, question).totals.items() if count}


def counted(session: Session) -> dict[int, int]:
    query = select(SearchDocumentRow.group_id, func.count()).group_by(SearchDocumentRow.group_id)
    return {row[0]: row[1] for row in session.execute(query)}


def kept(session: Session) -> dict[int, int]:
    query = select(SearchGroupRow.id, SearchGroupRow.count).where(SearchGroupRow.count != 0)
    return {row[0]: row[1] for row in session.execute(query)}


def test_a_change_by_any_statement_is_found_when_its_transaction_ends(few: Database) -> None:
    with few.write() as session:
        session.execute(update(WorkflowRunRow).values(verdict="fail", failure="Wolverine was here"))
        session.execute(text("UPDATE sample SET subject = 'Zebedee' WHERE name = 'SMP00001'"))
    assert totals(few, "verdict:fail") == {"workflow run": 3}
    assert totals(few, "verdict:pass") == {}
    assert totals(few, "wolverine") == {"workflow run": 3}
    assert totals(few, "zebedee") == {"sample": 1}
    with few.read() as session:
        assert kept(session) == counted(session)
        assert session.scalar(select(func.count()).select_from(SearchDirtyRow)) == 0


def test_what_was_rolled_back_is_not_found(few: Database) -> None:
    def fail(session: Session) -> None:
        session.execute(update(SampleRow).values(subject="Zebedee"))
        assert search_index.settle(session) == 3
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), few.write() as session:
        fail(session)
    assert totals(few, "zebedee") == {}
    assert totals(few, "patient") == {"sample": 3}


def test_what_is_deleted_is_found_no_more_and_counted_no_more(few: Database) -> None:
    with few.write() as session:
        session.execute(delete(RunIORow).where(RunIORow.name == "output_0"))
        session.execute(delete(FileRow).where(FileRow.key.endswith("output-0.tsv")))
    assert asked(few, "output").totals["file"] == 3
    assert asked(few, "role:output").totals == {"file": 3}
    with few.read() as session:
        assert kept(session) == counted(session)


def test_a_transaction_that_touches_nothing_that_is_searched_writes_no_document(few: Database) -> None:
    with few.write() as session:
        session.add(LinkRow(entity_id="x", system="eln", external_id="1", at="now"))
    with few.write() as session:
        assert search_index.settle(session) == 0


def test_words_of_a_crate_and_names_of_metrics_find_the_run(few: Database) -> None:
    with few.write() as session:
        run = session.scalars(select(WorkflowRunRow)).first()
        file = session.scalars(select(FileRow)).first()
        assert run is not None
        assert file is not None
        made = {"id": "crt_1", "run_id": run.id, "file_id": file.id, "profile": "p", "created_at": "now"}
        session.add(CrateRow(**made, keywords="MiSeq NC_001498"))
        values = {"o": run.id}
        session.execute(
            text(
                "INSERT INTO qc_metric (owner_id, scope, name, value, unit, verdict) "
                "VALUES (:o, 'run', 'mean_depth', 1, 'x', 'none')"
            ),
            values,
        )
        run.recorded_at = "2026-01-01"
    for question in ("miseq", "nc_001498", "mean_depth"):
        assert totals(few, question) == {"workflow run": 1}, question


@pytest.mark.parametrize(
    "question", [*HOSTILE, " ".join(HOSTILE), "\0" * 10_000, "x" * 10_000, "\ud800", "😀", "ﬁ ß İ"]
)
def test_operators_of_the_indexes_are_text(few: Database, question: str) -> None:
    assert len(asked(few, question).hits) <= 50


def test_names_with_operators_in_them_are_found_as_they_are(few: Database) -> None:
    odd = ['a "quoted" AND b', "NOT this", "O'Brien <-> 7", "É:*"]
    experiment = Experiment(name="odd")
    samples = [Sample(experiment_id=experiment.id, name=name) for name in odd]
    with few.write() as session:
        experiments.announce(session, experiment, samples, correct=False)
    for name in odd:
        assert name in {hit.name for hit in asked(few, name).hits}, name
    assert asked(few, "o'brien").hits[0].name == "O'Brien <-> 7"


def test_what_is_called_so_is_first_then_what_begins_so(few: Database) -> None:
    experiment = Experiment(name="order")
    names = ["alphabet", "alpha", "beta-alpha"]
    with few.write() as session:
        samples = [Sample(experiment_id=experiment.id, name=name) for name in names]
        experiments.announce(session, experiment, samples, correct=False)
    assert [hit.name for hit in asked(few, "alpha").hits[:3]] == ["alpha", "alphabet", "beta-alpha"]


def test_the_middle_of_a_word_is_found_in_names_when_nothing_else_is(few: Database) -> None:
    assert totals(few, "MP0000") == {"sample": 3, "workflow run": 3}
    assert totals(few, "utpu") == {}  # files are found by their words


def test_values_of_fields_are_compared_whatever_their_case_and_may_have_blanks(few: Database) -> None:
    experiment = Experiment(name="outbreak-000")
    changed = Sample(experiment_id=experiment.id, name="SMP00001", assay="Östrogen panel", project="Öko")
    with few.write() as session:
        experiments.announce(session, experiment, [changed], correct=True, reason="it was wrong")
    for question in ("project:ÖKO", "SMP00001 project:öko", 'assay:"östrogen PANEL"', '00001 Assay:"Östrogen panel"'):
        assert totals(few, question).get("sample") == 1, question
    assert totals(few, 'assay:"measles amplicon"')["sample"] == 2


def test_what_others_say_of_a_changed_sample_or_experiment_changes_too(few: Database) -> None:
    experiment = Experiment(name="outbreak-000", project="rubella")
    changed = Sample(experiment_id=experiment.id, name="SMP00001", assay="other panel", project="rubella")
    with few.write() as session:
        experiments.announce(session, experiment, [changed], correct=True, reason="it was wrong")
    assert totals(few, 'assay:"other panel"') == {"sample": 1, "workflow run": 1}
    assert totals(few, "project:rubella")["workflow run"] == 3
    with few.write() as session:
        session.execute(update(ExperimentRow).values(name="renamed"))
        session.execute(update(SampleRow).where(SampleRow.name == "SMP00002").values(name="ZZZ77777"))
    assert totals(few, "experiment:renamed") == {"sample": 3, "workflow run": 3}
    assert totals(few, "renamed") == {"experiment": 1, "sample": 3, "workflow run": 3}
    assert totals(few, "ZZZ77777")["workflow run"] == 1
    with few.read() as session:
        assert counted(session) == kept(session)


def test_fields_narrow_before_anything_is_cut_off(few: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labrelay.records.search.COUNTED", 1)
    with few.write() as session:
        oldest = session.scalars(select(WorkflowRunRow.id).order_by(WorkflowRunRow.result_path)).all()
        session.execute(update(WorkflowRunRow).where(WorkflowRunRow.id == oldest[0]).values(verdict="fail"))
        last = session.scalars(select(WorkflowRunRow.id).order_by(WorkflowRunRow.id)).all()[-1]
        session.execute(update(WorkflowRunRow).where(WorkflowRunRow.id == last).values(state="CANCELED"))
    assert totals(few, "utbreak verdict:fail") == {"workflow run": 1}
    with few.read() as session:
        found = _beginning(session, SearchDocumentRow.entity_id, "run_", ["workflow run"], parse("state:CANCELED"))
    assert len(found) == 1


def test_counts_say_where_they_stop(few: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labrelay.records.search.COUNTED", 4)
    found = asked(few, "tsv")
    assert (found.totals["file"], found.more, sum(found.facets["role"].values())) == (4, ("file",), 4)
    assert COUNTED == 2000


def test_the_triggers_come_back_with_every_upgrade(few: Database) -> None:
    on_sqlite = few.engine.dialect.name == "sqlite"
    name = "search_file_insert" if on_sqlite else "search_file ON file"
    with few.write() as session:
        session.execute(text(f"DROP TRIGGER {name}"))
    migrate.upgrade(few.engine)
    with few.write() as session:
        session.add(
            FileRow(
                **{**seed.stored("new/thing.txt").model_dump(), "id": "fil_1", "role": "other", "created_at": "2026"}
            )
        )
    assert totals(few, "thing") == {"file": 1}


def test_an_older_store_is_indexed_in_portions_that_are_committed_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "labrelay.sqlite"
    path.write_bytes(gzip.decompress(OLD.read_bytes()))
    monkeypatch.setattr(migrate, "PORTION", 7)
    settle, portions = search_index.settle, list[int]()

    def once_more(session: Session, most: int) -> int:
        if len(portions) == 2:
            raise KeyboardInterrupt
        portions.append(settle(session, most))
        return portions[-1]

    monkeypatch.setattr(search_index, "settle", once_more)
    db = Database(sqlite_url(path))
    with pytest.raises(KeyboardInterrupt):
        db.ensure()
    assert portions == [7, 7]
    monkeypatch.setattr(search_index, "settle", settle)
    with db.write() as session:  # whoever writes next takes up what was left
        assert (session.scalar(select(func.count()).select_from(SearchDirtyRow)) or 0) > 0
    with db.read() as session:
        things = sum(
            session.scalar(select(func.count()).select_from(t)) or 0 for t in (FileRow, WorkflowRunRow, SampleRow)
        )
        assert session.scalar(select(func.count()).select_from(SearchDocumentRow)) >= things
        assert kept(session) == counted(session)
    assert totals(db, "alpha")["sample"] == 1
    db.close()


def test_words_are_cut_the_same_for_every_index() -> None:
    assert words_of("Café_7/SMP-0001.R1 ﬁn 10µl") == ["cafe", "7", "smp", "0001", "r1", "fin", "10μl"]
    assert body_of(["a b", None, ""], {}) == "a b"
    assert len(body_of(["x " * 9999], {}).split()) == 1500
