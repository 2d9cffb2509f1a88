"""What happened in an attempt, read from the files that the engine, its tasks and the runner left behind."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

from labrelay.model.runs import OutputFile, RunReport, TaskReport
from labrelay.model.states import RunState
from labrelay.workflows.local.events import TASK_FILE, USAGE_FILE
from labrelay.workflows.local.home import Attempt, AttemptExit
from labrelay.workflows.verdict import last_lines, moment, read_json

TOOL_VERSIONS = "tool_versions"  # a workflow output of this name, Map[String, String], says what ran
COMMAND_BYTES = 65_536


def report_of(attempt: Attempt, ended: AttemptExit) -> RunReport:
    """Return the report of an ended attempt: outputs, tasks as they happened, logs, and the failure's sentence."""
    outputs = read_json(attempt.engine_folder / "outputs.json") if ended.state is RunState.COMPLETE else None
    files, values = flatten_outputs(outputs or {}, attempt.work)
    tasks = tuple(_tasks(attempt)) or tuple(_tasks_of_earlier(attempt, files))
    versions = values.get(TOOL_VERSIONS)
    return RunReport(
        state=ended.state,
        started=ended.started,
        ended=ended.at,
        engine=f"miniwdl {version('miniwdl')}",
        sandbox=ended.sandbox,
        files=files,
        values=values,
        tasks=tasks,
        logs=_logs(attempt),
        failure=None if ended.state is RunState.COMPLETE else ended.message,
        exit_code=ended.exit_code,
        tools={str(k): str(v) for k, v in versions.items()} if isinstance(versions, dict) else {},
    )


def flatten_outputs(outputs: dict[str, Any], work: Path) -> tuple[tuple[OutputFile, ...], dict[str, Any]]:
    """Split a workflow's outputs into files and values.

    A list of files gives one entry each, with its index; a file inside a struct or map is named `output.member`; a
    folder gives each file in it. What is left is a value.

    Args:
        outputs: miniwdl's outputs.json, with names such as `workflow.vcf`.
        work: The folder that the attempts of the run share. miniwdl names each output file by a link below an attempt's
            `out/`: an earlier attempt's when that one had finished and the runner died before it could say so.
    """
    root = re.compile(re.escape(f"{work}/") + r"[^/]+/out/.")
    files: list[OutputFile] = []
    values: dict[str, Any] = {}
    counts: dict[str, int] = {}
    for qualified, value in outputs.items():
        name = qualified.partition(".")[2] or qualified
        found = list(_paths(name, value, root))
        if not found and value is not None:
            values[name] = value
        for output, link in found:
            for path in _regular_files(Path(link)):
                index = counts.get(output, 0)
                counts[output] = index + 1
                files.append(OutputFile(output=output, index=index, path=str(path), task=_task_of(path)))
    return tuple(files), values


