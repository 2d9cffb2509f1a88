"""Many runs are looked at in few calls, and a run alone only when it has moved."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from labrelay.model.errors import Denied, NotFound
from labrelay.model.states import RunState
from labrelay.workflows.healthomics.engine import HealthOmicsEngine, HealthOmicsSettings
from labrelay.workflows.healthomics.pricing import load_prices

from .conftest import BEGAN, Account, run_details, run_item, uuid_of


class Runs:
    """A client that lists runs as the service does, and counts what it is asked."""

    def __init__(self, statuses: dict[int, str]) -> None:
        self.statuses = statuses
        self.listed, self.got = 0, 0

    def client(self, service: str) -> Runs:
        assert service == "omics"
        return self

    def list_runs(self, **asked: Any) -> dict[str, Any]:
        self.listed += 1
        status, limit, start = asked.get("status"), asked["maxResults"], int(asked.get("startingToken", 0))
        same = [number for number, each in self.statuses.items() if status in (None, each)]
        answer: dict[str, Any] = {"items": [run_item(n, self.statuses[n]) for n in same[start : start + limit]]}
        return answer | ({"nextToken": str(start + limit)} if start + limit < len(same) else {})

    def get_run(self, id: str) -> dict[str, Any]:
        self.got += 1
        return run_details(int(id), self.statuses[int(id)], failureReason="RUN_TASK_FAILED")


def engine_of(aws: Any, tmp_path: Path) -> HealthOmicsEngine:
    settings = HealthOmicsSettings(role_arn="arn:aws:iam::1:role/r", output_uri="s3://bucket/runs", download=tmp_path)
    return HealthOmicsEngine(aws, settings)


def external(number: int) -> str:
    return f"{number}/{uuid_of(number)}"


@pytest.mark.parametrize("pending", [0, 5_050, 9_950])
def test_ten_thousand_live_runs_take_a_hundred_calls_and_none_for_a_run_alone(tmp_path: Path, pending: int) -> None:
    runs = Runs({n: "PENDING" if n <= pending else "RUNNING" for n in range(1, 10_001)})
    engine = engine_of(runs, tmp_path)
    found = engine.poll([external(n) for n in range(1, 10_001)])
    assert (len(found), runs.listed, runs.got) == (10_000, 100, 0)
    assert sum(status.state is RunState.QUEUED for status in found.values()) == pending


def test_live_runs_behind_a_long_history_are_found_by_their_states(tmp_path: Path) -> None:
    history = dict.fromkeys(range(1, 20_001), "CANCELLED")
    runs = Runs(history | dict.fromkeys(range(20_001, 20_151), "RUNNING") | {20_151: "PENDING"})
    found = engine_of(runs, tmp_path).poll([external(n) for n in range(20_001, 20_152)])
    assert (len(found), runs.listed, runs.got) == (151, 1 + 2 + 1, 0)


def test_only_the_runs_that_ended_are_asked_about_alone_and_once(tmp_path: Path) -> None:
    runs = Runs(dict.fromkeys(range(1, 301), "RUNNING"))
    engine = engine_of(runs, tmp_path)
    asked = [external(n) for n in range(1, 301)]
    engine.poll(asked)
    runs.statuses |= {7: "FAILED", 8: "FAILED"}
    found = engine.poll(asked)
    assert runs.got == 2
    assert found[external(7)].state is RunState.EXECUTOR_ERROR
    assert engine.poll(asked)[external(8)].state is RunState.EXECUTOR_ERROR
    assert runs.got == 2


def test_a_run_that_was_given_the_id_of_a_deleted_one_is_not_ours(tmp_path: Path) -> None:
    runs = Runs({7: "FAILED"} | dict.fromkeys(range(8, 20), "RUNNING"))
    engine = engine_of(runs, tmp_path)
    other = f"7/{uuid_of(1)}"
    assert engine.poll([other, *(external(n) for n in range(8, 20))]).keys() == {external(n) for n in range(8, 20)}


def test_a_run_that_goes_back_in_its_states_is_looked_at(tmp_path: Path) -> None:
    runs = Runs(dict.fromkeys(range(1, 8), "RUNNING"))
    engine = engine_of(runs, tmp_path)
    asked = [external(n) for n in range(1, 8)]
    engine.poll(asked)
    runs.statuses[3] = "PENDING"
    engine.poll(asked)
    assert runs.got == 1


def test_a_failure_that_the_platform_caused_may_be_tried_again(account: Account, tmp_path: Path) -> None:
    said = {"failureReason": "INSTANCE_RESERVATION_FAILED", "statusMessage": "no capacity"}
    account.says("omics", "list_runs", {"items": [run_item(1, "FAILED")]}, {"maxResults": 100})
    account.says("omics", "get_run", run_details(1, "FAILED", **said), {"id": "1"})
    account.says("omics", "list_run_tasks", {"items": []})
    status = engine_of(account, tmp_path).poll([external(1)])[external(1)]
    assert status.state is RunState.SYSTEM_ERROR
    assert "no capacity" in str(status.message)


def test_few_runs_are_told_with_their_tasks(account: Account, tmp_path: Path) -> None:
    tasks = [{"taskId": str(n), "status": status} for n, status in enumerate(("COMPLETED", "RUNNING", "PENDING"))]
    account.says("omics", "list_runs", {"items": [run_item(1)]})
    account.says("omics", "list_run_tasks", {"items": tasks})
    status = engine_of(account, tmp_path).poll([external(1)])[external(1)]
    assert (status.state, status.tasks_done, status.tasks_started) == (RunState.RUNNING, 1, 2)


def test_few_runs_tell_what_works_on_which_instance_and_what_it_has_cost(account: Account, tmp_path: Path) -> None:
    began = datetime.now(UTC) - timedelta(hours=1)
    times = {"creationTime": began, "startTime": began, "instanceType": "omics.c.large"}
    done = {"taskId": "1", "name": "trim", "status": "COMPLETED", "stopTime": began + timedelta(minutes=30), **times}
    works = {"taskId": "2", "name": "align", "status": "RUNNING", **times}
    account.says("omics", "list_runs", {"items": [run_item(1)]})
    account.says("omics", "list_run_tasks", {"items": [done, works]})
    status = engine_of(account, tmp_path).poll([external(1)])[external(1)]
    hourly = load_prices("us-east-1").hourly("omics.c.large")
    assert hourly is not None
    assert status.under_way == ("align on omics.c.large",)
    assert status.usd is not None
    assert status.usd >= 1.5 * hourly  # and the run's storage
    assert (status.at - BEGAN).total_seconds() == 60


def test_a_run_that_is_not_known_is_left_out(account: Account, tmp_path: Path) -> None:
    account.says("omics", "list_runs", {"items": []})
    account.fails("omics", "get_run", "ResourceNotFoundException", 404)
    assert engine_of(account, tmp_path).poll([external(1)]) == {}


def test_what_is_no_id_of_ours_is_unknown_without_a_call(account: Account, tmp_path: Path) -> None:
    engine = engine_of(account, tmp_path)
    assert engine.poll(["run-of-the-local-engine"]) == {}
    with pytest.raises(NotFound, match="does not know"):
        engine.report("run-of-the-local-engine")


def test_a_poller_without_permission_is_told_so(account: Account, tmp_path: Path) -> None:
    account.fails(
        "omics", "list_runs", "AccessDeniedException", 403, "User: a is not authorized to perform: omics:ListRuns"
    )
    with pytest.raises(Denied, match="omics:ListRuns"):
        engine_of(account, tmp_path).poll([external(1)])


def test_a_cancel_that_comes_too_late_changes_nothing(account: Account, tmp_path: Path) -> None:
    engine = engine_of(account, tmp_path)
    account.says("omics", "get_run", run_details(1, "COMPLETED"))
    engine.cancel(external(1))
    account.says("omics", "get_run", run_details(1, "RUNNING"))
    account.fails("omics", "cancel_run", "ConflictException", 409)
    engine.cancel(external(1))
    account.says("omics", "get_run", run_details(2, "RUNNING"))
    with pytest.raises(NotFound):
        engine.cancel(external(1))


def test_completed_with_no_output_is_a_failure_with_the_hint(account: Account, tmp_path: Path) -> None:
    account.says("omics", "list_runs", {"items": [run_item(1, "COMPLETED")]})
    account.says("omics", "get_run", run_details(1, "COMPLETED"))
    account.fails("s3", "get_object", "NoSuchKey", 404)
    for prefix in ("pubdir", "output", "out"):
        account.says("s3", "list_objects_v2", {"KeyCount": 0}, {"Bucket": "bucket", "Prefix": f"runs/1/{prefix}/"})
    account.says("omics", "list_run_tasks", {"items": []})
    status = engine_of(account, tmp_path).poll([external(1)])[external(1)]
    assert status.state is RunState.EXECUTOR_ERROR
    assert "publishDir" in str(status.message)


def test_each_state_of_the_service_has_one_of_ours(tmp_path: Path) -> None:
    states = ("PENDING", "STARTING", "RUNNING", "STOPPING")
    runs = Runs(dict(zip(range(1, 9), itertools.cycle(states), strict=False)))
    found = engine_of(runs, tmp_path).poll([external(n) for n in range(1, 9)])
    assert [found[external(n)].state.value for n in range(1, 5)] == ["QUEUED", "INITIALIZING", "RUNNING", "RUNNING"]
