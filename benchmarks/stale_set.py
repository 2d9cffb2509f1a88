"""Medians of finding what is out of date, and of following a metric, among 100,000 workflow runs; on either database.

    .venv/bin/python -m benchmarks.stale_set [--runs 100000] [--database-url postgresql+psycopg://…/EMPTY] [--json]

A quarter of the runs is out of date, half of those for two causes. The store is filled by plain inserts, without the
audit trail, which none of these queries reads; with `--database-url` the tables are made in an empty database and left
there. Each query runs once unmeasured, then 21 times in a session of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from benchmarks.records_queries import TIMES, measure
from labrelay.records import plans, qc_context, stale
from labrelay.records.database import Database
from labrelay.records.qc_context import Context, SeriesWanted
from labrelay.records.schema import Base, ExperimentRow, MetricRow, WorkflowRunRow, WorkflowVersionRow
from labrelay.records.schema_reruns import QCContextRow, StaleCauseRow
from labrelay.records.sqlite import sqlite_url
from labrelay.records.stale import Wanted
from labrelay.records.upsert import insert_missing

Rows = dict[type[Base], list[dict[str, Any]]]
BATCH = 5_000
WORKFLOWS, EXPERIMENTS, INSTRUMENTS = 4, 200, 3
NOW = "2026-11-28T10:00:00.000000+00:00"


def fill(db: Database, runs: int) -> None:
    """Write the experiments, workflows and runs with their causes and metrics."""
    Base.metadata.create_all(db.engine)
    with db.write() as session:
        for table, rows in things().items():
            insert_missing(session, table, rows)
    for start in range(0, runs, BATCH):
        with db.write() as session:
            for table, rows in batch(range(start, min(runs, start + BATCH))).items():
                insert_missing(session, table, rows)
    with db.engine.begin() as connection:
        connection.exec_driver_sql("ANALYZE")


def things() -> Rows:
    """Return experiments and workflow versions."""
    return {
        ExperimentRow: [
            {"id": f"exp_{n:016}", "name": f"study-{n}", "created_at": NOW, "created_by": "x"}
            for n in range(EXPERIMENTS)
        ],
        WorkflowVersionRow: [
            {"digest": f"{n:064}", "name": f"workflow_{n // 2}", "version": f"{n % 2}.0", "language": "WDL"}
            | {"main": "main.wdl", "bundle_key": "x", "content": {}, "created_at": NOW}
            for n in range(WORKFLOWS)
        ],
    }


def batch(numbers: Sequence[int]) -> Rows:
    """Return the rows of these runs."""
    return {
        WorkflowRunRow: [run(n) for n in numbers],
        StaleCauseRow: [row for n in numbers for row in causes(n)],
        QCContextRow: [context(n) | {"recorded_at": moment(n)} for n in numbers],
        MetricRow: [
            {"owner_id": f"run_{n:016}", "scope": "run", "name": "mean_depth", "value": 300.0 + n * 7919 % 100}
            | {"unit": "x", "verdict": "pass"}
            for n in numbers
        ],
    }


def run(n: int) -> dict[str, Any]:
    """Return a recorded run."""
    return {
        **{"id": f"run_{n:016}", "key": f"{n:064}", "experiment_id": f"exp_{n % EXPERIMENTS:016}"},
        **{"workflow_digest": f"{n % WORKFLOWS:064}", "engine": "local", "rule": "r", "generation": 0},
        **{"parameters": {"parameters": {}, "samples": [["smp_0000000000000000", 1]]}, "inputs": []},
        **{"state": "COMPLETE", "state_at": NOW, "verdict": "pass", "result_path": f"study/{n}", "recorded_at": NOW},
        **{"stale": "a reason" if n % WORKFLOWS == 0 else None, "created_at": moment(n), "created_by": "x"},
    }


def causes(n: int) -> Iterator[dict[str, Any]]:
    """Yield why a run is out of date: one workflow version is old, and half its samples were corrected."""
    if n % WORKFLOWS == 0:
        told = "workflow_0 1.0 is asked for, it was made with workflow_0 0.0"
        yield {"run_id": f"run_{n:016}", "cause": "workflow", "sentence": told, "since": NOW}
        if n % (2 * WORKFLOWS) == 0:
            told = "sample S was corrected (revision 1, now 2)"
            yield {"run_id": f"run_{n:016}", "cause": "sample", "sentence": told, "since": NOW}


def context(n: int) -> dict[str, Any]:
    """Return what a run's metrics are compared by."""
    of = {"instrument": f"M{n % INSTRUMENTS}", "assay": "measles", "workflow": f"workflow_{n % WORKFLOWS // 2}"}
    return {"owner_id": f"run_{n:016}", "kind": "run", **of, "label": f"S{n}", "at": moment(n)}


def moment(n: int) -> str:
    """Return a time for each run, a minute apart."""
    return f"2026-{1 + n // 40_320:02}-{1 + n // 1440 % 28:02}T{n // 60 % 24:02}:{n % 60:02}:00.000000+00:00"


def queries(db: Database, runs: int) -> dict[str, Callable[[], object]]:
    """Return what is measured, by what a person would call it."""

    def marked(wanted: Wanted) -> Callable[[], object]:
        def ask() -> object:
            with db.read() as session:
                return stale.stale(session, wanted)

        return ask

    def counts() -> object:
        with db.read() as session:
            return stale.by_cause(session)

    newest = Context.model_validate(context(runs - 1))

    def follow() -> object:
        with db.read() as session:
            return qc_context.history(session, newest, ["mean_depth"])

    def over_time() -> object:
        with db.read() as session:
            return qc_context.points(session, SeriesWanted(metric="mean_depth", instrument="M1", workflow="workflow_0"))

    def open_items() -> object:
        with db.read() as session:
            return plans.open_items(session)

    return {
        "all that is out of date": marked(Wanted()),
        "out of date for a new workflow version": marked(Wanted(cause="workflow")),
        "the same of one workflow, since a day": marked(Wanted(cause="workflow", workflow="workflow_0", since="2026")),
        "the same of one experiment": marked(Wanted(cause="workflow", experiment="study-4")),
        "how many for which cause": counts,
        "what plans under way will run": open_items,
        "a metric's last 100 values, as a run is recorded": follow,
        "a metric over time, one instrument and workflow": over_time,
    }


def main() -> None:
    """Fill a store, ask it, and print the medians."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=100_000)
    options.add_argument("--database-url")
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        db = Database(given.database_url or sqlite_url(Path(folder) / "records.sqlite"))
        began = time.perf_counter()
        fill(db, given.runs)
        filled = time.perf_counter() - began
        with db.read() as session:
            marked = session.scalar(select(func.count(func.distinct(StaleCauseRow.run_id))))
        figures = {name: measure(ask) for name, ask in queries(db, given.runs).items()}
        kind = db.engine.dialect.name
        db.close()
    if given.json:
        told = {"database": kind, "runs": given.runs, "stale": marked, "fill_seconds": filled, "median_ms": figures}
        sys.stdout.write(json.dumps(told) + "\n")
        return
    sys.stdout.write(f"{kind}: {given.runs:,} runs, {marked:,} out of date, written in {filled:.1f} s; ")
    sys.stdout.write(f"medians of {TIMES} in ms:\n    clock  processor\n")
    for name, (clock, processor) in figures.items():
        sys.stdout.write(f"  {clock:7.1f}    {processor:7.1f}  {name}\n")


if __name__ == "__main__":
    main()
