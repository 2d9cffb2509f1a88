"""The folders of the local engine and the files in them: who writes what, and when it counts.

engine/runner.lock      held by the one runner for as long as it lives
engine/settings.json    what the runner goes by
engine/queue/<token>    an empty file for each attempt that has not ended
engine/cancels          written anew when something is cancelled, so that the runner looks at what waits
runs/<token>/           one attempt: request.json (submit), cancel (cancel), all else by the runner:
                        state.json, starts, inputs.json, miniwdl.cfg, engine.log and, last, exit.json;
                        bring.json and brought.json of one whose inputs are on AWS (`local.bring`)
work/<key40>/           belongs to the workflow run, so that the next attempt goes on: bundle/, cache/, lock,
                        and <token>/, the engine's own folder of one attempt; nextflow/ for a pipeline
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from labrelay.model.names import is_safe_name
from labrelay.model.problem import Frozen
from labrelay.model.runs import EngineStatus, RunRequest
from labrelay.model.states import RunState
from labrelay.stores.durable import write_json_atomic
from labrelay.workflows.local.sandbox import Setting

UNREADABLE = "How this attempt ended cannot be read from {}; a new attempt goes on from the finished tasks."


class RunnerSettings(Frozen):
    """What a runner goes by.

    Attributes:
        concurrency: Attempts at one time.
        sandbox: What holds the tasks.
        tool_path: Folders that tasks search for programs, first to last.
        idle_seconds: How long a runner without work stays.
        grace_seconds: How long a cancelled engine may take to stop its tasks.
        fork_from: Attempts in the queue from which on a warm process that forks engines is worth its start.
        images: Patterns (of `fnmatch`) of the container images that tasks may name, and then have to name one; None
            asks nothing.
        nextflow: A program, or a folder of jars; None looks on PATH and in the checkout.
        cpus, memory_gib: The part of this machine that is ours, as a container's is; None: all of it.
    """

    concurrency: int = 2
    sandbox: Setting = "auto"
    tool_path: tuple[str, ...] = ()
    idle_seconds: float = 30.0
    grace_seconds: float = 10.0
    fork_from: int = 2
    images: tuple[str, ...] | None = None
    nextflow: str | None = None
    cpus: int | None = None
    memory_gib: float | None = None


class AttemptState(Frozen):
    """What the runner last wrote of an attempt (`state.json`).

    Attributes:
        started: When the runner took it up.
        pid, pid_started, boot_id: The keeper's process: a pid alone may be another process by now.
    """

    state: RunState
    at: datetime
    started: datetime
    pid: int | None = None
    pid_started: int | None = None
    boot_id: str | None = None
    tasks_started: int = 0
    tasks_done: int = 0


class AttemptExit(Frozen):
    """How an attempt ended (`exit.json`); it is written once and never changed."""

    state: RunState
    at: datetime
    started: datetime | None = None
    exit_code: int | None = None
    message: str | None = None
    sandbox: str | None = None
    tasks_started: int = 0
    tasks_done: int = 0

    def status(self) -> EngineStatus:
        """Return it as the engine port says it."""
        return EngineStatus(
            state=self.state,
            at=self.at,
            message=self.message,
            tasks_done=self.tasks_done,
            tasks_started=self.tasks_started,
        )


@dataclass(frozen=True)
class Attempt:
    """The files of one attempt."""

    home: EngineHome
    token: str

    @property
    def folder(self) -> Path:
        """The attempt's own folder, `runs/<token>`."""
        return self.home.root / "runs" / self.token

    @property
    def request_file(self) -> Path:
        """What was asked."""
        return self.folder / "request.json"

    @property
    def queued_file(self) -> Path:
        """The mark that the runner has something to do for it."""
        return self.home.queue / self.token

    @property
    def cancel_file(self) -> Path:
        """The mark that somebody wants it stopped."""
        return self.folder / "cancel"

    @property
    def log_file(self) -> Path:
        """What the engine says, one JSON object a line."""
        return self.folder / "engine.log"

    @property
    def work(self) -> Path:
        """The folder that all attempts of the same workflow run share, one at a time."""
        return self.home.root / "work" / self.token.rpartition("-")[0]

    @property
    def engine_folder(self) -> Path:
        """Where the engine runs this attempt; its tasks' files stay here, because later attempts reuse them."""
        return self.work / self.token

    def request(self) -> RunRequest | None:
        """Return what was asked, or None if nothing (or nothing readable) was."""
        try:
            return RunRequest.model_validate_json(self.request_file.read_bytes())
        except (OSError, ValidationError):
            return None

    def state(self) -> AttemptState | None:
        """Return what the runner last wrote, or None if no runner has taken it up.

        A file that cannot be read is no reason to start the attempt a second time: its state is UNKNOWN.
        """
        path = self.folder / "state.json"
        try:
            return AttemptState.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError:
            return AttemptState(state=RunState.UNKNOWN, at=_written(path), started=_written(path))

    def exit(self) -> AttemptExit | None:
        """Return how it ended, or None. One whose end cannot be read counts as lost."""
        path = self.folder / "exit.json"
        try:
            return AttemptExit.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError:
            return AttemptExit(state=RunState.SYSTEM_ERROR, at=_written(path), message=UNREADABLE.format(path))

    def write_state(self, state: AttemptState) -> None:
        """Replace `state.json`."""
        write_json_atomic(self.folder / "state.json", state.model_dump(mode="json"))

    def write_exit(self, ended: AttemptExit) -> None:
        """Write `exit.json`; an end that is there already stays."""
        if self.exit() is None:
            write_json_atomic(self.folder / "exit.json", ended.model_dump(mode="json"))