def _paths(name: str, value: Any, root: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    if isinstance(value, str) and root.match(value):
        yield name, value
    elif isinstance(value, list):
        for item in value:
            yield from _paths(name, item, root)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _paths(f"{name}.{key}", item, root)


def _regular_files(link: Path) -> list[Path]:
    path = link.resolve()
    if path.is_dir():
        return sorted(found for found in path.rglob("*") if found.is_file() and not found.is_symlink())
    return [path] if path.is_file() else []


def _task_of(path: Path) -> str | None:
    parts = path.parts
    # `…/work/<key>/<token>/call-a/call-b/work/x`: a nested workflow's call stands above its task's.
    calls = [part.removeprefix("call-") for part in parts if part.startswith("call-")]
    return ".".join(calls) or None


def _tasks(attempt: Attempt) -> Iterator[TaskReport]:
    root = attempt.engine_folder
    logs = sorted(root.rglob("task.log"), key=lambda path: path.stat().st_mtime) if root.is_dir() else []
    for log in logs:
        yield _task(attempt, log.parent)


def live_tasks(attempt: Attempt) -> tuple[TaskReport, ...]:
    """Return the tasks of an attempt that runs, in the order in which they were begun."""
    found = sorted(_task_folders(attempt.engine_folder), key=lambda folder: (folder / "task.log").stat().st_mtime)
    return tuple(_live_task(attempt, folder) for folder in found)


def _task_folders(folder: Path) -> Iterator[Path]:
    """Yield the folders of tasks without looking into what the tasks themselves have made."""
    if (folder / "task.log").is_file():
        yield folder
        return
    try:
        with os.scandir(folder) as entries:
            calls = sorted(entry.path for entry in entries if entry.name.startswith("call-") and entry.is_dir())
    except FileNotFoundError:
        return
    for call in calls:
        yield from _task_folders(Path(call))


def _live_task(attempt: Attempt, folder: Path) -> TaskReport:
    if (folder / "outputs.json").exists() or (folder / "error.json").exists():
        return _task(attempt, folder)
    told = _mapping(folder / TASK_FILE)
    started = moment((folder / TASK_FILE).stat().st_mtime) if told else None
    return TaskReport(
        name=_task_of(folder) or folder.name,
        state=RunState.RUNNING if told else RunState.INITIALIZING,
        started=started,
        declared_image=told.get("declared_image"),
        ran_in=told.get("ran_in"),
        cpus=told.get("cpus"),
        memory_bytes=told.get("memory_bytes"),
    )


def _tasks_of_earlier(attempt: Attempt, files: Sequence[OutputFile]) -> Iterator[TaskReport]:
    """Yield the tasks of the attempt whose outputs were taken whole, in which case no call was even looked at."""
    source = next((Path(file.path).relative_to(attempt.work).parts[0] for file in files), attempt.token)
    if source != attempt.token:
        for task in _tasks(attempt.home.attempt(source)):
            yield task.model_copy(update={"cached": True})


def _task(attempt: Attempt, folder: Path) -> TaskReport:
    outputs, error = read_json(folder / "outputs.json"), read_json(folder / "error.json")
    cached = outputs is not None and not (folder / TASK_FILE).exists()
    source = _first_run(attempt, folder) if cached else folder
    told, usage = _mapping(source / TASK_FILE), _mapping(source / USAGE_FILE)
    started = moment(usage["started"]) if "started" in usage else None
    state = _task_state(outputs, error)
    return TaskReport(
        name=_task_of(folder) or folder.name,
        state=state,
        started=started,
        ended=_ended(started, usage),
        exit_code=usage.get("exit_code"),
        cached=cached,
        command=_command(source),
        declared_image=told.get("declared_image"),
        ran_in=told.get("ran_in"),
        cpus=told.get("cpus"),
        memory_bytes=told.get("memory_bytes"),
        cpu_seconds=usage.get("cpu_seconds"),
        peak_memory_bytes=usage.get("peak_memory_bytes"),
        stderr_tail="\n".join(last_lines(folder / "stderr.txt")) or None if error else None,
        inputs=_real(_unqualified(read_json(folder / "inputs.json")), f"{attempt.work}/"),
        outputs=_real(_unqualified(outputs), f"{attempt.work}/"),
    )


def _task_state(outputs: Any, error: Any) -> RunState:
    if outputs is not None:
        return RunState.COMPLETE
    cause = error.get("cause", {}).get("error") if isinstance(error, dict) else "Terminated"
    return RunState.CANCELED if cause in ("Terminated", "Interrupted") else RunState.EXECUTOR_ERROR


def _ended(started: datetime | None, usage: dict[str, Any]) -> datetime | None:
    return None if started is None else started + timedelta(seconds=float(usage.get("seconds", 0)))


def _first_run(attempt: Attempt, folder: Path) -> Path:
    """Return the folder of the earlier attempt's call that a cached call took its result from, else the call's own."""
    relative = folder.relative_to(attempt.engine_folder)
    earlier = (path / relative for path in attempt.work.iterdir() if path != attempt.engine_folder)
    ran = [path for path in earlier if (path / TASK_FILE).exists() and (path / "outputs.json").exists()]
    return max(ran, key=lambda path: path.stat().st_mtime, default=folder)


def _command(folder: Path) -> str | None:
    try:
        with (folder / "command").open("rb") as handle:
            return handle.read(COMMAND_BYTES).decode(errors="replace")
    except OSError:
        return None


def _unqualified(values: Any) -> dict[str, Any]:
    if not isinstance(values, dict):
        return {}
    return {str(name).rpartition(".")[2]: value for name, value in values.items()}


def _real(value: Any, work: str) -> Any:
    """Return task values with the run's own files by where they are: miniwdl names the same file by several links."""
    if isinstance(value, dict):
        return {key: _real(each, work) for key, each in value.items()}
    if isinstance(value, list):
        return [_real(each, work) for each in value]
    return os.path.realpath(value) if isinstance(value, str) and value.startswith(work) else value


def _mapping(path: Path) -> dict[str, Any]:
    content = read_json(path)
    return content if isinstance(content, dict) else {}


def _logs(attempt: Attempt) -> tuple[str, ...]:
    failed = [path.parent / "stderr.txt" for path in sorted(attempt.engine_folder.rglob("error.json"))]
    found = [*failed, attempt.engine_folder / "workflow.log", attempt.log_file]
    return tuple(str(path) for path in found if path.is_file())
