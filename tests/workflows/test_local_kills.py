"""What stays true when processes are killed: no orphans, one engine on a work folder, every attempt has one end."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from labrelay.model.states import RunState
from labrelay.workflows.local import keeper, lock

from .conftest import ECHO, Lab, eventually, one_task, processes_with


def sleeper() -> tuple[str, str]:
    """Return a workflow whose task leaves two sleeping processes, and the words to find them by."""
    seconds = f"3000.{secrets.randbelow(10**9):09d}"
    return one_task(f"sleep {seconds} & setsid sleep {seconds}; echo x > made.txt"), f"sleep {seconds}"


def start(lab: Lab) -> tuple[str, str]:
    wdl, words = sleeper()
    token = lab.engine.submit(lab.request(wdl))
    assert eventually(lambda: len(processes_with(words)) >= 2, 30), lab.log(token)
    return token, words


def none_left(words: str) -> bool:
    return eventually(lambda: not processes_with(words))


def test_cancel_ends_all_processes_and_says_so(make_lab: Callable[..., Lab], sandbox: str, fork_from: int) -> None:
    lab = make_lab(sandbox, fork_from=fork_from)
    token, words = start(lab)
    lab.engine.cancel(token)
    assert lab.wait(token).state is RunState.CANCELED
    assert none_left(words)
    assert not processes_with(str(lab.home / "runs"))
    assert lab.engine.report(token).tasks[0].state is RunState.CANCELED
    lab.engine.cancel(token)
    assert lab.wait(token).state is RunState.CANCELED


def test_what_waits_in_the_queue_can_be_cancelled_too(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(concurrency=1)
    first, _ = start(lab)
    second = lab.engine.submit(lab.request(ECHO, {"tiny.word": "late"}))
    lab.engine.cancel(second)
    assert lab.wait(second).state is RunState.CANCELED
    assert lab.starts(second) == 0
    lab.engine.cancel(first)
    assert lab.wait(first).state is RunState.CANCELED


def test_killing_the_engine_ends_its_tasks_and_a_new_attempt_may_follow(
    make_lab: Callable[..., Lab], sandbox: str, fork_from: int
) -> None:
    lab = make_lab(sandbox, fork_from=fork_from)
    token, words = start(lab)
    (engine,) = [pid for pid in processes_with(f"runs/{token}/miniwdl.cfg") if not is_keeper(pid)]
    os.kill(engine, signal.SIGKILL)
    status = lab.wait(token)
    assert status.state is RunState.SYSTEM_ERROR
    assert "killed by signal 9" in str(status.message)
    assert none_left(words)


def test_killing_the_runner_ends_its_engines_and_the_attempt_is_lost(
    make_lab: Callable[..., Lab], sandbox: str, fork_from: int
) -> None:
    lab = make_lab(sandbox, fork_from=fork_from)
    token, words = start(lab)
    runner = lab.runner_pid()
    assert runner is not None
    os.kill(runner, signal.SIGKILL)
    assert eventually(lambda: lab.runner_pid() != runner)
    status = lab.engine.poll([token])[token]
    assert status.state is RunState.SYSTEM_ERROR
    assert "runner died" in str(status.message)
    # What it did is told from the moment on when it counts as ended, not only when the next runner has written that.
    assert [task.name for task in lab.engine.report(token).tasks] == ["work"]
    assert none_left(words)
    assert eventually(lambda: (lab.home / "runs" / token / "exit.json").exists())
    assert lab.engine.report(token).state is RunState.SYSTEM_ERROR
    assert lab.starts(token) == 1


def test_a_cancelled_attempt_whose_runner_is_killed_stays_cancelled(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab("host")
    token, words = start(lab)
    runner = lab.runner_pid()
    assert runner is not None
    os.kill(runner, signal.SIGSTOP)  # so that it cannot act on the request
    lab.engine.cancel(token)
    os.kill(runner, signal.SIGKILL)
    assert eventually(lambda: not lock.is_held(lab.home / "engine" / "runner.lock"))
    assert lab.engine.poll([token])[token].state is RunState.CANCELED
    assert none_left(words)
    assert eventually(lambda: (lab.home / "runs" / token / "exit.json").exists())
    assert lab.wait(token).state is RunState.CANCELED


def test_killing_the_keeper_of_an_engine_leaves_nothing(make_lab: Callable[..., Lab], fork_from: int) -> None:
    lab = make_lab(fork_from=fork_from)
    token, words = start(lab)
    (guard,) = [pid for pid in processes_with(f"runs/{token}/usage.json") if is_keeper(pid)]
    os.kill(guard, signal.SIGKILL)
    status = lab.wait(token)
    assert status.state is RunState.SYSTEM_ERROR
    assert "killed by signal 9" in str(status.message)
    assert none_left(words)


def test_killing_the_keeper_of_a_task_leaves_nothing(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab("host")
    seconds = f"3000.{secrets.randbelow(10**9):09d}"
    token = lab.engine.submit(lab.request(one_task(f"exec sleep {seconds}")))
    assert eventually(lambda: len(processes_with(f"sleep {seconds}")) >= 1, 30)
    (guard,) = [pid for pid in processes_with("labrelay-usage.json") if is_keeper(pid) and token in line_of(pid)]
    os.kill(guard, signal.SIGKILL)
    assert lab.wait(token).state is RunState.EXECUTOR_ERROR
    assert none_left(f"sleep {seconds}")


@pytest.mark.parametrize(
    "point", ["runner.state_written", "runner.started", "runner.child_exited", "runner.exit_written"]
)
def test_a_runner_killed_at_a_durable_boundary_never_starts_the_attempt_twice(
    make_lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch, point: str, fork_from: int
) -> None:
    lab = make_lab(fork_from=fork_from)
    request = lab.request(ECHO, {"tiny.word": "x"})
    monkeypatch.setenv("LABRELAY_FAULT", f"{point}:1:kill")
    lab.engine.submit(request)
    monkeypatch.delenv("LABRELAY_FAULT")
    status = lab.wait(request.token)
    wanted = RunState.COMPLETE if point == "runner.exit_written" else RunState.SYSTEM_ERROR
    assert status.state is wanted
    assert lab.starts(request.token) <= 1
    assert lab.engine.submit(request) == request.token
    assert lab.wait(request.token).state is wanted
    if wanted is RunState.SYSTEM_ERROR:
        retry = lab.again(request, 2)
        lab.engine.submit(retry)
        assert lab.wait(retry.token).state is RunState.COMPLETE


def test_what_had_finished_when_the_runner_died_is_reported_by_the_next_attempt_with_its_files_and_tasks(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = lab.request(ECHO, {"tiny.word": "x"})
    monkeypatch.setenv("LABRELAY_FAULT", "runner.child_exited:1:kill")
    lab.engine.submit(request)
    monkeypatch.delenv("LABRELAY_FAULT")
    assert lab.wait(request.token).state is RunState.SYSTEM_ERROR
    retry = lab.again(request, 2)
    lab.engine.submit(retry)
    assert lab.wait(retry.token).state is RunState.COMPLETE
    report = lab.engine.report(retry.token)
    assert sorted((file.output, file.index) for file in report.files) == [("parts", 0), ("parts", 1), ("said", 0)]
    assert report.values == {"length": 1}
    assert [(task.name, task.cached, task.exit_code) for task in report.tasks] == [("say", True, 0)]


@pytest.mark.parametrize("point", ["runner.request_written", "runner.queued", "runner.spawn"])
def test_a_submitter_killed_at_a_durable_boundary_leaves_a_request_that_runs_once(lab: Lab, point: str) -> None:
    request = lab.request(ECHO, {"tiny.word": "x"})
    code = (
        "import sys; from pathlib import Path; from labrelay.model.runs import RunRequest; "
        "from labrelay.workflows.local.engine import LocalEngine; "
        "LocalEngine(Path(sys.argv[1]), sandbox='host', idle_seconds=2).submit("
        "RunRequest.model_validate_json(sys.stdin.read()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(lab.home)],
        input=request.model_dump_json().encode(),
        env={**os.environ, "LABRELAY_FAULT": f"{point}:1:kill"},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert lab.wait(request.token).state is RunState.COMPLETE
    assert lab.starts(request.token) == 1


@pytest.mark.parametrize("point", ["runner.child_exited", "runner.exit_written"])
def test_a_disk_that_is_full_at_the_end_delays_the_end_and_loses_nothing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    request = lab.request(ECHO, {"tiny.word": "x"})
    monkeypatch.setenv("LABRELAY_FAULT", f"{point}:1:enospc")
    lab.engine.submit(request)
    monkeypatch.delenv("LABRELAY_FAULT")
    assert lab.wait(request.token).state is RunState.COMPLETE
    assert eventually(lambda: not (lab.home / "engine" / "queue" / request.token).exists())
    assert "waits" in (lab.home / "engine" / "runner.log").read_text()
    assert lab.starts(request.token) == 1


def test_two_engines_never_share_a_work_folder(tmp_path: Path) -> None:
    words = f"3000.{secrets.randbelow(10**9):09d}"
    argv = [sys.executable, "-I", "-S", keeper.__file__, "--parent", str(os.getpid()), "--grace", "0.2"]
    argv += ["--lock", str(tmp_path / "lock"), "--", "sleep", words]
    first = subprocess.Popen(argv)
    assert eventually(lambda: len(processes_with(f"sleep {words}")) >= 2)
    assert subprocess.run(argv, check=False).returncode == keeper.LOCK_IS_HELD
    first.terminate()
    assert first.wait(10) == 128 + signal.SIGTERM
    assert none_left(f"sleep {words}")


def test_a_keeper_ends_what_ignores_the_request_to_stop_and_what_was_left_behind(tmp_path: Path) -> None:
    words = f"3000.{secrets.randbelow(10**9):09d}"
    script = f"trap '' TERM; setsid sh -c \"trap '' TERM; sleep {words}; true\" & sleep {words}; sleep {words}"
    argv = [sys.executable, "-I", "-S", keeper.__file__, "--parent", str(os.getpid()), "--grace", "0.3"]
    process = subprocess.Popen([*argv, "--", "/bin/sh", "-c", script])
    assert eventually(lambda: len(processes_with(f"sleep {words}")) >= 4)
    process.terminate()
    assert process.wait(10) == 128 + signal.SIGKILL
    assert not processes_with(words)


def test_without_the_lock_the_same_harness_sees_two_runners(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    path = lab.home / "engine" / "runner.lock"
    held = lock.take(path)
    assert held is not None
    assert lock.take(path) is None
    assert lock.is_held(path)
    monkeypatch.setenv(lock.CONTROL, "1")
    second = lock.take(path)
    assert second is not None
    os.close(second)
    os.close(held)
    assert not lock.is_held(path)


def line_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def is_keeper(pid: int) -> bool:
    return "keeper.py" in line_of(pid)