@dataclass(frozen=True)
class EngineHome:
    """The local engine's part of a home folder."""

    root: Path

    @property
    def engine(self) -> Path:
        """Lock, settings, log, queue and tools of the runner."""
        return self.root / "engine"

    @property
    def queue(self) -> Path:
        """One empty file for each attempt that has not ended."""
        return self.engine / "queue"

    @property
    def cancels(self) -> Path:
        """The file whose time tells that something was cancelled."""
        return self.engine / "cancels"

    @property
    def lock(self) -> Path:
        """Held by the runner."""
        return self.engine / "runner.lock"

    @property
    def tools(self) -> Path:
        """Launchers of our stand-in tools."""
        return self.engine / "tools"

    def attempt(self, token: str) -> Attempt:
        """Return the files of the attempt with this token.

        Raises:
            ValueError: The token is no safe name; it would become a path.
        """
        if not is_safe_name(token) or "-" not in token:
            raise ValueError(f"{token!r} is no token of an attempt")
        return Attempt(self, token)

    def has_queued(self) -> bool:
        """Tell whether any attempt has not ended; it reads no more than one name."""
        try:
            with os.scandir(self.queue) as entries:
                return any(is_safe_name(entry.name) and "-" in entry.name for entry in entries)
        except FileNotFoundError:
            return False

    def queued(self, known: Collection[str] = ()) -> list[Attempt]:
        """Return the attempts that have not ended, the oldest first, but for those with a known token."""
        found = []
        for name in self.queued_names():
            if name not in known:
                with suppress(FileNotFoundError):
                    found.append(((self.queue / name).stat().st_mtime_ns, name))
        return [self.attempt(name) for _, name in sorted(found) if is_safe_name(name) and "-" in name]

    def queued_names(self) -> set[str]:
        """Return the names of all that is in the queue, in one look."""
        try:
            with os.scandir(self.queue) as entries:
                return {entry.name for entry in entries}
        except FileNotFoundError:
            return set()

    def settings(self) -> RunnerSettings:
        """Return what the runner goes by; the defaults when nothing readable was written."""
        try:
            return RunnerSettings.model_validate_json((self.engine / "settings.json").read_bytes())
        except (FileNotFoundError, ValidationError):
            return RunnerSettings()

    def write_settings(self, settings: RunnerSettings) -> None:
        """Write the settings if they are others than those that are there."""
        path = self.engine / "settings.json"
        content = settings.model_dump(mode="json")
        try:
            if json.loads(path.read_bytes()) == content:
                return
        except (OSError, ValueError):
            pass
        write_json_atomic(path, content)


def _written(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
