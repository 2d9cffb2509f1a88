"""The one task of a command's attempt: its folder, what was told to run, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from labrelay.model.problem import Frozen
from labrelay.workflows.specs import OutputSpec


class Task(Frozen):
    """What is run, written before it starts (`task.json`).

    Attributes:
        name: The definition's.
        argv: The program and its arguments, with all values in their places.
        inputs: As asked for, by name.
        outputs: Which files of the work folder are kept.
        stdout: The file in the work folder that takes standard output; None keeps it as a log.
        image: The container image that the definition names.
        ran_in: What holds the task here, as people call it.
        cpus: Processors that it was told to use.
        memory_bytes: Memory that it asks for; nothing on this machine holds it to that.
        minutes: After which it is ended.
    """

    name: str
    argv: tuple[str, ...]
    inputs: dict[str, Any] = {}
    outputs: dict[str, OutputSpec] = {}
    stdout: str | None = None
    image: str | None = None
    ran_in: str
    cpus: int
    memory_bytes: int
    minutes: float | None = None


class Usage(Frozen):
    """How it ended and what it used, written by its keeper at the end (`usage.json`).

    Attributes:
        stopped: `limit` or `request` when it was asked to stop; then its files may be half written.
    """

    exit_code: int
    started: float
    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    stopped: Literal["limit", "request"] | None = None


@dataclass(frozen=True)
class Folders:
    """The folder of one attempt, which no other attempt uses."""

    root: Path

    @property
    def work(self) -> Path:
        """Where the command runs; its outputs are here, and nothing else is at its start."""
        return self.root / "work"

    @property
    def inputs(self) -> Path:
        """Where the command finds its inputs: a folder of ours for each folder that they come from."""
        return self.root / "inputs"

    @property
    def stderr(self) -> Path:
        """What it wrote to standard error; it is there from the moment that the command starts."""
        return self.root / "stderr.txt"

    @property
    def task_file(self) -> Path:
        """What is run."""
        return self.root / "task.json"

    @property
    def usage_file(self) -> Path:
        """How it ended; it is not there when nobody saw its end."""
        return self.root / "usage.json"

    def stdout(self, task: Task) -> Path:
        """Return the file that takes its standard output."""
        return self.root / "stdout.txt" if task.stdout is None else self.work / task.stdout

    def task(self) -> Task | None:
        """Return what was told to run, None if nothing readable was."""
        try:
            return Task.model_validate_json(self.task_file.read_bytes())
        except (OSError, ValidationError):
            return None

    def usage(self) -> Usage | None:
        """Return how it ended, None if nobody saw that."""
        try:
            return Usage.model_validate_json(self.usage_file.read_bytes())
        except (OSError, ValidationError):
            return None
