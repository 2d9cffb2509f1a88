"""One attempt of a job on this machine: its folder, its attendant, and how it ended.

batch/attempts/<attempt>/    spec.json (what is to be done), lock (held and signed by the attendant), exit.json,
                             work and tmp, which are the job's own and go with it
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from labrelay.workflows.local import lock

# `-I` keeps out what the environment says of Python, and `-S` what its site-packages would cost.
START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from labrelay.emulator.batch.attendant import main; \
sys.exit(main(sys.argv[1:]))"
KILL_SECONDS = 10.0  # a process that a disk holds may take longer to die, and then does nothing any more
ROOT = str(Path(__file__).parents[3])


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended by its attendant's word.

    Attributes:
        code: The exit code of the command, or 128 + the signal that ended it.
        started, stopped: Milliseconds since 1970.
        why: `itself`, `timeout` or `terminated`.
    """

    code: int
    started: int
    stopped: int
    why: str


@dataclass(frozen=True)
class Spec:
    """What an attendant goes by.

    Attributes:
        command: The argument list, that of the sandbox included.
        environment: All of it.
        folder: Where the command is started.
        log: The file of the log stream.
        timeout: Seconds after which it is stopped.
        grace: Seconds from the asking to the killing.
        contained: Whether the command is one of bubblewrap.
    """

    command: list[str]
    environment: dict[str, str]
    folder: str
    log: str
    timeout: float | None
    grace: float
    contained: bool


class Attempt:
    """The files and the process of an attempt."""

    def __init__(self, root: Path, key: str) -> None:
        self.key, self.folder = key, root / key
        self._lock, self._words = self.folder / "lock", self.folder / "attendant.log"

    @property
    def work(self) -> Path:
        """Where the command runs."""
        return self.folder / "work"

    @property
    def tmp(self) -> Path:
        """What is `/tmp` to it."""
        return self.folder / "tmp"

    def prepare(self) -> None:
        """Make fresh folders."""
        self.clear()
        self.work.mkdir(parents=True)
        self.tmp.mkdir()

    def start(self, spec: Spec) -> subprocess.Popen[bytes]:
        """Start the attendant; two of one attempt cannot be, whoever was killed when."""
        Path(spec.log).parent.mkdir(parents=True, exist_ok=True)
        Path(spec.log).touch()
        (self.folder / "spec.json").write_text(json.dumps(vars(spec)), encoding="utf-8")
        handle = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with self._words.open("wb") as words:
                return subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", START, ROOT, str(self.folder), str(handle)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=words,
                    cwd="/",
                    env={"LANG": "C.UTF-8"},
                    pass_fds=(handle,),
                    start_new_session=True,
                )
        finally:
            os.close(handle)

    def was_started(self) -> bool:
        """Tell whether an attendant ever came so far that it may have started the command."""
        return lock.is_held(self._lock) or (self._lock.exists() and self._lock.stat().st_size > 0)

    def wait(self, process: subprocess.Popen[bytes] | None) -> None:
        """Return when the attendant has ended; one that an earlier emulator started is no child of ours."""
        if process is not None:
            process.wait()
            return
        while lock.is_held(self._lock):
            attendant = lock.holder(self._lock)
            if attendant is None:
                time.sleep(0.01)  # it has not signed yet
                continue
            try:
                handle = os.pidfd_open(attendant)
            except OSError:
                time.sleep(0.1)  # it has just ended, or the kernel cannot do this
                continue
            try:
                select.select([handle], [], [])
            finally:
                os.close(handle)

    def outcome(self) -> Outcome | None:
        """Return how it ended; None when its attendant died without a word."""
        try:
            return Outcome(**json.loads((self.folder / "exit.json").read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def last_words(self) -> str:
        """Return what an attendant that broke had to say; empty for one that was killed."""
        try:
            return self._words.read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return ""

    def signal(self, number: signal.Signals) -> bool:
        """Signal the attendant; tell whether there was one to take it."""
        attendant = lock.holder(self._lock)
        if attendant is None:
            return False
        with suppress(ProcessLookupError):
            os.kill(attendant, number)
        return True

    def kill_left(self, job: str) -> None:
        """Kill what a killed attendant left of a job: processes that carry the job's id in their environment."""
        mark, until = f"AWS_BATCH_JOB_ID={job}".encode(), time.monotonic() + KILL_SECONDS
        while time.monotonic() < until and (found := list(_processes_with(mark))):
            for process in found:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.01)

    def clear(self) -> None:
        """Remove the folder."""
        if self.folder.exists():
            shutil.rmtree(self.folder, ignore_errors=True)

    def clear_scratch(self) -> None:
        """Remove what was the job's own, as a container's files go with it."""
        for folder in (self.work, self.tmp):
            shutil.rmtree(folder, ignore_errors=True)


def _processes_with(mark: bytes) -> Iterator[int]:
    for name in os.listdir("/proc"):  # noqa: PTH208
        if not name.isdigit() or int(name) == os.getpid():
            continue
        with suppress(OSError):
            if mark in Path(f"/proc/{name}/environ").read_bytes().split(b"\0"):
                yield int(name)
