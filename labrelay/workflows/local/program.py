"""What the runner has to know of an engine program: how to start it, how far it is, and what its end means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from labrelay.model.runs import RunReport, RunRequest, TaskReport
from labrelay.workflows.local.home import Attempt, AttemptExit, RunnerSettings
from labrelay.workflows.verdict import Verdict


@dataclass(frozen=True)
class Launch:
    """An engine process to start.

    Attributes:
        argv: Its command line.
        env: Its whole environment.
        folder: Where it starts.
        sandbox: What will hold its tasks, as people call it.
        fork_of: The workflow's file, when the warm process of miniwdl may fork this engine; None when it may not.
    """

    argv: list[str]
    env: Mapping[str, str]
    folder: Path
    sandbox: str
    fork_of: Path | None = None


class Progress(Protocol):
    """Counts tasks while an engine runs."""

    started: int
    done: int

    def update(self) -> bool:
        """Read what the engine has said since the last time; tell whether a count has changed."""


class Program(Protocol):
    """An engine program of this machine. The bundle is unpacked in `attempt.work/bundle` before `prepare`."""

    def check(self, settings: RunnerSettings) -> None:
        """Raise `MissingTool` if it cannot run here as the settings want it."""

    def prepare(self, attempt: Attempt, request: RunRequest, settings: RunnerSettings) -> Launch:
        """Write what the engine reads, and say how it is started."""

    def progress(self, attempt: Attempt) -> Progress:
        """Return a counter for an attempt that was started just now."""

    def judge(self, attempt: Attempt, code: int, cancelled: bool) -> Verdict:
        """Return what the engine's end means; its files are read, nothing is written.

        Args:
            attempt: The attempt that has ended.
            code: The exit code of the engine, or 128 + the signal that ended it.
            cancelled: Somebody had asked for the end.
        """

    def report(self, attempt: Attempt, ended: AttemptExit) -> RunReport:
        """Return the report of an ended attempt."""

    def live_tasks(self, attempt: Attempt) -> tuple[TaskReport, ...]:
        """Return the tasks of an attempt that runs, in the order in which they were begun."""

    def said(self, attempt: Attempt, task: str) -> tuple[Path, ...]:
        """Return the files with what a task wrote to standard output and standard error, if they are there."""
