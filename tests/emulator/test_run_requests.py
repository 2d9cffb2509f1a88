from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from emulated_runs import ROLE, SAY, SETTINGS, TWO, RunLab
from emulated_storage import forget_objects

from labrelay.emulator import run_log, runs
from labrelay.emulator.drive import Drive
from labrelay.emulator.execution import MAX_BREAKS, Crew, admit, fits
from labrelay.emulator.instances import whole_cpus, whole_gib
from labrelay.emulator.operation import Failure
from labrelay.emulator.run_log import RunLog
from labrelay.emulator.run_settings import RunSettings, load_settings
from labrelay.emulator.run_states import change_run
from labrelay.model.errors import UsageError
from labrelay.workflows.local.home import Attempt, EngineHome

GIVEN = {"given": "s3://lab/a.txt"}


@pytest.fixture
def lab(tmp_path: Path, s3_url: str) -> RunLab:
    """An account in which nothing happens by itself."""
    forget_objects(s3_url)
    return RunLab(tmp_path / "data", s3_url)


def set_status(lab: RunLab, run: str, status: str) -> None:
    change_run(lab.service, run, lab.call("GetRun", id=run)["uuid"], lambda _body: {"status": status})


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, "missing: given"),
        ({"given": "s3://lab/a", "other": 1}, "unknown: other"),
        ({"given": "s3://lab/a", "pair.given": "s3://lab/b"}, "given twice: given"),
        ({"other": 1}, "missing: given; unknown: other"),
        ({"given": "x" * 300_000}, "300,0.. bytes"),
        ([1], "no object"),
    ],
)
def test_parameters_that_do_not_fit_the_template_are_refused_at_once(lab: RunLab, parameters: Any, words: str) -> None:
    with pytest.raises(Failure, match=words):
        lab.start(lab.workflow(TWO), parameters) if parameters else lab.start(lab.workflow(TWO))


def test_a_parameter_may_have_the_workflows_name_before_it(lab: RunLab) -> None:
    run = lab.start(lab.workflow(TWO), {"pair.given": "s3://lab/a", "word": "x"})
    assert lab.call("GetRun", id=run)["status"] == "PENDING"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"roleArn": "arn:aws:iam::123456789012:user/me"}, "roleArn"),
        ({"outputUri": "/tmp/out"}, "outputUri"),
        ({"workflowId": "999"}, "ResourceNotFoundException"),
        ({"workflowVersionName": "none"}, "ResourceNotFoundException"),
        ({"runGroupId": "999"}, "run group"),
        ({"cacheId": "999"}, "run cache"),
        ({"runId": "999"}, "run 999"),
        ({"configurationName": "vpc"}, "configuration vpc"),
        ({"networkingMode": "VPC"}, "no VPC"),
        ({"workflowType": "READY2RUN"}, "Ready2Run"),
        ({"cacheBehavior": "CACHE_ALWAYS"}, "name a cacheId"),
    ],
)
def test_what_a_run_names_has_to_be_there(lab: RunLab, asked: dict[str, str], words: str) -> None:
    workflow = lab.workflow(TWO)
    with pytest.raises(Failure, match=words):
        lab.start(workflow, GIVEN, **asked)
    assert lab.call("ListRuns")["items"] == []


def test_a_thousand_requests_with_one_token_start_one_run(lab: RunLab) -> None:
    workflow = lab.workflow(TWO)
    assert len({lab.start(workflow, GIVEN, requestId="same") for _ in range(1000)}) == 1
    assert len(lab.call("ListRuns")["items"]) == 1
    with pytest.raises(Failure, match="ConflictException"):
        lab.start(workflow, GIVEN, requestId="same", name="another")


def test_a_run_duplicates_another_but_for_what_is_said(lab: RunLab) -> None:
    first = lab.start(lab.workflow(TWO), GIVEN, name="first", priority=7)
    key = lab.call("StartRun", runId=first, roleArn=ROLE, outputUri="s3://lab/other", name="second")["id"]
    copy = lab.call("GetRun", id=key)
    assert (copy["name"], copy["priority"], copy["parameters"]) == ("second", 7, GIVEN)


