"""Run one command so that nothing of it outlives the one who asked for it.

    python -I -S keeper.py --parent PID [--usage FILE] [--lock FILE] [--chdir DIR]
                           [--grace SECONDS] [--limit SECONDS] -- COMMAND...

The keeper has a session of its own, adopts the command's orphans, and gets SIGTERM when its parent dies, however that
dies. On SIGTERM, and when the limit is over, it asks the command's process group to stop, kills it after the grace
time, and kills every process that is left. If the keeper itself is killed, the kernel kills the command. At the end it
writes what the command and all its children used, and whether it was asked to stop: `limit` or `request`.

It starts once a task and once an engine, so it imports no more of the standard library than it must: argparse, json
and pathlib would double what it costs.
"""
# ruff: noqa: PTH105, PTH123, PTH208

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import signal
import sys
import time
from collections.abc import Callable

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
WATCHED = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
PARENT_IS_GONE = 143
LOCK_IS_HELD = 75  # EX_TEMPFAIL of sysexits.h
GRACE_SECONDS = 5.0


def main(arguments: list[str], run: Callable[[list[str]], None] | None = None) -> int:
    """Run the command and return its exit code, or 128 + the signal that ended it.

    Args:
        arguments: As on the command line, see above.
        run: What the child does with the command, instead of becoming that program; its return is a success.
    """
    end = arguments.index("--")
    options, command = dict(zip(arguments[0:end:2], arguments[1:end:2], strict=True)), arguments[end + 1 :]
    grace, lock, usage = float(options.get("--grace", GRACE_SECONDS)), options.get("--lock"), options.get("--usage")
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if os.getpid() != os.getpgrp():
        os.setsid()
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(options["--parent"]):
        return PARENT_IS_GONE
    if lock is not None and not _inheritable_lock(lock, grace):
        return LOCK_IS_HELD
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    started, clock, keeper = time.time(), time.monotonic(), os.getpid()
    child = os.fork()
    if child == 0:
        try:
            settle(keeper, options.get("--chdir"), prctl)
            if run is None:
                _become(command)
        except OSError as error:
            cannot(command[0], error)
        if run is not None:
            run(command)
            sys.exit(0)
    code, stopped = _wait(child, grace, float(options.get("--limit", "inf")))
    kill_the_rest()
    if usage is not None:
        _write_usage(usage, code, started, time.monotonic() - clock, stopped)
    return code


def _inheritable_lock(path: str, wait: float) -> bool:
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


def settle(keeper: int, folder: str | None, prctl: ctypes._NamedFuncPointer) -> None:
    """Make this process, just forked, the leader of a session, which dies with its keeper."""
    os.setsid()
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != keeper:
        os._exit(PARENT_IS_GONE)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if folder is not None:
        os.chdir(folder)


def _become(command: list[str]) -> None:
    # Python ignores these two, and a program would inherit that.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    os.execvp(command[0], command)  # noqa: S606 (no shell is wanted)


def cannot(program: str, error: OSError) -> None:
    """Say that a program cannot be started, and end as a shell would."""
    sys.stderr.write(f"{program}: {error.strerror}\n")
    sys.stderr.flush()
    os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def _wait(child: int, grace: float, limit: float) -> tuple[int, str]:
    """Reap until the child has ended; return its exit code, and why it was asked to stop, if it was."""
    stopped, until = "", time.monotonic() + limit
    while (code := _reap_until(child)) is None:
        told = signal.sigtimedwait(WATCHED, min(60.0, max(0.0, until - time.monotonic())))
        over = time.monotonic() >= until
        if stopped and over:
            signal_group(child, signal.SIGKILL)
            until = time.monotonic() + 1.0
        elif not stopped and (over or (told is not None and told.si_signo != signal.SIGCHLD)):
            stopped = "limit" if over else "request"
            signal_group(child, signal.SIGTERM)
            until = time.monotonic() + grace
    return code, stopped


def _reap_until(child: int) -> int | None:
    """Reap whatever has ended; return the exit code of the child if it was among that."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return 128 + signal.SIGKILL
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        if pid == 0:
            return None


def signal_group(child: int, number: signal.Signals) -> None:
    """Signal every process of the command's group."""
    try:
        os.killpg(child, number)
    except ProcessLookupError:
        # Between fork and setsid the child has no group of its own yet.
        os.kill(child, number)


def kill_the_rest() -> None:
    """Kill and reap what the command left running; its orphans are the keeper's children by now."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            for left in children(os.getpid()):
                try:
                    os.kill(left, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            signal.sigtimedwait({signal.SIGCHLD}, 0.05)


def children(parent: int) -> list[int]:
    """Return the processes whose parent this is."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", errors="replace") as file:
                    stat = file.read()
            except OSError:
                continue
            # The second field is the name in brackets and may hold anything, so count from its end: state, parent.
            if int(stat.rpartition(")")[2].split()[1]) == parent:
                found.append(int(name))
    return found


def _write_usage(path: str, code: int, started: float, seconds: float, stopped: str) -> None:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    asked = f', "stopped": "{stopped}"' if stopped else ""
    content = (
        f'{{"exit_code": {code}, "started": {started}, "seconds": {seconds:.4f}, '
        f'"cpu_seconds": {used.ru_utime + used.ru_stime:.4f}, "peak_memory_bytes": {used.ru_maxrss * 1024}{asked}}}'
    )
    with open(f"{path}.tmp", "w", encoding="ascii") as file:
        file.write(content)
    os.replace(f"{path}.tmp", path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
