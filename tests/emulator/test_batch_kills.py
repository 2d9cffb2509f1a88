"""A killed emulator loses no job of Batch and runs none twice; a lost host is told as one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError
from emulated import lose_host
from emulated_batch import SETTINGS, BatchLab, process, processes_of, serving
from emulated_runs import until

from labrelay.emulator.faults import Fault, Plan

# The first decision is that the job starts, the second that it has ended.
POINTS = [
    "emulator.batch_decided:1",
    "emulator.batch_started:1",
    "emulator.batch_running:1",
    "emulator.batch_decided:2",
]
AGAIN = {"attempts": 3, "evaluateOnExit": [{"onStatusReason": "Host EC2*", "action": "RETRY"}]}
AGAIN["evaluateOnExit"].append({"onReason": "*", "action": "EXIT"})  # type: ignore[attr-defined]


def prepared(folder: Path, script: str, **asked: object) -> str:
    """Submit one job to a server that runs none, and return its id."""
    with serving(folder) as lab:
        lab.furnish()
        lab.batch.update_compute_environment(computeEnvironment="all", state="DISABLED")
        key = lab.submit(script, **asked)
        lab.wait(key, "RUNNABLE")
    return key


def let_run(lab: BatchLab) -> None:
    lab.batch.update_compute_environment(computeEnvironment="all", state="ENABLED")


@pytest.mark.parametrize("point", POINTS)
def test_a_job_runs_once_wherever_the_emulator_is_killed(tmp_path: Path, point: str) -> None:
    did = tmp_path / "did"
    key = prepared(tmp_path / "data", f"echo once >> '{did}'")
    with process(tmp_path / "data", LABRELAY_FAULT=f"{point}:kill") as (server, lab):
        with suppress(BotoCoreError):  # the answer may be lost with the server
            let_run(lab)
        assert server.wait(30) == -signal.SIGKILL
    with serving(tmp_path / "data") as lab:
        let_run(lab)
        job = lab.wait(key)
    assert (job["status"], len(job["attempts"])) == ("SUCCEEDED", 1)
    assert did.read_text() == "once\n"


def test_a_job_goes_on_while_the_emulator_is_dead_and_its_end_is_found(tmp_path: Path) -> None:
    did = tmp_path / "did"
    with process(tmp_path / "data") as (_server, lab):
        lab.furnish()
        ending, running = (lab.submit(f"sleep {n}; echo {n} >> '{did}'") for n in ("0.7", "3"))
        for key in (ending, running):
            lab.wait(key, "RUNNING")
    until(did.exists, bool)
    with serving(tmp_path / "data") as lab:
        assert lab.wait(ending)["status"] == "SUCCEEDED"
        assert lab.job(running)["status"] == "RUNNING"
        assert len(lab.wait(running)["attempts"]) == 1
    assert did.read_text() == "0.7\n3\n"


def lost_by_plan(_lab: BatchLab, _key: str) -> None:
    """Do nothing: the plan does it."""


def kill_attendant(lab: BatchLab, key: str) -> None:
    lock = next(lab.folder.glob("batch/attempts/*/lock"))
    os.kill(int(lock.read_text()), signal.SIGKILL)
    assert processes_of(key) != [0]


def ask_for_it(lab: BatchLab, key: str) -> None:
    assert lose_host(lab.endpoint, key)
    assert not lose_host(lab.endpoint, "no-such-job")


@pytest.mark.parametrize(("plan", "lose"), [(True, lost_by_plan), (False, kill_attendant), (False, ask_for_it)])
def test_a_job_whose_host_is_lost_is_tried_again_and_never_twice_at_once(
    tmp_path: Path, plan: bool, lose: Callable[[BatchLab, str], None]
) -> None:
    faults = Plan(jobs=[Fault("jo*", "lose-host", times=1, seconds=0.3)] if plan else [])
    alone, did = tmp_path / "alone", tmp_path / "did"
    # The first attempt leaves a process in a session of its own, which a second one would find at work.
    script = f"flock -n '{alone}' setsid sleep 100 & test $AWS_BATCH_JOB_ATTEMPT = 2 || sleep 100; "
    script += f"flock -n '{did}' -c 'echo again >> {did}'"
    with serving(tmp_path / "data", SETTINGS, faults) as lab:
        lab.furnish()
        key = lab.submit(script, retryStrategy=AGAIN)
        lab.wait(key, "RUNNING")
        until(lambda: processes_of(key), lambda found: len(found) >= 3)
        lose(lab, key)
        job = lab.wait(key)
    assert job["status"] == "SUCCEEDED"
    first, _second = job["attempts"]
    assert first["statusReason"].startswith("Host EC2 (instance i-")
    assert "exitCode" not in first["container"]
    assert processes_of(key) == []


def test_a_lost_host_without_a_retry_strategy_is_the_end(tmp_path: Path) -> None:
    faults = Plan(jobs=[Fault("*", "lose-host")])
    with serving(tmp_path / "data", SETTINGS, faults) as lab:
        lab.furnish()
        job = lab.run("sleep 100")
    assert job["status"] == "FAILED"
    assert job["statusReason"].startswith("Host EC2 (instance i-")
    assert processes_of(job["jobId"]) == []


def test_a_termination_that_was_acknowledged_holds_after_a_kill(tmp_path: Path) -> None:
    with process(tmp_path / "data") as (_server, lab):
        lab.furnish()
        key = lab.submit("sleep 100", retryStrategy={"attempts": 3})
        lab.wait(key, "RUNNING")
    with process(tmp_path / "data", LABRELAY_FAULT="emulator.batch_stopping:1:kill") as (server, lab):
        with suppress(BotoCoreError):
            lab.batch.terminate_job(jobId=key, reason="enough")
        assert server.wait(30) == -signal.SIGKILL
    with serving(tmp_path / "data") as lab:
        assert lab.wait(key)["statusReason"] == "enough"
    assert processes_of(key) == []