def test_a_waiting_run_is_cancelled_at_once_and_an_ended_one_only_deleted(lab: RunLab) -> None:
    workflow = lab.workflow(TWO)
    run = lab.start(workflow, GIVEN)
    with pytest.raises(Failure, match="ConflictException"):
        lab.call("DeleteRun", id=run)
    lab.call("CancelRun", id=run)
    assert lab.call("GetRun", id=run)["status"] == "CANCELLED"
    with pytest.raises(Failure, match="ConflictException"):
        lab.call("CancelRun", id=run)
    lab.call("DeleteRun", id=run)
    for operation in ("GetRun", "CancelRun", "DeleteRun", "ListRunTasks"):
        with pytest.raises(Failure, match="ResourceNotFoundException"):
            lab.call(operation, id=run)
    assert lab.statuses(run) == ["PENDING", "CANCELLED", "DELETED"]
    assert lab.start(workflow, GIVEN) != run


def test_ids_of_deleted_runs_come_again_where_the_settings_say_so(lab: RunLab) -> None:
    (lab.folder / "runs.toml").write_text("reuse_run_ids = true\n")
    workflow = lab.workflow(TWO)
    run = lab.start(workflow, GIVEN)
    before = lab.call("GetRun", id=run)["uuid"]
    lab.call("CancelRun", id=run)
    lab.call("DeleteRun", id=run)
    assert lab.start(workflow, GIVEN) == run
    assert lab.call("GetRun", id=run)["uuid"] != before


def test_a_run_keeps_its_definition_when_the_workflow_is_deleted(lab: RunLab) -> None:
    workflow = lab.workflow(TWO)
    run = lab.start(workflow, GIVEN)
    lab.call("DeleteWorkflow", id=workflow)
    definition = lab.call("GetRun", id=run, export=["DEFINITION"])["definition"]
    assert lab.read(definition)[:2] == b"PK"


def test_the_oldest_run_that_may_go_makes_room_with_all_its_files(lab: RunLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "MAX_RUNS", 1)
    workflow = lab.workflow(TWO)
    first = lab.start(workflow, GIVEN, retentionMode="REMOVE")
    with pytest.raises(Failure, match="ServiceQuotaExceededException"):
        lab.start(workflow, GIVEN)
    lab.call("CancelRun", id=first)
    second = lab.call("GetRun", id=lab.start(workflow, GIVEN))
    assert [run["id"] for run in lab.call("ListRuns")["items"]] == [second["id"]]
    assert [path.name for path in (lab.folder / "runs").iterdir()] == [second["uuid"]]


