"""The process beside one attempt of a Batch job: it outlives the emulator, and writes down how the attempt ended.

    attendant FOLDER LOCK

FOLDER holds `spec.json`; LOCK is the number of an open, locked file that is inherited. The attendant signs it with its
process id before it starts anything, so that a lock that nobody holds and nobody signed means that nothing was started.
What the command says goes into the log line by line, in the form of `logs`. SIGTERM ends the attempt: every process is
asked, and killed after the grace time. SIGUSR1 is the loss of the host: all is killed at once and nothing is written.
At the end no process of the job is left, and `exit.json` says how it went.

It starts once an attempt, a thousand times in an array, so it imports no more than it must.
"""
# ruff: noqa: PTH105, PTH123

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
import time
from typing import Any, BinaryIO

from labrelay.workflows.local import keeper

LINE_BYTES = 1 << 18  # the longest event that CloudWatch takes
PIECE_BYTES = 1 << 16
OWN_LEVELS = 2  # bubblewrap itself and its process 1, then the command
WATCHED = (signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1)


def main(arguments: list[str]) -> int:
    """Attend the attempt of a folder to its end; return 0, or 1 when its host was lost."""
    folder, lock = arguments[0], int(arguments[1])
    os.set_inheritable(lock, False)
    with open(f"{folder}/spec.json", encoding="utf-8") as file:
        spec = json.load(file)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for number in WATCHED:
        signal.signal(number, _note)
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(keeper.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    said, say = os.pipe()
    begun, attendant = time.time(), os.getpid()
    child = os.fork()
    if child == 0:
        _become(spec, say, prctl, attendant)
    os.close(say)
    with open(spec["log"], "ab", buffering=0) as log:
        attempt = _Attempt(spec, child, said, woken, _Lines(log))
        code = attempt.attend()
    if code is None:
        return 1
    ended = {"code": code, "started": int(begun * 1000), "stopped": int(time.time() * 1000), "why": attempt.why}
    with open(f"{folder}/exit.json.tmp", "w", encoding="ascii") as out:
        json.dump(ended, out)
    os.replace(f"{folder}/exit.json.tmp", f"{folder}/exit.json")
    return 0


def _note(_number: int, _frame: object) -> None:
    """Let a signal interrupt the waiting; what it was is read from the wake-up pipe."""


def _become(spec: dict[str, Any], say: int, prctl: Any, attendant: int) -> None:
    """Turn this process, just forked, into the job's command."""
    try:
        keeper.settle(attendant, spec["folder"], prctl)
        for number in (*WATCHED, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (say, 1), (say, 2)):
            os.dup2(source, target)
        os.execvpe(spec["command"][0], spec["command"], spec["environment"])  # noqa: S606 (no shell is wanted)
    except OSError as error:
        keeper.cannot(spec["command"][0], error)


class _Lines:
    """Writes what a command says as events of a log."""

    def __init__(self, log: BinaryIO) -> None:
        self._log, self._held = log, b""

    def add(self, piece: bytes) -> None:
        """Take what was said; whole lines are written."""
        *lines, self._held = (self._held + piece).split(b"\n")
        while len(self._held) >= LINE_BYTES:
            lines.append(self._held[:LINE_BYTES])
            self._held = self._held[LINE_BYTES:]
        self._write(lines)

    def finish(self) -> None:
        """Write what was said last, without an end of line."""
        self._write([self._held] if self._held else [])

    def _write(self, lines: list[bytes]) -> None:
        now = int(time.time() * 1000)
        texts = (line.decode("utf-8", "replace").removesuffix("\r") for line in lines)
        events = [json.dumps({"t": now, "i": now, "m": text[:LINE_BYTES]}, ensure_ascii=False) for text in texts]
        if events:
            self._log.write("".join(f"{event}\n" for event in events).encode("utf-8", "replace"))


class _Attempt:
    """One command under way.

    Attributes:
        why: What ended it: `itself`, `timeout` or `terminated`.
    """

    def __init__(self, spec: dict[str, Any], child: int, said: int, woken: int, lines: _Lines) -> None:
        self._spec, self._child, self._said, self._woken, self._lines = spec, child, said, woken, lines
        self._poll = select.poll()
        for handle in (said, woken):
            self._poll.register(handle, select.POLLIN)
        limit = spec["timeout"]
        self._times_out = time.monotonic() + limit if limit is not None else None
        self._kills: float | None = None
        self._lost = False
        self.why = "itself"

    def attend(self) -> int | None:
        """Return the command's exit code, or 128 + the signal that ended it; None when the host was lost."""
        code = None
        while code is None and not self._lost:
            self._wait()
            self._do_what_is_due()
            code = self._reaped()
        if self._lost:
            keeper.signal_group(self._child, signal.SIGKILL)
            keeper.kill_the_rest()
            return None
        keeper.kill_the_rest()
        while self._read():
            pass
        self._lines.finish()
        return code

    def _wait(self) -> None:
        dues = [due for due in (self._times_out, self._kills) if due is not None]
        left = max(0.0, min(dues) - time.monotonic()) * 1000 + 1 if dues else None
        for handle, _event in self._poll.poll(left):
            if handle == self._said:
                if not self._read():
                    self._poll.unregister(self._said)
                continue
            told = os.read(self._woken, 512)
            self._lost = self._lost or signal.SIGUSR1 in told
            if signal.SIGTERM in told:
                self._stop("terminated")

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        if self._times_out is not None and now >= self._times_out:
            self._stop("timeout")
        if self._kills is not None and now >= self._kills:
            keeper.signal_group(self._child, signal.SIGKILL)
            self._kills = now + 1.0

    def _stop(self, why: str) -> None:
        """Ask every process to end; those that are left are killed after the grace time."""
        if self._kills is not None:
            return
        self.why, self._times_out = why, None
        self._kills = time.monotonic() + self._spec["grace"]
        inside = _inside(self._child) if self._spec["contained"] else []
        for process in inside:
            try:
                os.kill(process, signal.SIGTERM)
            except ProcessLookupError:
                continue
        if not inside:
            keeper.signal_group(self._child, signal.SIGTERM)

    def _read(self) -> bool:
        piece = os.read(self._said, PIECE_BYTES)
        self._lines.add(piece)
        return bool(piece)

    def _reaped(self) -> int | None:
        """Reap what has ended; return the command's exit code if it is among it."""
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return 128 + signal.SIGKILL
            if process == self._child:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
            if process == 0:
                return None


def _inside(sandbox: int) -> list[int]:
    """Return the processes of the command in a sandbox, not the sandbox's own two: without those it has no grace."""
    level = [sandbox]
    for _ in range(OWN_LEVELS):
        level = [child for process in level for child in keeper.children(process)]
    found: list[int] = []
    while level:
        found += level
        level = [child for process in level for child in keeper.children(process)]
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
