"""How miniwdl is started, what its log says while it runs, and what its end means."""

from __future__ import annotations

import configparser
import io
import json
import os
from pathlib import Path
from typing import Any

from labrelay.model.runs import RunRequest
from labrelay.model.states import RunState
from labrelay.workflows.local.home import Attempt, RunnerSettings
from labrelay.workflows.local.sandbox import BACKENDS, bubblewrap, display_name, python_folders
from labrelay.workflows.local.tools import readable_folders
from labrelay.workflows.verdict import Verdict, died, read_json, task_failure

# What a container program needs of our environment; no credentials.
GIB = 1 << 30
PASSED_ON = ("HOME", "USER", "LANG", "LC_ALL", "TMPDIR", "XDG_RUNTIME_DIR", "DOCKER_HOST", "CONTAINER_HOST")
# Where Python keeps compiled modules: without them every engine compiles all of miniwdl, a second of a processor.
COMPILED = ("PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE")
# Errors of miniwdl that say something about the workflow or its inputs, as opposed to this machine.
WORKFLOW_ERRORS = {
    "CommandFailed",
    "OutputError",
    "EvalError",
    "InputError",
    "RuntimeError",
    "SyntaxError",
    "ImportError",
    "ValidationError",
    "MultipleValidationErrors",
    "NullValue",
    "OutOfBounds",
    "EmptyArray",
    "ImageRefused",
}


def configuration(attempt: Attempt, settings: RunnerSettings, backend: str) -> str:
    """Return miniwdl's configuration for an attempt: our sandbox, the run's own call cache, no network, no retries."""
    cache = str(attempt.work / "cache")
    config = configparser.ConfigParser(interpolation=None)
    config["scheduler"] = {"container_backend": backend, "fail_fast": "true"}
    config["file_io"] = {"root": "/", "allow_any_input": "false"}
    config["call_cache"] = {"put": "true", "get": "true", "dir": cache}
    config["download_cache"] = {"put": "false", "get": "false"}
    if backend == BACKENDS["apptainer"]:
        config["singularity"] = {"exe": '["apptainer"]'}
    config["labrelay"] = {
        "sandbox": display_name(backend),
        "bwrap": bubblewrap() or "",
        "tool_path": os.pathsep.join(settings.tool_path),
        "read_only": json.dumps([*python_folders(), *readable_folders(settings.tool_path)]),
    }
    if settings.images is not None:
        config["labrelay"]["images"] = json.dumps(settings.images)
    if settings.cpus is not None:
        config["labrelay"]["cpus"] = str(settings.cpus)
    if settings.memory_gib is not None:
        config["labrelay"]["memory_bytes"] = str(int(settings.memory_gib * GIB))
    out = io.StringIO()
    config.write(out)
    # miniwdl reads it with interpolation, where a percent sign has to be doubled.
    return out.getvalue().replace("%", "%%")


def main_file(attempt: Attempt, request: RunRequest) -> Path:
    """Return where the workflow's file is when the bundle is unpacked."""
    return attempt.work / "bundle" / request.workflow.main


def command_line(attempt: Attempt, request: RunRequest) -> list[str]:
    """Return the arguments of miniwdl that run the request in the attempt's engine folder."""
    argv = ["run", str(main_file(attempt, request)), "-i", str(attempt.folder / "inputs.json")]
    argv += ["--dir", f"{attempt.engine_folder}/.", "--cfg", str(attempt.folder / "miniwdl.cfg")]
    return [*argv, "-o", str(attempt.folder / "result.json"), "--log-json", "--no-outside-imports", "--no-color"]


def environment(tool_path: tuple[str, ...]) -> dict[str, str]:
    """Return the environment of the engine: a short list, so that no credential reaches a task."""
    kept = {name: os.environ[name] for name in (*PASSED_ON, *COMPILED) if name in os.environ}
    return kept | {"PATH": os.pathsep.join(tool_path)}


class Progress:
    """Counts tasks by following the engine's log, a piece at a time."""

    def __init__(self, log: Path) -> None:
        self._log, self._offset, self._rest = log, 0, b""
        self.started = self.done = 0

    def update(self) -> bool:
        """Read what was added since the last time; tell whether a count has changed."""
        before = (self.started, self.done)
        try:
            with self._log.open("rb") as handle:
                handle.seek(self._offset)
                piece = handle.read()
        except FileNotFoundError:
            return False
        self._offset += len(piece)
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            self._count(line)
        return before != (self.started, self.done)

    def _count(self, line: bytes) -> None:
        if b'"task setup"' in line:
            self.started += 1
        elif b'"done' in line:
            try:
                entry = json.loads(line)
            except ValueError:
                return
            is_task = ".t:" in str(entry.get("source", "")) or ".t:" in str(entry.get("name", ""))
            self.done += is_task and str(entry.get("message", "")).startswith("done")


def judge(attempt: Attempt, code: int, cancelled: bool) -> Verdict:
    """Return what the engine's end means.

    Args:
        attempt: Its files are read, nothing is written.
        code: The exit code of the engine, or 128 + the signal that ended it.
        cancelled: Somebody had asked for the end.
    """
    outputs = read_json(attempt.engine_folder / "outputs.json")
    if code == 0 and isinstance(outputs, dict):
        if any(has_content(value) for value in outputs.values()):
            return Verdict(RunState.COMPLETE)
        return Verdict(
            RunState.EXECUTOR_ERROR,
            "The workflow ended well but made no outputs; give its workflow block an output section that names them.",
        )
    if cancelled:
        return Verdict(RunState.CANCELED, "Cancelled on request; finished tasks are kept for the next attempt.")
    error = read_json(attempt.engine_folder / "error.json") or read_json(attempt.folder / "result.json")
    if not isinstance(error, dict) or "error" not in error:
        return Verdict(RunState.SYSTEM_ERROR, died(attempt.log_file, code))
    return _judge_error(error)


def _judge_error(error: dict[str, Any]) -> Verdict:
    cause = error.get("cause")
    cause = cause if isinstance(cause, dict) else error
    kind = str(cause.get("error"))
    if kind in ("Terminated", "Interrupted"):
        return Verdict(
            RunState.SYSTEM_ERROR,
            "The engine was stopped from outside before it was done; a new attempt goes on from the finished tasks.",
        )
    state = RunState.EXECUTOR_ERROR if kind in WORKFLOW_ERRORS else RunState.SYSTEM_ERROR
    if kind == "CommandFailed":
        task = str(cause.get("run") or "a task").removeprefix("call-")
        status = int(cause.get("exit_status") or -1)
        return Verdict(state, task_failure(task, status, Path(str(cause.get("stderr_file", "")))))
    where = cause.get("pos")
    place = f" (line {where.get('line')} of the definition)" if isinstance(where, dict) else ""
    who = str(cause.get("run") or error.get("workflow") or "the workflow")
    text = str(cause.get("message") or error.get("message") or kind).rstrip(".")
    return Verdict(state, f"{who} failed{place}: {text}.")


def has_content(value: Any) -> bool:
    """Tell whether an output value is something: not null and no empty list or map, at any depth."""
    if isinstance(value, dict):
        return any(has_content(item) for item in value.values())
    if isinstance(value, list):
        return any(has_content(item) for item in value)
    return value is not None
