"""Starting engines for the runner: forked by the warm process where that works, else each in a Python of its own.

Either way an engine is the child of a keeper, and the keeper is the child of this process: it dies with it, and its
exit code is had by waiting.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass

from labrelay.workflows.local import keeper

log = logging.getLogger(__name__)
# The first answer waits for the imports, which a slow disk makes long.
ANSWER_SECONDS = 30.0
ROOM_BYTES = 1 << 13
MESSAGE_BYTES = 1 << 17
TRIES = 3


@dataclass(frozen=True)
class Order:
    """An engine to start.

    Attributes:
        engine: Its command line.
        main: The workflow's file, when it is a run of miniwdl, which a warm process may fork; else None.
        guard: Options of the keeper.
        log: Descriptor of the file that takes what it says.
        env: Its whole environment.
    """

    engine: list[str]
    main: str | None
    guard: list[str]
    log: int
    env: dict[str, str]

    @property
    def keeper(self) -> list[str]:
        """The command line of the keeper, up to `--`."""
        return [sys.executable, "-I", "-S", keeper.__file__, "--parent", str(os.getpid()), *self.guard]


class Child:
    """A keeper that this process has started or adopted."""

    def __init__(self, pid: int, process: subprocess.Popen[bytes] | None = None) -> None:
        self.pid, self._process = pid, process
        self._code: int | None = None
        try:
            self.pidfd = os.pidfd_open(pid)
        except OSError:
            # Nobody could watch it; the kernel kills its engine with it.
            os.kill(pid, signal.SIGKILL)
            raise

    def poll(self) -> int | None:
        """Return the exit code, or 128 + the signal that ended it; None while it lives."""
        if self._code is None:
            code = self._reap() if self._process is None else self._process.poll()
            self._code = code if code is None or code >= 0 else 128 - code
        return self._code

    def stop(self) -> None:
        """Ask it to stop its engine and to end."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGTERM)

    def close(self) -> None:
        """Let go of it, when it has ended."""
        os.close(self.pidfd)

    def _reap(self) -> int | None:
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            # Not adopted yet: the process between is about to end, and then it is ours.
            return None
        return os.waitstatus_to_exitcode(status) if pid else None


class Starter:
    """Starts keepers with engines; one for a runner."""

    def __init__(self) -> None:
        self._warm: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._failed = 0

    def start(self, order: Order, many: bool) -> Child:
        """Start the keeper and its engine.

        Args:
            order: What to start.
            many: More is to come, so that a warm process is worth its start. One that is there is used anyhow.

        Raises:
            OSError: No process could be started.
        """
        pid = self._fork(order) if order.main is not None and (many or self._channel is not None) else None
        if pid is not None:
            return Child(pid)
        process = subprocess.Popen(
            [*order.keeper, "--", *order.engine],
            stdin=subprocess.DEVNULL,
            stdout=order.log,
            stderr=subprocess.STDOUT,
            env=order.env,
        )
        return Child(process.pid, process)

    def close(self) -> None:
        """End the warm process; what it has forked goes on."""
        if self._channel is not None:
            self._channel.close()
        if self._warm is not None:
            self._warm.kill()
            self._warm.wait()
        self._warm = self._channel = None

    def reap_strangers(self, ours: set[int]) -> None:
        """Reap what was adopted and is no keeper, such as tasks of an engine whose keeper was killed."""
        known = ours if self._warm is None else {*ours, self._warm.pid}
        with suppress(ChildProcessError):
            while (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
                # Ours are waited for where their exit code is wanted; what stands behind them has time.
                if found.si_pid in known:
                    return
                os.waitpid(found.si_pid, 0)

    def _fork(self, order: Order) -> int | None:
        """Have the warm process fork the keeper and return its number; None if that did not work."""
        if self._failed >= TRIES:
            return None
        try:
            if self._channel is None:
                self._channel = self._warm_up(order.env)
            pid = _ask(self._channel, order)
        except OSError as error:
            log.warning("miniwdl is started anew for this run, since its warm process did not answer: %s", error)
            pid = None
        if pid is None:
            self._failed += 1
            self.close()
        return pid

    def _warm_up(self, env: dict[str, str]) -> socket.socket:
        # What the warm process forks becomes a child of this one when its parent ends.
        if ctypes.CDLL(None, use_errno=True).prctl(keeper.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "orphans cannot be adopted")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(ANSWER_SECONDS)
        argv = [sys.executable, "-P", "-m", "labrelay.workflows.local.warm", str(theirs.fileno()), str(os.getpid())]
        with theirs:
            self._warm = subprocess.Popen(
                [*argv, " " * ROOM_BYTES], stdin=subprocess.DEVNULL, env=env, pass_fds=(theirs.fileno(),)
            )
        return ours


def _ask(channel: socket.socket, order: Order) -> int | None:
    """Send the order and return the number of its keeper, or None if there is none and never will be."""
    content = {"guard": order.keeper, "engine": order.engine, "env": order.env, "main": order.main}
    message = json.dumps(content).encode()
    if len(message) > MESSAGE_BYTES:
        return None
    socket.send_fds(channel, [message], [order.log])
    try:
        answer = channel.recv(64)
    except TimeoutError:
        # From here on nobody can answer, and a keeper without an answer does not go on; one may have come just now.
        channel.shutdown(socket.SHUT_RD)
        answer = channel.recv(64)
    return int(answer or b"0") or None
