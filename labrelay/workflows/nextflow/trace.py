"""Nextflow's trace file, and what is in the work folders that it names, as reports of tasks."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from labrelay.model.runs import TaskReport
from labrelay.model.states import RunState
from labrelay.workflows.nextflow.log import Begun
from labrelay.workflows.verdict import last_lines, moment

STATES = {
    "COMPLETED": RunState.COMPLETE,
    "CACHED": RunState.COMPLETE,
    "FAILED": RunState.EXECUTOR_ERROR,
    "ABORTED": RunState.CANCELED,
}
COMMAND_BYTES = 65_536
LAUNCH = re.compile(rb"^nxf_launch\(\) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
CONTAINER = re.compile(rb"(?:^|[\s;])(docker|podman|singularity|apptainer) (?:run|exec) ")


@dataclass(frozen=True)
class Traced:
    """One row of the trace."""

    row: Mapping[str, str]

    @property
    def name(self) -> str:
        """The process with its tag."""
        return self.row.get("name") or self.row.get("process") or "a task"

    @property
    def state(self) -> RunState:
        """What the status means."""
        return STATES.get(self.row.get("status", ""), RunState.UNKNOWN)

    @property
    def folder(self) -> Path:
        """The task's work folder."""
        return Path(self.row.get("workdir") or "/nowhere")

    @property
    def place(self) -> str:
        """The beginning of the work folder's path, as the log says it."""
        return f"{self.folder.parent.name}/{self.folder.name[:6]}"

    @property
    def exit_code(self) -> int | None:
        """Its exit status; None where Nextflow knows none, which it writes as `-` or as the largest number."""
        text = self.row.get("exit", "")
        return int(text) if text.isdigit() and int(text) < 256 else None

    @property
    def attempt(self) -> int:
        """Which try of the task it was, from 1."""
        return int(self.row["attempt"]) if self.row.get("attempt", "").isdigit() else 1

    def number(self, field: str) -> float | None:
        """Return a field as a number, None where there is none."""
        try:
            return float(self.row[field])
        except (KeyError, ValueError):
            return None


def read_trace(path: Path) -> list[Traced]:
    """Return the rows of a trace file, in the order in which tasks ended; none if there is no such file."""
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as handle:
            rows = csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE)
            # A kill may have cut the last line, which then lacks its last field.
            return [Traced(row) for row in rows if row.get("workdir") and None not in row]
    except (OSError, csv.Error):
        return []


def named(rows: Sequence[Traced]) -> dict[str, Traced]:
    """Return the rows by a name of their own, which stays as more rows come: that of the task, and of which try."""
    found: dict[str, Traced] = {}
    for row in rows:
        name = try_name(row.name, row.attempt)
        found[name if name not in found else f"{row.name} [{row.place}]"] = row
    return found


def try_name(task: str, number: int) -> str:
    """Return what a try of a task is called; the first has the task's name."""
    return task if number == 1 else f"{task}, try {number}"


def task_reports(rows: Sequence[Traced], sandbox: str | None) -> tuple[TaskReport, ...]:
    """Return a report for each row, in the order of their starts."""
    ordered = sorted(named(rows).items(), key=lambda each: each[1].number("start") or 0.0)
    return tuple(_report(row, name, sandbox) for name, row in ordered)


def _report(row: Traced, name: str, sandbox: str | None) -> TaskReport:
    seconds, share, peak = row.number("realtime"), row.number("%cpu"), row.number("peak_rss")
    container = row.row.get("container", "-")
    image = container if container not in ("-", "") else None
    return TaskReport(
        name=name,
        state=row.state,
        started=_time(row.number("start")),
        ended=_time(row.number("complete")),
        exit_code=row.exit_code,
        cached=row.row.get("status") == "CACHED",
        command=_command(row.folder),
        declared_image=image,
        ran_in=_ran_in(row.folder, image, sandbox),
        cpus=row.number("cpus"),
        memory_bytes=_whole(row.number("memory")),
        cpu_seconds=None if seconds is None or share is None else round(seconds / 1000 * share / 100, 4),
        # A task that ends before the first look at it has no peak, which is written as 0.
        peak_memory_bytes=_whole(peak) if peak else None,
        stderr_tail="\n".join(last_lines(row.folder / ".command.err")) or None
        if row.state is RunState.EXECUTOR_ERROR
        else None,
    )


def live_reports(tasks: Mapping[str, Begun], rows: list[Traced], work: Path, sandbox: str) -> Iterator[TaskReport]:
    """Yield the tasks of a pipeline that runs: those of the trace as they ended, the others as far as they are."""
    ended = {row.place for row in rows}
    yield from task_reports(rows, sandbox)
    for place, task in tasks.items():
        if place not in ended:
            begun = next(iter(work.glob(f"{place}*/.command.begin")), None)
            yield TaskReport(
                name=try_name(task.name, task.number),
                state=RunState.RUNNING if begun is not None else RunState.INITIALIZING,
                started=moment(begun.stat().st_mtime) if begun is not None else None,
                ran_in=sandbox,
            )


def _ran_in(folder: Path, image: str | None, sandbox: str | None) -> str | None:
    """Return what held a task: Nextflow names its image also where no containers are used, its launcher tells."""
    try:
        with (folder / ".command.run").open("rb") as handle:
            found = LAUNCH.search(handle.read(COMMAND_BYTES))
    except OSError:
        return sandbox
    by = CONTAINER.search(found[1]) if found else None
    return f"container {image}, {by[1].decode()}" if by and image else sandbox


def _command(folder: Path) -> str | None:
    try:
        with (folder / ".command.sh").open("rb") as handle:
            return handle.read(COMMAND_BYTES).decode(errors="replace")
    except OSError:
        return None


def _time(milliseconds: float | None) -> datetime | None:
    return moment(milliseconds / 1000) if milliseconds else None


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)
