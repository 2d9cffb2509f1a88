"""The runner's lock, which whoever starts a runner takes first and hands over, so that never two are started.

A flock belongs to the open file, not to a process: the starter opens and locks it, the runner inherits the open file,
and the starter closes its own copy. From the first moment until the runner's death, however it dies, it is held.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from labrelay.stores.durable import make_dirs

# Test control only: without the lock two runners may start the same attempt, which the crash tests then have to see.
CONTROL = "LABRELAY_CONTROL_NO_RUNNER_LOCK"


def switched_off() -> bool:
    """Tell whether a crash test wants to see what happens without the lock."""
    return os.environ.get(CONTROL) == "1"


def take(path: Path, wait: float = 0.0) -> int | None:
    """Lock the file and return its descriptor, which holds the lock; None when somebody else has it."""
    make_dirs(path.parent)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    until = time.monotonic() + wait
    while not _locked(handle, fcntl.LOCK_EX):
        if switched_off():
            return handle
        # Somebody who asks `is_held` at this moment shares the lock for an instant: that is no reason to give up.
        if _locked(handle, fcntl.LOCK_SH):
            fcntl.flock(handle, fcntl.LOCK_UN)
            time.sleep(0.001)
            continue
        if time.monotonic() >= until:
            os.close(handle)
            return None
        time.sleep(0.05)
    return handle


def sign(handle: int) -> None:
    """Write this process's id into the lock file, for people and messages."""
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)


def is_held(path: Path) -> bool:
    """Tell whether somebody holds the lock, without hindering others who ask the same."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not _locked(handle, fcntl.LOCK_SH)
    finally:
        os.close(handle)


def holder(path: Path) -> int | None:
    """Return the process that holds the lock, as it signed; None when nobody does or it has not signed yet."""
    if not is_held(path):
        return None
    signed = path.read_text(encoding="ascii", errors="replace").strip()
    return int(signed) if signed.isdigit() else None


def _locked(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
