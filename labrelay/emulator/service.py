"""The emulated account as its operations see it: state, folders, the account, S3, and who is told what happens."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from labrelay.emulator.operation import Params
from labrelay.emulator.state import State


class Announce(Protocol):
    """Sends an EventBridge event soon: its detail-type, the ARNs that it is about, what it says, and who says it."""

    def __call__(self, detail_type: str, resources: list[str], detail: Params, source: str = "aws.omics") -> None:
        """Send it."""


def _tell_nobody(detail_type: str, resources: list[str], detail: Params, source: str = "aws.omics") -> None:
    pass


def _loses_no_host(_job: str) -> float | None:
    return None


class Bell:
    """Wakes every waiter, and the one that was busy when it rang: a shared `Event` would be cleared by the first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._rung = 0

    def ring(self) -> None:
        """Wake everybody."""
        with self._changed:
            self._rung += 1
            self._changed.notify_all()

    def heard(self) -> int:
        """Return how often it rang so far; look for work after this, and hand the number to `wait`."""
        with self._changed:
            return self._rung

    def wait(self, heard: int, seconds: float | None) -> None:
        """Wait until it has rung more often than `heard`, at most so many seconds (None: for ever)."""
        with self._changed:
            self._changed.wait_for(lambda: self._rung > heard, seconds)


@dataclass
class Service:
    """One emulated account in one region.

    Attributes:
        folder: The data folder; `state.sqlite`, `reads/`, `runs/`, `logs/` … lie in it.
        state: What is known.
        region, account: As they stand in ARNs.
        s3: A boto3 client for the S3 that the emulator serves (or any other).
        announce: Sends an EventBridge event.
        bell: Rings when there may be work for the background workers; see `worker`.
        batch_bell: Rings when there may be work for the one that runs Batch jobs, a thousand times in an array.
        environment: The variables with which a client uses this emulator: what stands for a Batch job's role.
        loses_host: For a Batch job's name, after how many seconds its attempt loses its host; None: it does not.
        stopping: Set before the programs beside are stopped: what fails from then on says nothing about the work.
    """

    folder: Path
    state: State
    region: str = "us-east-1"
    account: str = "123456789012"
    s3: Any = None
    announce: Announce = _tell_nobody
    bell: Bell = field(default_factory=Bell)
    batch_bell: Bell = field(default_factory=Bell)
    environment: dict[str, str] = field(default_factory=dict)
    loses_host: Callable[[str], float | None] = _loses_no_host
    stopping: threading.Event = field(default_factory=threading.Event)

    def arn(self, *parts: str) -> str:
        """Return the ARN of a thing: `arn("sequenceStore", store, "readSet", read_set)`."""
        return f"arn:aws:omics:{self.region}:{self.account}:{'/'.join(parts)}"

    def wake(self) -> None:
        """Tell the background workers to look now."""
        self.bell.ring()
        self.batch_bell.ring()


Work = Callable[[Service], float | None]

WORKERS: dict[str, Work] = {}
BATCH_WORKER = "batch jobs"  # hears `Service.batch_bell` alone


def worker(name: str) -> Callable[[Work], Work]:
    """Register a function that does what is due in the background.

    The server calls it in a thread of its own: at the start (where it takes up what a killed server left), whenever
    `Service.wake` was called, and after as many seconds as it returned; None means not before it is woken. It must be
    safe to repeat: all it knows is in the state and in files.
    """

    def register(work: Work) -> Work:
        WORKERS[name] = work
        return work

    return register


def timestamp() -> str:
    """Return the time now as the state keeps it, ISO 8601 in UTC with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
