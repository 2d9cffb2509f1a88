"""What an attempt used and cost is written once, however often its tasks are named by later attempts."""

from __future__ import annotations

import seed
from sqlalchemy import select

from labrelay.model.experiment import Experiment, Sample
from labrelay.model.runs import CostItem, RunReport, TaskReport
from labrelay.model.states import RunState
from labrelay.records import experiments, runs
from labrelay.records.database import Database
from labrelay.records.schema import AttemptRow, CostRow, WorkflowRunRow

EXPERIMENT = Experiment(name="exp")
SAMPLE = Sample(experiment_id=EXPERIMENT.id, name="A")


def task(name: str, seconds: float, cached: bool = False) -> TaskReport:
    return TaskReport(name=name, state=RunState.COMPLETE, cpu_seconds=seconds, cached=cached)


def report(*tasks: TaskReport, costs: tuple[CostItem, ...] = ()) -> RunReport:
    return RunReport(state=RunState.COMPLETE, engine="test", tasks=tasks, costs=costs)


def intended(db: Database) -> tuple[str, str]:
    intent = seed.intent_of(EXPERIMENT, SAMPLE, [])
    with db.write() as session:
        experiments.announce(session, EXPERIMENT, [SAMPLE], correct=False)
        runs.publish(session, intent.workflow, "x", {})
        runs.intend(session, intent)
        return intent.run_id, runs.last_attempt(session, intent.run_id).token


def costs(db: Database) -> dict[str, tuple[float, str, float | None]]:
    with db.read() as session:
        return {row.item: (row.quantity, row.unit, row.amount) for row in session.scalars(select(CostRow))}


def test_a_task_that_a_later_attempt_took_from_the_cache_is_charged_once(db: Database) -> None:
    run_id, first = intended(db)
    with db.write() as session:
        runs.add_report(session, first, report(task("align", 60)))
        second = runs.retry(session, session.get_one(WorkflowRunRow, run_id))
        runs.add_report(session, second, report(task("align", 60, cached=True), task("call", 5)))
    assert costs(db) == {"cpu, attempt 1": (60, "s", None), "cpu, attempt 2": (5, "s", None)}


def test_a_cached_task_whose_first_attempt_was_never_reported_is_charged_where_it_is_named(db: Database) -> None:
    run_id, _ = intended(db)
    with db.write() as session:
        second = runs.retry(session, session.get_one(WorkflowRunRow, run_id))
        runs.add_report(session, second, report(task("align", 60, cached=True)))
    assert costs(db) == {"cpu, attempt 2": (60, "s", None)}


def test_what_the_engine_bills_is_written_in_dollars_and_writing_it_again_changes_nothing(db: Database) -> None:
    _, token = intended(db)
    billed = CostItem(what="run storage", quantity=600.0, unit="GiB h", price=0.0002, usd=0.12, source="a table")
    unknown = CostItem(what="task a (omics.x.large)", quantity=1.0, unit="h")
    for _ in range(2):
        with db.write() as session:
            runs.add_report(session, token, report(costs=(billed, unknown)))
    assert costs(db) == {
        "run storage, attempt 1": (600.0, "GiB h", 0.12),
        "task a (omics.x.large), attempt 1": (1.0, "h", None),
    }
    with db.read() as session:
        kept = session.get_one(AttemptRow, token).report
    assert kept is not None
    assert kept["costs"][0]["source"] == "a table"
