"""Telling a process apart from a later one with the same number, and stopping it."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path


def boot_id() -> str:
    """Return the id of this boot of the machine; pids of another boot mean nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def started_at(pid: int) -> int | None:
    """Return when the process started, in clock ticks since boot, or None if it is gone or only a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])


def lives(pid: int | None, started: int | None, boot: str | None) -> bool:
    """Tell whether the very process that was recorded still lives."""
    return pid is not None and boot == boot_id() and started is not None and started_at(pid) == started


def stop_recorded(pid: int | None, started: int | None, boot: str | None, grace: float) -> None:
    """Stop the recorded process if it lives: ask it, wait at most `grace` seconds, kill it, wait until it is gone."""
    if pid is None:
        return
    for number, wait in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        until = time.monotonic() + wait
        with suppress(ProcessLookupError):
            if lives(pid, started, boot):
                os.kill(pid, number)
        while lives(pid, started, boot) and time.monotonic() < until:
            time.sleep(0.05)
