"""What is said of runs that go on: their states, the tasks at work, the cost so far."""

from __future__ import annotations

from datetime import UTC, datetime

from labrelay.model.runs import EngineStatus
from labrelay.model.states import RunState
from labrelay.steps.collect import under_way

AT = datetime(2026, 11, 24, tzinfo=UTC)


def test_states_tasks_and_cost_are_one_line() -> None:
    align = ("align on omics.c.large",)
    statuses = [
        EngineStatus(state=RunState.RUNNING, at=AT, under_way=align, usd=0.25),
        EngineStatus(state=RunState.RUNNING, at=AT, under_way=(*align, "call on omics.r.large"), usd=0.5),
        EngineStatus(state=RunState.QUEUED, at=AT),
    ]
    said = "1 queued, 2 running: 2 x align on omics.c.large, call on omics.r.large; $0.7500 so far"
    assert under_way(statuses) == said


def test_an_engine_that_costs_nothing_is_told_by_its_states() -> None:
    statuses = [EngineStatus(state=RunState.EXECUTOR_ERROR, at=AT), EngineStatus(state=RunState.COMPLETE, at=AT)]
    assert under_way(statuses) == "1 complete, 1 executor error"


def test_many_kinds_of_tasks_are_cut_short() -> None:
    status = EngineStatus(state=RunState.RUNNING, at=AT, under_way=("a", "b", "c", "d"))
    assert under_way([status]) == "1 running: a, b, c, …"
