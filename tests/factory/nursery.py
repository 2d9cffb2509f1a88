"""A process that has imported the local engine's runner and miniwdl once, and forks them where a test starts a runner.

A runner and its first engine are two cold Pythons, more than a second of a processor, and some hundred tests start
them only to have a result. Here each is a fork: the runner with the environment, the folder, the descriptors and the
command line that it would have had, its engines as the warm process of the runner forks them. What they do is theirs.
Tests of how they are started, and of what a kill leaves, carry the mark `cold` and have the real thing, as all
commands in processes of their own have.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from labrelay.workflows.local.processes import started_at

RUNNER = "labrelay.workflows.local.runner"
MESSAGE_BYTES = 1 << 18
ROOM = " " * (1 << 13)


class Nursery:
    """Stands for the module `subprocess` in the local engine's; starts the process that forks when it is wanted."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="nursery-")
        self._address = f"{self._folder.name}/socket"
        self._process: subprocess.Popen[bytes] | None = None
        self._starts, self._ends = threading.Lock(), threading.Event()

    DEVNULL, STDOUT = subprocess.DEVNULL, subprocess.STDOUT

    def Popen(self, argv: Sequence[str], *, stdout: IO[bytes], cwd: Path, pass_fds: tuple[int], **_same: Any) -> Born:
        """Fork a runner; the arguments are those of the local engine, and no others."""
        assert argv[1:4] == ["-P", "-m", RUNNER], argv
        self.start()
        order = {"argv": list(argv), "cwd": str(cwd), "env": dict(os.environ), "handle": pass_fds[0]}
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
            channel.connect(self._address)
            socket.send_fds(channel, [json.dumps(order).encode()], [stdout.fileno(), pass_fds[0]])
            return Born(int(channel.recv(64)))

    def close(self) -> None:
        """End the process; what it has forked goes on."""
        self._ends.set()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def start(self) -> None:
        """Start the process, if it is not there; who forks workers of its own has to do that before."""
        with self._starts:
            if self._process is None and threading.current_thread() is threading.main_thread():
                self._start()
            elif self._process is None:
                # The kernel ends it with the thread that has started it, which here is an emulator's, and soon over.
                started = threading.Event()
                threading.Thread(target=self._start_and_stay, args=[started], daemon=True).start()
                started.wait()

    def _start_and_stay(self, started: threading.Event) -> None:
        try:
            self._start()
        finally:
            started.set()
        self._ends.wait()

    def _start(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
            listening.bind(self._address)
            listening.listen(64)
            argv = [sys.executable, "-P", __file__, str(listening.fileno()), str(os.getpid()), ROOM]
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, pass_fds=(listening.fileno(),))


class Born:
    """A forked runner, as far as the local engine looks at what it started."""

    def __init__(self, pid: int) -> None:
        self.pid, self._began = pid, started_at(pid)

    def poll(self) -> int | None:
        """Return None while it lives."""
        return None if self._began is not None and started_at(self.pid) == self._began else 0


def serve(listening: socket.socket, parent: int) -> dict[str, Any]:
    """Fork for each order; in the forked process, return what it is to be."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        sys.exit("the tests are gone")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a runner ended
    while True:
        channel, _ = listening.accept()
        with channel:
            content, handles, _, _ = socket.recv_fds(channel, MESSAGE_BYTES, 2)
            pid = os.fork() if content else 0
            if content and pid == 0:
                listening.close()
                ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
                return {**json.loads(content), "handles": handles}
            for handle in handles:
                os.close(handle)
            channel.send(str(pid).encode())


def be_runner(order: dict[str, Any]) -> None:
    """Be the runner in this process, forked just now, as if it had been started by its command line."""
    from labrelay.workflows.local.warm import show

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    out, lock = order["handles"]
    for number in (1, 2):
        os.dup2(out, number)
    os.close(out)
    if lock != order["handle"]:
        os.dup2(lock, order["handle"])
        os.close(lock)
    os.setsid()
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    show(order["argv"])
    sys.argv = [__file__, *order["argv"][4:]]
    from labrelay.workflows.local import runner

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(message)s")
    runner.main(Path(sys.argv[1]), int(sys.argv[2]))
    sys.stderr.flush()
    os._exit(0)  # nothing to tidy in the memory that all share


def import_ahead() -> None:
    """Import what runners and engines do, and have engines forked by their runner."""
    from WDL import parse_document

    from labrelay.workflows.local import runner, starter, warm

    warm.import_ahead()
    for version in ("1.0", "1.1"):
        parse_document(f"version {version}\n")
    start = starter.Starter.start

    def fork(self: starter.Starter, order: starter.Order, many: bool) -> starter.Child:
        if order.main is None:
            return start(self, order, many)
        warm.know_version(Path(order.main))
        keeper, pid = order.keeper, os.fork()
        if pid == 0:
            code = 1
            try:
                log = os.dup(order.log)
                os.closerange(3, log)
                os.closerange(log + 1, 1 << 16)
                code = warm.keep({"guard": keeper, "engine": order.engine, "env": order.env}, log)
            except SystemExit as end:  # of miniwdl, a child of the keeper
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
                atexit._run_exitfuncs()
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        return starter.Child(pid)

    starter.Starter.start = fork  # type: ignore[method-assign]
    assert runner
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    import_ahead()
    be_runner(serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])))
