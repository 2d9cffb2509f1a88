"""The warm process forks engines; whatever becomes of it, each attempt runs once and ends as if it had run alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from nursery import Nursery

from labrelay.model.states import RunState
from labrelay.workflows.local import keeper, starter

from .conftest import ECHO, Lab, eventually, one_task, processes_with

pytestmark = pytest.mark.cold


def order(folder: Path, log: int, *arguments: str) -> starter.Order:
    guard = ["--usage", str(folder / "usage.json"), "--chdir", str(folder)]
    return starter.Order(
        [sys.executable, "-P", "-m", "WDL", *arguments],
        str(folder / "main.wdl"),
        guard,
        log,
        {"PATH": os.environ["PATH"]},
    )


def warm_of(lab: Lab) -> list[int]:
    return [pid for pid in processes_with("labrelay.workflows.local.warm") if parent_of(pid) == lab.runner_pid()]


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def engine_of(token: str) -> int:
    (engine,) = [pid for pid in processes_with(f"runs/{token}/miniwdl.cfg") if "keeper.py" not in line_of(pid)]
    return engine


def line_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def test_many_attempts_are_forked_by_one_warm_process_which_ends_with_the_runner(lab: Lab) -> None:
    requests = [lab.request(one_task("sleep 1; echo x > made.txt"), salt=str(n)) for n in range(3)]
    lab.engine.ensure_runner = lambda: False  # type: ignore[method-assign]  # so that it finds all three at once
    for request in requests:
        lab.engine.submit(request)
    del lab.engine.ensure_runner
    assert lab.engine.ensure_runner()
    assert eventually(lambda: len(warm_of(lab)) == 1)
    (warm,) = warm_of(lab)
    assert [lab.wait(request.token).state for request in requests] == [RunState.COMPLETE] * 3
    assert [lab.starts(request.token) for request in requests] == [1, 1, 1]
    assert "did not answer" not in lab.log(requests[0].token)
    assert eventually(lambda: not Path(f"/proc/{warm}").exists())
    assert eventually(lambda: lab.runner_pid() is None)


def test_a_single_attempt_starts_no_warm_process(lab: Lab) -> None:
    token = lab.engine.submit(lab.request(one_task("sleep 31")))
    assert eventually(lambda: bool(processes_with("sleep 31")), 30)
    assert warm_of(lab) == []
    lab.engine.cancel(token)
    assert lab.wait(token).state is RunState.CANCELED


def test_a_forked_engine_looks_like_one_started_alone(
    make_lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch, fork_from: int
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    lab = make_lab(fork_from=fork_from)
    task = f"sleep {32 + fork_from}"  # no other test's, for processes are found by their command
    token = lab.engine.submit(lab.request(one_task(task)))
    assert eventually(lambda: bool(processes_with(task)), 30)
    engine = engine_of(token)
    guard = parent_of(engine)
    assert "keeper.py" in line_of(guard)
    assert f"-m WDL run {lab.home / 'work'}" in line_of(engine)
    assert parent_of(guard) == lab.runner_pid()
    assert os.getsid(engine) == engine
    assert os.getsid(guard) == guard
    assert b"canary" not in environment_of(engine)
    assert Path(f"/proc/{engine}/cwd").resolve() == lab.home / "runs" / token
    files = [Path(f"/proc/{engine}/fd/{number}").readlink() for number in (0, 1, 2)]
    log = lab.home / "runs" / token / "engine.log"
    assert files == [Path("/dev/null"), log, log]
    assert locks_of(engine) == {lab.home / "work" / token.rpartition("-")[0] / "lock"}
    lab.engine.cancel(token)
    assert lab.wait(token).state is RunState.CANCELED


def locks_of(pid: int) -> set[Path]:
    """Return the lock files that a process has open, the runner's being `runner.lock`."""
    files = {entry.readlink() for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.exists()}
    return {file for file in files if file.name.endswith("lock")}


def test_killing_the_warm_process_harms_no_run_and_another_takes_its_place(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(fork_from=1)
    first = lab.engine.submit(lab.request(one_task("sleep 2; echo x > made.txt")))
    assert eventually(lambda: bool(processes_with("sleep 2")), 30)
    (warm,) = warm_of(lab)
    os.kill(warm, signal.SIGKILL)
    second = lab.engine.submit(lab.request(ECHO, {"tiny.word": "second"}))
    assert lab.wait(second).state is RunState.COMPLETE
    third = lab.engine.submit(lab.request(ECHO, {"tiny.word": "third"}))
    assert lab.wait(third).state is RunState.COMPLETE
    assert lab.wait(first).state is RunState.COMPLETE
    assert [lab.starts(token) for token in (first, second, third)] == [1, 1, 1]
    assert "did not answer" in lab.log(first)


def test_a_warm_process_that_cannot_be_started_costs_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: starter.Starter, _env: dict[str, str]) -> socket.socket:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(starter.Starter, "_warm_up", refuse)
    with (tmp_path / "log").open("wb") as log:
        child = starter.Starter().start(order(tmp_path, log.fileno(), "--version"), many=True)
    assert eventually(lambda: child.poll() is not None)
    assert child.poll() == 0
    child.close()
    assert "miniwdl" in (tmp_path / "log").read_text()
    assert json.loads((tmp_path / "usage.json").read_text())["exit_code"] == 0


