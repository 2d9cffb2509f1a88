"""What the runner reads of its folders: a long queue, a lock that others ask about, and files that are damaged."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from labrelay.model.states import RunState
from labrelay.workflows.local import lock
from labrelay.workflows.local.home import Attempt, EngineHome, RunnerSettings
from labrelay.workflows.local.runner import Runner
from labrelay.workflows.local.waiting import Waiting

from .conftest import ECHO, Lab, eventually, one_task, processes_with

LONG_AGO = 1_600_000_000


def queue(home: EngineHome, *numbers: int) -> list[str]:
    home.queue.mkdir(parents=True, exist_ok=True)
    tokens = [f"{number:040d}-1" for number in numbers]
    for number, token in zip(numbers, tokens, strict=True):
        path = home.queue / token
        path.touch()
        os.utime(path, (LONG_AGO + number, LONG_AGO + number))
    os.utime(home.queue, (LONG_AGO + max(numbers), LONG_AGO + max(numbers)))
    return tokens


def tokens_of(attempts: list[Attempt]) -> list[str]:
    return [attempt.token for attempt in attempts]


def test_only_what_was_queued_since_the_last_look_is_told(tmp_path: Path) -> None:
    home = EngineHome(tmp_path)
    waiting = Waiting(home)
    assert waiting.look() == []
    tokens = queue(home, 1, 2)
    assert tokens_of(waiting.look()) == tokens
    assert waiting.look() == []
    (third,) = queue(home, 3)
    assert tokens_of(waiting.look()) == [third]
    assert tokens_of(waiting.attempts) == [*tokens, third]
    (home.queue / tokens[0]).unlink()
    assert waiting.look() == []
    assert tokens_of(waiting.attempts) == [tokens[1], third]


def test_a_queue_that_changes_twice_within_one_tick_of_the_clock_is_looked_at_again(tmp_path: Path) -> None:
    home = EngineHome(tmp_path)
    (first,) = queue(home, 1)
    os.utime(home.queue)
    now = home.queue.stat().st_mtime_ns
    waiting = Waiting(home)
    assert tokens_of(waiting.look()) == [first]
    (second,) = queue(home, 2)
    os.utime(home.queue, ns=(now, now))
    assert tokens_of(waiting.look()) == [second]


def test_a_cancellation_makes_it_look_at_all_that_wait(tmp_path: Path) -> None:
    home = EngineHome(tmp_path)
    tokens = queue(home, 1, 2)
    waiting = Waiting(home)
    waiting.look()
    home.cancels.touch()
    assert tokens_of(waiting.look()) == tokens


def test_a_turn_costs_the_same_however_many_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = EngineHome(tmp_path)
    queue(home, *range(1, 301))
    runner, looked = Runner(home), list[str]()
    original = Attempt.exit
    monkeypatch.setattr(Attempt, "exit", lambda attempt: looked.append(attempt.token) or original(attempt))
    full = RunnerSettings(concurrency=0)
    assert runner._turn(full)
    assert len(looked) == 300
    for _ in range(5):
        assert runner._turn(full)
    assert len(looked) == 300


def test_one_of_many_that_wait_can_be_cancelled(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(concurrency=1)
    first = lab.engine.submit(lab.request(one_task("sleep 45")))
    assert eventually(lambda: bool(processes_with("sleep 45")), 30)
    later = [lab.engine.submit(lab.request(ECHO, {"tiny.word": str(n)})) for n in range(5)]
    lab.engine.cancel(later[3])
    assert lab.wait(later[3], 10).state is RunState.CANCELED
    assert lab.engine.poll([later[2]])[later[2]].state is RunState.QUEUED
    for token in (*later, first):
        lab.engine.cancel(token)
    assert [lab.wait(token).state for token in (*later, first)] == [RunState.CANCELED] * 6
    assert sum(lab.starts(token) for token in later) == 0


def test_who_asks_whether_the_lock_is_held_never_keeps_a_runner_from_it(tmp_path: Path) -> None:
    path, stop = tmp_path / "lock", threading.Event()

    def ask() -> None:
        while not stop.is_set():
            lock.is_held(path)

    path.touch()
    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    try:
        for _ in range(300):
            handle = lock.take(path)
            assert handle is not None
            os.close(handle)
    finally:
        stop.set()
        for asker in askers:
            asker.join()


def test_a_damaged_record_of_an_end_counts_as_lost_and_another_attempt_can_follow(lab: Lab) -> None:
    request = lab.request(ECHO, {"tiny.word": "x"})
    lab.engine.submit(request)
    assert lab.wait(request.token).state is RunState.COMPLETE
    path = lab.home / "runs" / request.token / "exit.json"
    path.write_bytes(b'{"state": "COMP')
    status = lab.engine.poll([request.token])[request.token]
    assert status.state is RunState.SYSTEM_ERROR
    assert f"cannot be read from {path}" in str(status.message)
    assert lab.engine.report(request.token).state is RunState.SYSTEM_ERROR
    retry = lab.again(request, 2)
    lab.engine.submit(retry)
    assert lab.wait(retry.token).state is RunState.COMPLETE


# Each sleeps a time of its own: a task is found by its command, and the one of the test before may still sleep.
@pytest.mark.parametrize(
    ("seconds", "content"),
    [(46, b""), (47, b"\0" * 300), (48, b'{"state": "RUNNING"}'), (49, b"[]"), (50, b"\xff")],
)
def test_an_attempt_whose_state_is_damaged_is_not_started_a_second_time(lab: Lab, seconds: int, content: bytes) -> None:
    request = lab.request(one_task(f"sleep {seconds}"))
    lab.engine.submit(request)
    assert eventually(lambda: bool(processes_with(f"sleep {seconds}")), 30)
    assert eventually(lambda: lab.runner_pid() is not None, 30)
    runner = lab.runner_pid()
    assert runner is not None
    os.kill(runner, signal.SIGKILL)
    assert eventually(lambda: not lock.is_held(lab.home / "engine" / "runner.lock"))
    (lab.home / "runs" / request.token / "state.json").write_bytes(content)
    other = lab.engine.submit(lab.request(ECHO, {"tiny.word": "meanwhile"}))
    assert lab.wait(other).state is RunState.COMPLETE
    status = lab.wait(request.token)
    assert status.state is RunState.SYSTEM_ERROR
    assert "cannot be read" in str(status.message)
    assert lab.starts(request.token) == 1


def test_a_damaged_end_in_the_queue_does_not_stop_the_runner(lab: Lab) -> None:
    request = lab.request(ECHO, {"tiny.word": "damaged"})
    lab.engine.ensure_runner = lambda: False  # type: ignore[method-assign]
    lab.engine.submit(request)
    del lab.engine.ensure_runner
    (lab.home / "runs" / request.token / "exit.json").write_bytes(b"{")
    other = lab.engine.submit(lab.request(ECHO, {"tiny.word": "whole"}))
    assert lab.wait(other).state is RunState.COMPLETE
    assert eventually(lambda: not (lab.home / "engine" / "queue" / request.token).exists())
    assert lab.starts(request.token) == 0
