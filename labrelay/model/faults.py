"""Named points at the durable boundaries, where a test can make the process die or the disk fail.

`LABRELAY_FAULT=name:n:action` arms the n-th passing (from 1) of one point; `LABRELAY_FAULT_LOG=file` writes each
passing's name there, which is how a test learns which points a command has. A command may start other processes,
which inherit the arming: with `LABRELAY_FAULT_ONCE=file` only the first of them that gets there acts, and makes the
file. Unarmed, a point costs one dictionary look-up.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

_passed: dict[str, int] = {}


def faultpoint(name: str) -> None:
    """Mark a durable boundary; do nothing unless a test armed it.

    Actions: `kill` (SIGKILL to this process), `stop` (SIGSTOP, until somebody sends SIGCONT), `enospc`, `eio` (raise
    that OSError), `raise` (RuntimeError), `sleep` (one second).
    """
    log = os.environ.get("LABRELAY_FAULT_LOG")
    if log:
        with Path(log).open("a", encoding="utf-8") as out:
            out.write(name + "\n")
    armed = os.environ.get("LABRELAY_FAULT")
    if not armed:
        return
    wanted, nth, action = armed.split(":")
    if wanted != name:
        return
    _passed[name] = _passed.get(name, 0) + 1
    if _passed[name] == int(nth) and _is_first():
        _act(name, action)


def _is_first() -> bool:
    once = os.environ.get("LABRELAY_FAULT_ONCE")
    if not once:
        return True
    try:
        Path(once).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _act(name: str, action: str) -> None:
    if action in ("kill", "stop"):
        os.kill(os.getpid(), signal.SIGKILL if action == "kill" else signal.SIGSTOP)
    elif action in ("enospc", "eio"):
        code = errno.ENOSPC if action == "enospc" else errno.EIO
        raise OSError(code, os.strerror(code), name)
    elif action == "sleep":
        time.sleep(1)
    elif action == "raise":
        raise RuntimeError(f"fault point {name}")
    else:
        raise ValueError(f"LABRELAY_FAULT names no known action: {action}")