def test_after_a_warm_process_kept_silent_nothing_of_it_can_begin(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(0.05)
    with (tmp_path / "log").open("wb") as log, ours, theirs:
        assert starter._ask(ours, order(tmp_path, log.fileno(), "run")) is None
        with pytest.raises(BrokenPipeError):
            theirs.send(b"123")


def test_an_answer_that_came_just_in_time_is_heard(tmp_path: Path) -> None:
    class Late(socket.socket):
        told = False

        def recv(self, *_: int) -> bytes:  # type: ignore[override]
            if not self.told:
                self.told = True
                theirs.send(b"123")
                raise TimeoutError
            return super().recv(64)

    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs = pair[1]
    with (tmp_path / "log").open("wb") as log, theirs, Late(fileno=pair[0].detach()) as ours:
        assert starter._ask(ours, order(tmp_path, log.fileno(), "run")) == 123


@pytest.mark.parametrize("heard", [True, False])
def test_a_keeper_goes_on_only_if_the_runner_was_told_its_number(tmp_path: Path, heard: bool) -> None:
    code = (
        "import socket, sys; from pathlib import Path; from labrelay.workflows.local import warm\n"
        "ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
        f"{'' if heard else 'ours.close()'}\n"
        "if warm.fork_away(theirs):\n    Path(sys.argv[1]).write_text(str(warm.os.getpid()))\n"
        f"else:\n    print({'ours.recv(64).decode()' if heard else '0'})\n"
    )
    mark = tmp_path / "went on"
    done = subprocess.run([sys.executable, "-c", code, str(mark)], stdout=subprocess.PIPE, check=True)
    if heard:
        assert eventually(lambda: mark.exists() and mark.read_bytes().strip() == done.stdout.strip())
    else:
        # Standard output is closed by all: the keeper that was not to go on has ended by now.
        assert not mark.exists()


def test_the_exit_code_of_an_adopted_keeper_is_kept_and_of_a_killed_one_is_128_and_the_signal() -> None:
    child = starter.Child(forked(3))
    assert eventually(lambda: child.poll() is not None)
    assert (child.poll(), child.poll()) == (3, 3)
    child.close()
    killed = starter.Child(forked(None))
    assert killed.poll() is None
    killed.stop()
    assert eventually(lambda: killed.poll() is not None)
    assert killed.poll() == 128 + signal.SIGTERM
    killed.stop()
    killed.close()


def forked(code: int | None) -> int:
    """Return a child process that ends with the code, or sleeps."""
    argv = [sys.executable, "-I", "-S", "-c", f"import os, time; os._exit({code}) if {code} else time.sleep(60)"]
    return os.posix_spawn(sys.executable, argv, {})


def test_strangers_are_reaped_and_those_that_are_waited_for_are_left() -> None:
    # In a process of its own: this one may have other children.
    code = (
        "import os, time; from labrelay.workflows.local.starter import Child, Starter\n"
        "stranger, ours = [os.fork() or os._exit(7) for _ in range(2)]\n"
        "child = Child(ours); time.sleep(0.3)\n"
        "Starter().reap_strangers({ours})\n"
        "assert child.poll() == 7\n"
        "assert not os.path.exists(f'/proc/{stranger}')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_command_line_that_is_too_long_is_cut_off() -> None:
    code = (
        "from pathlib import Path; from labrelay.workflows.local import warm\n"
        "before = Path('/proc/self/environ').read_bytes(); warm.show(['x' * 10, 'y' * 100000])\n"
        "line = Path('/proc/self/cmdline').read_bytes()\n"
        "assert line.startswith(b'x' * 10 + b'\\0yyy') and len(line) < 2000, line\n"
        "assert Path('/proc/self/environ').read_bytes() == before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PATH": "/usr/bin", "AFTER": "unharmed"})


def test_the_warm_process_does_not_outlive_a_runner_that_is_gone_already() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        argv = [sys.executable, "-P", "-m", "labrelay.workflows.local.warm", str(theirs.fileno()), "1", " " * 100]
        done = subprocess.run(argv, pass_fds=(theirs.fileno(),), check=False, timeout=30)
    assert done.returncode == keeper.PARENT_IS_GONE


def test_the_process_that_forks_the_tests_runners_stays_when_the_thread_that_wanted_it_is_over() -> None:
    made = Nursery()

    def start() -> None:
        made.start()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
            asking.connect(made._address)
            asking.shutdown(socket.SHUT_WR)
            assert asking.recv(64) == b"0"  # it serves, and forks nothing for an order without a word

    first = threading.Thread(target=start)
    first.start()
    first.join()
    assert made._process is not None
    with pytest.raises(subprocess.TimeoutExpired):
        made._process.wait(0.2)
    made.close()
