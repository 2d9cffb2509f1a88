"""From what the engine left of a failed attempt to HealthOmics' reasons for the run and for its tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from labrelay.emulator.run_faults import RunFault, task_failed, task_fault, workflow_failed
from labrelay.emulator.run_log import RunLog
from labrelay.emulator.state import Body
from labrelay.emulator.task_rows import TaskRows
from labrelay.model.runs import EngineStatus
from labrelay.workflows.local.home import Attempt
from labrelay.workflows.local.pipeline import folders_of
from labrelay.workflows.nextflow.failure import failed_task
from labrelay.workflows.nextflow.trace import try_name
from labrelay.workflows.verdict import last_lines, read_json

IMAGE_REFUSED = "ImageRefused"


def failure_of(attempt: Attempt, status: EngineStatus, tasks: TaskRows, log: RunLog) -> RunFault:
    """Return why a run failed, and write into its failed tasks why they did.

    Args:
        attempt: Has ended.
        status: What the engine says of it.
        tasks: The run's.
        log: The run's.
    """
    cause = _cause(attempt)
    failed = [row for row in tasks.rows if row["status"] == "FAILED"]
    first = next((row for row in failed if _is_of(row, cause)), failed[0] if failed else None)
    if first is None:
        return workflow_failed(log.engine_stream, status.message or "")
    fault = task_fault(
        cause.get("exit_status"),
        str(cause.get("message", "")) if cause.get("error") == IMAGE_REFUSED else None,
        first["taskId"],
        first["_stream"],
        " | ".join(line.strip() for line in last_lines(Path(str(cause.get("stderr_file", "")))) if line.strip()),
    )
    first |= {"failureReason": fault.reason, "statusMessage": fault.message}
    tasks.save(first)
    if fault.reason == "OUT_OF_MEMORY_ERROR":
        return RunFault(fault.reason, fault.message)
    if cause.get("error") in ("CommandFailed", IMAGE_REFUSED):
        return task_failed(first["taskId"], first["_stream"])
    return workflow_failed(log.engine_stream, status.message or "")


def _cause(attempt: Attempt) -> dict[str, Any]:
    """Return what failed in miniwdl's words: `run`, `error`, `exit_status`, `stderr_file`."""
    if (attempt.work / "nextflow").is_dir():
        return _cause_of_pipeline(attempt)
    error = read_json(attempt.engine_folder / "error.json") or read_json(attempt.folder / "result.json")
    if not isinstance(error, dict):
        return {}
    cause = error.get("cause")
    return cause if isinstance(cause, dict) else error


def _cause_of_pipeline(attempt: Attempt) -> dict[str, Any]:
    task = failed_task(folders_of(attempt), attempt.log_file)
    if task is None or not task.exit_code:
        return {}
    name = try_name(task.name, task.attempt)
    stderr = str(task.folder / ".command.err")
    return {"run": name, "error": "CommandFailed", "exit_status": task.exit_code, "stderr_file": stderr}


def _is_of(row: Body, cause: dict[str, Any]) -> bool:
    if row["name"] == cause.get("run"):
        return True
    return str(row["name"]).rpartition(".")[2] == str(cause.get("run", "")).removeprefix("call-")
