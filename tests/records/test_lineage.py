"""Anything with an id says where it came from and what was made of it, quickly."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import seed
from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.model.errors import NotFound, UsageError
from labrelay.model.experiment import Experiment, Sample
from labrelay.model.runs import EngineStatus, attempt_token
from labrelay.model.states import RunState
from labrelay.records import experiments, intake, runs
from labrelay.records.database import Database
from labrelay.records.lineage import Graph, lineage, resolve
from labrelay.records.lineage_text import tree
from labrelay.records.schema import DatasetRow, FileRow, ReadSetRow, SampleRow, WorkflowRunRow


@pytest.fixture(scope="module")
def small(new_url: Callable[[Path], str], tmp_path_factory: pytest.TempPathFactory) -> Database:
    db = seed.open_database(new_url(tmp_path_factory.mktemp("small")))
    seed.seed(db, 3, outputs=2)
    return db


@pytest.fixture
def session(small: Database) -> Iterator[Session]:
    with small.read() as opened:
        yield opened


def sample_id(number: int) -> str:
    return Sample(experiment_id=Experiment(name="outbreak-000").id, name=f"SMP{number:05}").id


def names(graph: Graph, kind: str) -> set[str]:
    return {node.name.rsplit("/", 1)[-1] for node in graph.of_kind(kind)}


def run_of(session: Session, number: int) -> str:
    return session.scalars(
        select(WorkflowRunRow.id).where(WorkflowRunRow.result_path.contains(f"SMP{number:05}"))
    ).one()


def output_of(session: Session, number: int) -> str:
    return session.scalars(select(FileRow.id).where(FileRow.key.contains(f"SMP{number:05}/%output-0"))).one()


def test_an_output_comes_from_one_sample_its_reads_and_the_instrument_run(session: Session) -> None:
    graph = lineage(session, output_of(session, 1), "up")
    assert names(graph, "sample") == {"SMP00001"}
    assert names(graph, "experiment") == {"outbreak-000"}
    assert names(graph, "instrument run") == {"261100_M01_0000_FC0"}
    assert names(graph, "workflow run") == {"viral_variants 1.0.0"}
    assert names(graph, "file") == {"SMP00001_R1_001.fastq.gz", "SMP00001_R2_001.fastq.gz", "output-0.tsv"}


def test_a_samples_results_are_below_it_and_no_others(session: Session) -> None:
    graph = lineage(session, sample_id(2), "down")
    assert {node.id for node in graph.of_kind("workflow run")} == {run_of(session, 2)}
    assert names(graph, "file") == {
        "SMP00002_R1_001.fastq.gz",
        "SMP00002_R2_001.fastq.gz",
        "output-0.tsv",
        "output-1.tsv",
    }
    assert graph.of_kind("experiment") == ()


@pytest.mark.parametrize("kind", ["instrument run", "experiment"])
def test_what_holds_all_samples_has_all_runs_below_it(session: Session, kind: str) -> None:
    (root,) = lineage(session, output_of(session, 0), "up").of_kind(kind)
    assert len(lineage(session, root.id, "down").of_kind("workflow run")) == 3


@pytest.mark.parametrize("table", [DatasetRow, ReadSetRow])
def test_datasets_and_read_sets_lead_to_their_run_and_to_their_sample(
    session: Session, table: type[DatasetRow | ReadSetRow]
) -> None:
    found = session.scalars(select(table.id).where(table.sample_id == sample_id(1))).one()
    assert {n.id for n in lineage(session, found, "down").of_kind("workflow run")} == {run_of(session, 1)}
    assert names(lineage(session, found, "up"), "sample") == {"SMP00001"}


def test_every_edge_joins_two_nodes_of_the_graph(session: Session) -> None:
    graph = lineage(session, "outbreak-000", "down")
    ids = {node.id for node in graph.nodes}
    assert {end for edge in graph.edges for end in (edge.source, edge.target)} == ids
    assert len(graph.edges) == len(set(graph.edges))


def test_the_beginning_of_an_id_is_enough_when_only_one_has_it(session: Session) -> None:
    whole = sample_id(0)
    assert resolve(session, whole[:12]) == whole
    assert resolve(session, "SMP00000") == whole
    with pytest.raises(UsageError, match="could be any of smp_"):
        resolve(session, "smp_")


def test_a_name_of_several_things_is_told_with_what_each_is(db: Database) -> None:
    plate = Experiment(name="PLATE7")
    with db.write() as session:
        experiments.announce(session, plate, [Sample(experiment_id=plate.id, name="PLATE7")], correct=False)
    said = (
        r"PLATE7 is the name of (sample|experiment) \w+, (sample|experiment) \w+: give the id of the one that is meant"
    )
    with db.read() as session, pytest.raises(UsageError, match=said):
        resolve(session, "PLATE7")


@pytest.mark.parametrize("text", ["smp_0000000000000000", "xyz_00", "%", "smp_%", "' OR 1=1 --", "", "\x1b[2J"])
def test_what_nothing_has_is_not_found(session: Session, text: str) -> None:
    with pytest.raises(NotFound, match="labrelay search") as caught:
        resolve(session, text)
    assert "\x1b" not in str(caught.value)


def test_a_chain_of_runs_is_followed_to_its_end_and_a_circle_ends(db: Database) -> None:
    seed.seed(db, 1, outputs=1)
    with db.write() as session:
        first = session.scalars(select(WorkflowRunRow)).one()
        made = session.scalars(select(FileRow).where(FileRow.storage == "results")).one()
        experiment, sample = Experiment(name="outbreak-000"), session.scalars(select(SampleRow)).one()
        second = seed.intent_of(
            experiment, Sample(experiment_id=experiment.id, name=sample.name), [intake.ref_of(made)]
        )
        runs.intend(session, second)
        token = attempt_token(second.key, 1)
        runs.apply_event(session, token, EngineStatus(state=RunState.COMPLETE, at=datetime.now(UTC)))
        runs.add_io(session, first.id, "in", [("odd", 0, made.id, None)])  # its own output went into it
    with db.read() as session:
        below = lineage(session, first.id, "down")
        assert {node.id for node in below.of_kind("workflow run")} == {first.id, second.run_id}
        assert first.id in {node.id for node in lineage(session, second.run_id, "up").nodes}
        assert "see above" in tree(below)


def test_the_tree_names_everything_and_counts_what_is_too_much(session: Session) -> None:
    graph = lineage(session, sample_id(1), "down")
    text = tree(graph)
    assert text.startswith("sample SMP00001")
    assert all(node.id in text for node in graph.nodes)
    assert "COMPLETE, pass" in text
    assert "… and 2 more" in tree(lineage(session, "outbreak-000", "down"), shown=1)


def test_the_tree_shows_no_control_characters_of_names(db: Database) -> None:
    with db.write() as session:
        intake.add_files(session, [(seed.stored("a\x1b[2Jb"), "other", None)])
    with db.read() as session:
        text = tree(lineage(session, seed.stored("a\x1b[2Jb").id))
    assert "\x1b" not in text
    assert "a\\x1b[2Jb" in text


def test_the_graph_is_json_that_reads_back(session: Session) -> None:
    graph = lineage(session, sample_id(1), "down")
    assert Graph.model_validate(json.loads(graph.model_dump_json())) == graph