def test_a_run_that_cannot_be_kept_leaves_no_files(lab: RunLab, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_given: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    workflow = lab.workflow(TWO)
    monkeypatch.setattr(runs, "set_tags", full)
    with pytest.raises(sqlite3.OperationalError):
        lab.start(workflow, GIVEN)
    assert not list((lab.folder / "runs").iterdir())


def test_the_engines_log_goes_on_after_a_line_that_no_piece_holds(
    lab: RunLab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(run_log, "PIECE_BYTES", 8)
    attempt = Attempt(EngineHome(tmp_path / "engine"), "1-1")
    attempt.log_file.parent.mkdir(parents=True)
    attempt.log_file.write_bytes(b"first\n" + b"long" * 5 + b"\n\nlast\nhalf")
    follower = RunLog(lab.service, {"id": "1", "logLevel": "ALL"}, tmp_path)
    while follower.follow(attempt):
        pass
    assert lab.log("run/1/engine") == ["first", "longlong", "longlong", "long", "", "last"]
    attempt.log_file.write_bytes(attempt.log_file.read_bytes() + b"ed\n")
    assert follower.follow(attempt)
    assert lab.log("run/1/engine")[-1] == "halfed"


def test_runs_are_listed_by_name_state_and_group(lab: RunLab) -> None:
    workflow, group = lab.workflow(TWO), lab.call("CreateRunGroup", name="g")["id"]
    a = lab.start(workflow, GIVEN, name="a")
    b = lab.start(workflow, GIVEN, name="b", runGroupId=group)
    set_status(lab, a, "COMPLETED")
    listed = {
        "name": lab.call("ListRuns", name="a"),
        "status": lab.call("ListRuns", status="PENDING"),
        "group": lab.call("ListRuns", runGroupId=group),
    }
    assert {how: [run["id"] for run in page["items"]] for how, page in listed.items()} == {
        "name": [a],
        "status": [b],
        "group": [b],
    }
    assert listed["name"]["items"][0]["workflowName"] == "tiny"


def test_ten_thousand_runs_are_listed_quickly(lab: RunLab) -> None:
    run = lab.start(lab.workflow(TWO), GIVEN)
    with lab.service.state.write() as state:
        body = state.get("run", run)
        assert body is not None
        for number in range(10_000):
            state.put("run", str(number), body | {"id": str(number), "status": "COMPLETED", "name": f"n{number}"})
    began = time.perf_counter()
    seen, token = 0, {}
    for _ in range(10):
        page = lab.call("ListRuns", maxResults=100, **token)
        seen, token = seen + len(page["items"]), {"startingToken": page["nextToken"]}
    assert seen == 1000
    assert len(lab.call("ListRuns", status="PENDING")["items"]) == 1
    assert len(lab.call("ListRuns", name="n9999")["items"]) == 1
    assert time.perf_counter() - began < 3


def test_a_run_group_with_waiting_runs_is_not_deleted(lab: RunLab) -> None:
    group = lab.call("CreateRunGroup", name="g", maxRuns=3)["id"]
    run = lab.start(lab.workflow(TWO), GIVEN, runGroupId=group)
    with pytest.raises(Failure, match="ConflictException"):
        lab.call("DeleteRunGroup", id=group)
    lab.call("CancelRun", id=run)
    lab.call("UpdateRunGroup", id=group, maxRuns=5)
    assert lab.call("GetRunGroup", id=group)["maxRuns"] == 5
    lab.call("DeleteRunGroup", id=group)
    assert lab.call("ListRunGroups")["items"] == []


def test_a_run_cache_needs_a_bucket(lab: RunLab) -> None:
    with pytest.raises(Failure, match="bucket nowhere"):
        lab.call("CreateRunCache", cacheS3Location="s3://nowhere/cache")
    cache = lab.call("CreateRunCache", cacheS3Location="s3://lab/cache/", name="c")["id"]
    lab.call("UpdateRunCache", id=cache, cacheBehavior="CACHE_ALWAYS")
    found = lab.call("GetRunCache", id=cache)
    assert (found["status"], found["cacheBehavior"], found["cacheS3Uri"]) == (
        "ACTIVE",
        "CACHE_ALWAYS",
        "s3://lab/cache",
    )
    lab.call("DeleteRunCache", id=cache)
    with pytest.raises(Failure, match="ResourceNotFoundException"):
        lab.call("GetRunCache", id=cache)


def test_runs_are_let_in_by_concurrency_group_and_priority(lab: RunLab) -> None:
    workflow = lab.workflow(TWO)
    group = lab.call("CreateRunGroup", name="g", maxRuns=1)["id"]
    slow = [lab.start(workflow, GIVEN, runGroupId=group) for _ in range(2)]
    free = [lab.start(workflow, GIVEN, priority=number) for number in (1, 9)]
    assert [run["id"] for run in admit(lab.service, RunSettings(concurrency=3))] == [free[1], free[0], slow[0]]
    assert admit(lab.service, RunSettings(concurrency=3)) == []
    set_status(lab, free[0], "COMPLETED")
    assert admit(lab.service, RunSettings(concurrency=3)) == []
    set_status(lab, slow[0], "COMPLETED")
    assert [run["id"] for run in admit(lab.service, RunSettings(concurrency=3))] == [slow[1]]


def test_a_run_that_takes_longer_than_its_group_allows_is_ended(lab: RunLab) -> None:
    group = lab.call("CreateRunGroup", name="g", maxDuration=2)["id"]
    run = lab.start(lab.workflow(SAY), {"script": "sleep 60"}, runGroupId=group)
    begun = {"status": "RUNNING", "startTime": "2026-01-01T00:00:00.000Z"}
    change_run(lab.service, run, lab.call("GetRun", id=run)["uuid"], lambda _body: begun)
    with lab.working():
        found = lab.wait(run)
    assert (found["failureReason"], found["statusMessage"]) == ("RUN_TIMED_OUT", "Run timeout after 2 minutes.")


def test_a_run_whose_driver_breaks_is_given_up_after_some_tries(lab: RunLab) -> None:
    run = lab.start(lab.workflow(TWO), GIVEN)
    (lab.folder / "runs" / lab.call("GetRun", id=run)["uuid"] / "schema.json").write_text("no JSON")
    crew = Crew(lab.folder)
    for _ in range(MAX_BREAKS):
        crew.look(lab.service)
        crew.wait(10)
    found = lab.call("GetRun", id=run)
    assert (found["status"], found["failureReason"]) == ("FAILED", "SERVICE_ERROR")


class EndsWhenAsked(threading.Thread):
    """A driver that ends its run, and itself, in the moment in which one asks whether it is alive."""

    def __init__(self, lab: RunLab, run: str) -> None:
        super().__init__()
        self.end = lambda: set_status(lab, run, "COMPLETED")

    def is_alive(self) -> bool:
        self.end()
        return False


def test_a_run_that_ends_while_one_looks_is_not_driven_again(lab: RunLab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab.start(lab.workflow(TWO), GIVEN)
    set_status(lab, run, "RUNNING")
    driven: list[str] = []
    monkeypatch.setattr(Drive, "go", lambda drive: driven.append("again"))
    crew = Crew(lab.folder)
    monkeypatch.setattr(crew, "_drivers", {lab.call("GetRun", id=run)["uuid"]: EndsWhenAsked(lab, run)})
    assert not crew.look(lab.service)
    crew.wait(10)
    assert not driven


def test_a_stop_of_the_emulator_fails_no_run(lab: RunLab) -> None:
    run = lab.start(lab.workflow(TWO), GIVEN)
    lab.service.stopping.set()
    crew = Crew(lab.folder)
    crew.look(lab.service)
    crew.wait(10)
    assert lab.call("GetRun", id=run)["status"] in ("STARTING", "RUNNING")


def test_runs_of_one_cache_and_definition_go_one_at_a_time(lab: RunLab) -> None:
    cache = lab.call("CreateRunCache", cacheS3Location="s3://lab/cache")["id"]
    pair, say = lab.workflow(TWO), lab.workflow(SAY)
    first = lab.start(pair, GIVEN, cacheId=cache)
    lab.start(pair, GIVEN, cacheId=cache)
    others = [lab.start(say, cacheId=cache), lab.start(pair, GIVEN)]
    assert [run["id"] for run in admit(lab.service, RunSettings(concurrency=9))] == [first, *others]


@pytest.mark.parametrize(
    ("limits", "runs", "cpus", "wanted", "room"),
    [
        ({}, 100, 1000, 8, True),
        ({"maxRuns": 2}, 1, 4, 4, True),
        ({"maxRuns": 2}, 2, 4, 4, False),
        ({"maxCpus": 8}, 1, 4, 4, True),
        ({"maxCpus": 8}, 1, 5, 4, False),
        ({"maxCpus": 8}, 0, 0, 16, True),
    ],
)
def test_a_group_has_room_or_not(limits: dict[str, int], runs: int, cpus: int, wanted: int, room: bool) -> None:
    assert fits(limits, runs, cpus, wanted) is room


def test_static_storage_is_rounded_as_it_is_billed(lab: RunLab) -> None:
    run = lab.start(lab.workflow(TWO), GIVEN, storageType="STATIC", storageCapacity=1300)
    assert lab.call("GetRun", id=run)["storageCapacity"] == 2400


def test_what_a_task_asks_for_is_rounded_up() -> None:
    assert (whole_cpus(None), whole_cpus(0.5), whole_cpus(2.1)) == (1, 1, 3)
    assert (whole_gib(None), whole_gib(1), whole_gib(2 * 2**30 + 1)) == (1, 1, 3)


def test_only_images_that_the_settings_name_can_be_started(lab: RunLab) -> None:
    (lab.folder / "runs.toml").write_text(SETTINGS + '[images]\n"docker.io/*" = "local"\n')
    run = lab.start(lab.workflow(SAY))
    with lab.working():
        assert lab.wait(run)["failureReason"] == "RUN_TASK_FAILED"
    (task,) = lab.tasks(run)
    assert task["failureReason"] == "CANNOT_START_CONTAINER_ERROR"
    assert "quay.io/example/say:1" in task["statusMessage"]


def test_settings_that_cannot_be_are_told_with_their_file(tmp_path: Path) -> None:
    (tmp_path / "runs.toml").write_text('concurrency = "many"\n')
    with pytest.raises(UsageError, match=r"runs\.toml"):
        load_settings(tmp_path)
