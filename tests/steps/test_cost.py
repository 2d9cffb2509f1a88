"""What the main job asks of the metadata store: little a sample, and no question a sample where one for all will do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from tiny_run import TinyLab

from labrelay.model.runs import EngineStatus, RunRequest
from labrelay.model.states import RunState
from labrelay.records import audit
from labrelay.steps import collect as collecting
from labrelay.steps.announce import announce
from labrelay.steps.assign import match_run
from labrelay.steps.home import Home
from labrelay.steps.imports import import_reads
from labrelay.steps.process import process, take_in
from labrelay.steps.route import route
from labrelay.steps.submit import submit_planned

FEW, MANY = 5, 20
INDEX = 12  # statements by which the search index follows one transaction


class StillRunning:
    """An engine whose runs never end, so that only our own questions are counted."""

    kind = "local"

    def submit(self, request: RunRequest) -> str:
        return request.token

    def poll(self, external_ids: Sequence[str]) -> Mapping[str, EngineStatus]:
        return {each: EngineStatus(state=RunState.RUNNING, at=datetime.now(UTC)) for each in external_ids}


def lab(root: Path, samples: int) -> TinyLab:
    return TinyLab(root, {f"s{number:02d}": 2 for number in range(samples)})


@contextmanager
def heard(home: Home) -> Iterator[list[str]]:
    """Give the statements that the store was sent in the block, transactions' begins and ends left out."""
    statements: list[str] = []

    def hear(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.startswith("BEGIN"):
            statements.append(statement)

    event.listen(home.records.engine, "before_cursor_execute", hear)
    try:
        yield statements
    finally:
        event.remove(home.records.engine, "before_cursor_execute", hear)


def of_the_index(statements: Sequence[str]) -> list[str]:
    """Return those by which the search index follows at the end of a transaction."""
    return [statement for statement in statements if "search_" in statement]


def questions(statements: Sequence[str]) -> int:
    return sum(statement.lstrip().startswith("SELECT") for statement in statements)


def stages_of(root: Path, samples: int) -> dict[str, list[str]]:
    """Take a run with as many samples in and return the statements of each stage, up to a look at its runs."""
    made = lab(root, samples)
    home = made.open()
    home.engine = StillRunning()  # type: ignore[assignment]
    announce(home, made.table)
    found: dict[str, list[str]] = {}
    try:
        with heard(home) as found["store"]:
            run, _stored = take_in(home, made.run)
        with heard(home) as found["match"]:
            assert len(match_run(home, run.id)) == samples
        with heard(home) as found["import"]:
            assert import_reads(home, run.id).imported == samples
        with heard(home) as found["route"]:
            planned = route(home, run.id).planned
        with heard(home) as found["submit"]:
            assert submit_planned(home, planned).new == samples
        with heard(home) as found["the first look"]:
            collecting.collect(home)
        with heard(home) as found["a later look"]:
            collecting.collect(home)
    finally:
        home.close()
    return found


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, list[str]]]:
    return {count: stages_of(tmp_path_factory.mktemp(f"lab{count}"), count) for count in (FEW, MANY)}


@pytest.mark.parametrize("stage", ["match", "import", "route", "a later look"])
def test_a_stage_asks_as_much_for_many_samples_as_for_few(
    measured: dict[int, dict[str, list[str]]], stage: str
) -> None:
    assert questions(measured[MANY][stage]) == questions(measured[FEW][stage]) <= 10


@pytest.mark.parametrize(
    ("stage", "a_sample"), [("store", 7), ("match", 0), ("import", 3), ("submit", 10), ("the first look", 5)]
)
def test_statements_grow_with_the_samples_by_a_small_number_each(
    measured: dict[int, dict[str, list[str]]], stage: str, a_sample: int
) -> None:
    index = len(of_the_index(measured[MANY][stage])) - len(of_the_index(measured[FEW][stage]))
    growth = len(measured[MANY][stage]) - len(measured[FEW][stage]) - index
    assert measured[FEW][stage]
    assert growth <= a_sample * (MANY - FEW)
    assert index <= INDEX * (MANY - FEW)  # a sample's files are written in one transaction


def test_a_look_that_finds_nothing_new_writes_nothing(measured: dict[int, dict[str, list[str]]]) -> None:
    statements = measured[MANY]["a later look"]
    assert questions(statements) == len(statements)


def test_recording_a_run_costs_the_same_whatever_was_recorded_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = lab(tmp_path, 4)
    home, counts, record_run = made.open(), list[tuple[int, int]](), collecting.record_run

    def counted(home: Home, run_id: str) -> bool:
        with heard(home) as statements:
            done = record_run(home, run_id)
        index = len(of_the_index(statements))
        counts.append((len(statements) - index, index))
        return done

    monkeypatch.setattr(collecting, "record_run", counted)
    announce(home, made.table)
    try:
        assert process(home, made.run).failed == []
        with home.records.read() as session:
            assert list(audit.broken_links(session)) == []
    finally:
        home.engine.stop()  # type: ignore[attr-defined]
        home.close()
    assert len(counts) == 4
    assert len(set(counts)) == 1
    assert counts[0][0] <= 40
    assert counts[0][1] <= 2 * INDEX
