"""Run one command so that nothing of it outlives the one who asked for it.

    python -I -S keeper.py --parent PID [--usage FILE] [--lock FILE] [--chdir DIR] [--grace SECONDS] -- COMMAND...

The keeper has a session of its own, adopts the command's orphans, and gets SIGTERM when its parent dies, however that
dies. On SIGTERM it asks the command's process group to stop, kills it after the grace time, and kills every process
that is left. If the keeper itself is killed, the kernel kills the command. At the end it writes what the command and
all its children used.

It imports nothing but the standard library, because it starts once a task.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
WATCHED = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
PARENT_IS_GONE = 143
LOCK_IS_HELD = 75  # EX_TEMPFAIL of sysexits.h


def main(arguments: list[str]) -> int:
    """Run the command and return its exit code, or 128 + the signal that ended it."""
    options = _parser().parse_args(arguments)
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if os.getpid() != os.getpgrp():
        os.setsid()
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != options.parent:
        return PARENT_IS_GONE
    if options.lock is not None and not _inheritable_lock(options.lock, options.grace):
        return LOCK_IS_HELD
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    started, clock = time.time(), time.monotonic()
    child = os.fork()
    if child == 0:
        _become(options.command, options.chdir, prctl)
    code = _wait(child, options.grace)
    _kill_the_rest()
    if options.usage is not None:
        _write_usage(options.usage, code, started, time.monotonic() - clock)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="keeper", add_help=False)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--usage", type=Path)
    parser.add_argument("--lock", type=Path)
    parser.add_argument("--chdir", type=Path)
    parser.add_argument("--grace", type=float, default=5.0)
    parser.add_argument("command", nargs="+")
    return parser


def _inheritable_lock(path: Path, wait: float) -> bool:
    """Hold a lock that the command inherits: as long as either lives, nobody else gets it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    os.set_inheritable(handle, True)
    until = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        else:
            return True


def _become(command: list[str], folder: Path | None, prctl: ctypes._NamedFuncPointer) -> None:
    try:
        os.setsid()
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # Python ignores these two, and a program would inherit that.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if folder is not None:
            os.chdir(folder)
        os.execvp(command[0], command)  # noqa: S606 (no shell is wanted)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        sys.stderr.flush()
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def _wait(child: int, grace: float) -> int:
    """Reap until the child has ended; return its exit code."""
    deadline: float | None = None
    while True:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return 128 + signal.SIGKILL
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
            if pid == 0:
                break
        left = 60.0 if deadline is None else max(0.0, deadline - time.monotonic())
        told = signal.sigtimedwait(WATCHED, left)
        if deadline is not None and time.monotonic() >= deadline:
            _signal_group(child, signal.SIGKILL)
            deadline = time.monotonic() + 1.0
        elif told is not None and told.si_signo != signal.SIGCHLD and deadline is None:
            _signal_group(child, signal.SIGTERM)
            deadline = time.monotonic() + grace


def _signal_group(child: int, number: signal.Signals) -> None:
    try:
        os.killpg(child, number)
    except ProcessLookupError:
        # Between fork and setsid the child has no group of its own yet.
        os.kill(child, number)


def _kill_the_rest() -> None:
    """Kill and reap what the command left running; its orphans are the keeper's children by now."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            for left in _children(os.getpid()):
                try:
                    os.kill(left, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            signal.sigtimedwait({signal.SIGCHLD}, 0.05)


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text(errors="replace")
            except OSError:
                continue
            # The second field is the name in brackets and may hold anything, so count from its end: state, parent.
            if int(stat.rpartition(")")[2].split()[1]) == parent:
                found.append(int(entry.name))
    return found


def _write_usage(path: Path, code: int, started: float, seconds: float) -> None:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    content = {
        "exit_code": code,
        "started": started,
        "seconds": round(seconds, 4),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 4),
        "peak_memory_bytes": used.ru_maxrss * 1024,
    }
    temp = path.with_name(path.name + ".tmp")
    temp.write_text(json.dumps(content), encoding="utf-8")
    temp.replace(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
