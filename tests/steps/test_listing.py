"""A thousand results are listed in as many statements as two, and what counts as a result is what is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, insert

from labrelay.model.errors import NotFound, UsageError
from labrelay.model.experiment import Experiment, Sample
from labrelay.model.states import RunState
from labrelay.records import experiments
from labrelay.records.schema import (
    AttemptRow,
    DatasetFileRow,
    DatasetRow,
    FileRow,
    InstrumentRunRow,
    MetricRow,
    RunIORow,
    SampleRow,
    WorkflowRunRow,
    WorkflowRunSampleRow,
    WorkflowVersionRow,
)
from labrelay.steps.home import Home
from labrelay.steps.listing import find_run, runs
from labrelay.steps.results import results_table

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
EXPERIMENT = Experiment(name="many")
DIGEST = "d" * 64


@pytest.fixture
def home(make_home: Callable[..., Home]) -> Home:
    return make_home()


def at(second: int) -> str:
    return (START + timedelta(seconds=second)).isoformat(timespec="microseconds")


def add(home: Home, count: int) -> None:
    """Write `count` samples, each with a dataset of two files, and a recorded result of it."""
    samples = [Sample(experiment_id=EXPERIMENT.id, name=f"S{n:04}") for n in range(count)]
    version = {"digest": DIGEST, "name": "viral_variants", "version": "1.0.0", "language": "WDL", "main": "main.wdl"}
    run = {"platform": "illumina", "run_id": "r", "folder": "/x", "state": "stored", "content": {}, "created_at": at(0)}
    rows: dict[type, list[dict[str, object]]] = {
        WorkflowVersionRow: [version | {"bundle_key": "b", "content": {}, "created_at": at(0)}],
        InstrumentRunRow: [run | {"id": "ins_1"}],
    }
    for number, sample in enumerate(samples):
        for table, row in rows_of(number, sample):
            rows.setdefault(table, []).append(row)
    with home.records.write() as session:
        experiments.announce(session, EXPERIMENT, [], correct=False)
        session.execute(insert(SampleRow), [s.model_dump() | {"id": s.id, "created_at": at(0)} for s in samples])
        for table, values in rows.items():
            session.execute(insert(table), values)


def rows_of(n: int, sample: Sample) -> Iterator[tuple[type, dict[str, object]]]:
    dataset, run = f"dat_{n:016x}", f"run_{n:016x}"
    named = {"id": dataset, "instrument_run_id": "ins_1", "label": sample.name, "sample_id": sample.id}
    yield DatasetRow, named | {"state": "assigned", "created_at": at(n)}
    known = {"experiment_id": EXPERIMENT.id, "workflow_digest": DIGEST, "engine": "local", "parameters": {}}
    states = {"state": "COMPLETE", "state_at": at(n + 9), "ended_at": at(n + 9), "recorded_at": at(n + 10)}
    rest = {"inputs": [], "generation": 0, "verdict": "pass", "created_at": at(n), "created_by": "os:test"}
    yield (
        WorkflowRunRow,
        {"id": run, "key": f"{n:064x}", "result_path": f"many/{sample.name}/v"} | known | states | rest,
    )
    yield WorkflowRunSampleRow, {"run_id": run, "sample_id": sample.id, "revision": 1}
    attempt = {"token": f"{n:040x}-1", "run_id": run, "number": 1, "engine": "local", "state": "COMPLETE"}
    yield AttemptRow, attempt | {"state_at": at(n + 9), "request": {}, "created_at": at(n)}
    for mate in (1, 2):
        file = f"fil_{2 * n + mate:016x}"
        stored = {"id": file, "storage": "objects", "key": f"{file}.gz", "version": "v", "sha256": "0" * 64, "size": 1}
        stats = {"reads": 500 + (n if mate == 2 else 0), "quality_sum": 1}
        yield FileRow, stored | {"role": "reads", "stats": stats, "created_at": at(n)}
        yield DatasetFileRow, {"dataset_id": dataset, "file_id": file, "read": mate}
        yield RunIORow, {"run_id": run, "direction": "in", "name": f"reads.r{mate}", "idx": 0, "file_id": file}
    yield MetricRow, metric(dataset, "reads", 5000.0, "reads")  # with the lanes of other runs
    for name, value in (("mean_depth", 30.5), ("variants", 7.0), ("kept_percent", 90.0)):
        yield MetricRow, metric(run, name, value, sample.name)


def metric(owner: str, name: str, value: float, scope: str) -> dict[str, object]:
    return {"owner_id": owner, "scope": scope, "name": name, "value": value, "unit": "", "verdict": "none"}


@contextmanager
def statements(home: Home) -> Iterator[list[str]]:
    """Collect the queries that are sent to the metadata store."""
    sent: list[str] = []

    def heard(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if statement.startswith("SELECT"):
            sent.append(statement)

    event.listen(home.records.engine, "before_cursor_execute", heard)
    try:
        yield sent
    finally:
        event.remove(home.records.engine, "before_cursor_execute", heard)


@pytest.mark.parametrize("count", [2, 1000])
def test_the_number_of_statements_does_not_grow_with_the_results(home: Home, count: int) -> None:
    add(home, count)
    with statements(home) as for_results:
        table = results_table(home, "many")
    with statements(home) as for_runs:
        lines = runs(home, experiment="many", limit=None)
    assert (len(table), len(lines)) == (count, count)
    assert (len(for_results), len(for_runs)) == (6, 4)


def test_a_row_has_its_own_sample_numbers_and_counted_reads(home: Home) -> None:
    add(home, 3)
    table = results_table(home)
    assert [row.sample for row in table] == ["S0000", "S0001", "S0002"]
    assert [row.reads for row in table] == [1000, 1001, 1002]
    assert {(row.mean_depth, row.variants, row.mapped_percent) for row in table} == {(30.5, 7, None)}


def test_replaced_failed_and_unrecorded_runs_are_no_results(home: Home) -> None:
    add(home, 4)
    with home.records.write() as session:
        session.get_one(WorkflowRunRow, f"run_{0:016x}").replaced_by = f"run_{3:016x}"
        session.get_one(WorkflowRunRow, f"run_{1:016x}").state = "EXECUTOR_ERROR"
        session.get_one(WorkflowRunRow, f"run_{2:016x}").recorded_at = None
        session.get_one(WorkflowRunRow, f"run_{3:016x}").stale = "the sample was corrected"
    (row,) = results_table(home)
    assert (row.sample, row.stale) == ("S0003", "the sample was corrected")


def test_runs_are_narrowed_by_state_sample_and_number(home: Home) -> None:
    add(home, 5)
    with home.records.write() as session:
        failed = session.get_one(WorkflowRunRow, f"run_{1:016x}")
        failed.state, failed.failure = "SYSTEM_ERROR", "the disk was full"
    (line,) = runs(home, states=[RunState.SYSTEM_ERROR, RunState.EXECUTOR_ERROR])
    assert (line.sample, line.reason, line.seconds) == ("S0001", "the disk was full", 9.0)
    assert [line.sample for line in runs(home, limit=2)] == ["S0004", "S0003"]
    assert [line.sample for line in runs(home, sample="S0002")] == ["S0002"]
    with pytest.raises(NotFound, match="there is no sample S9"):
        runs(home, sample="S9")


def test_a_run_is_found_by_a_beginning_that_only_it_has(home: Home) -> None:
    add(home, 17)
    with home.records.read() as session:
        assert find_run(session, f"run_{16:016x}").id == f"run_{16:016x}"
        assert find_run(session, "000000000000001").id == f"run_{16:016x}"
        with pytest.raises(UsageError, match="several"):
            find_run(session, "run_0000")
        for nothing in ("run_", "", "run_f", "%", "run_%"):
            with pytest.raises(NotFound):
                find_run(session, nothing)
