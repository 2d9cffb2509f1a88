"""One command on this machine: a plain program as the runner's engine program, with nothing between."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from datetime import timedelta
from fnmatch import fnmatchcase
from importlib.metadata import version
from pathlib import Path
from typing import Any

from labrelay.model.errors import MissingTool, RefusedInput
from labrelay.model.problem import Problem
from labrelay.model.runs import RunReport, RunRequest, TaskReport
from labrelay.model.states import RunState
from labrelay.stores.durable import make_dirs, storage_errors, write_json_atomic
from labrelay.workflows.command import values
from labrelay.workflows.command.failure import judge
from labrelay.workflows.command.outputs import VERSIONS, read_outputs
from labrelay.workflows.command.task import Folders, Task
from labrelay.workflows.definition import Definition, load
from labrelay.workflows.local import keeper
from labrelay.workflows.local.home import Attempt, AttemptExit, RunnerSettings
from labrelay.workflows.local.program import Launch
from labrelay.workflows.local.sandbox import (
    BACKENDS,
    bubblewrap,
    bubblewrap_argv,
    choose,
    display_name,
    python_folders,
)
from labrelay.workflows.local.tools import readable_folders
from labrelay.workflows.local.wdl import environment
from labrelay.workflows.verdict import Verdict, last_lines, moment

GRACE_SECONDS = 3.0
BEGIN_FILE = "begin.json"
# The text is fixed and the command is its arguments, so this shell reads none of them. It tells a missing program
# (127) from one that may not run (126), which bubblewrap does not.
BECOME = ("/bin/sh", "-c", 'exec "$0" "$@"')
BWRAP, HOST = BACKENDS["bwrap"], BACKENDS["host"]
# Where the sandbox shows the task's folder: the same for every attempt, since programs write their command line down.
INSIDE = Path("/task")


def folders_of(attempt: Attempt) -> Folders:
    """Return the attempt's own folder, which no earlier attempt has touched."""
    return Folders(attempt.engine_folder)


class Progress:
    """Knows of one task: it has started when its streams are open, and is done when its keeper has said so."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self.started = self.done = 0

    def update(self) -> bool:
        """Look at the folder; tell whether a count has changed."""
        before = (self.started, self.done)
        usage = self._folders.usage()
        self.started = int(self._folders.stderr.exists())
        self.done = int(usage is not None and usage.exit_code == 0 and usage.stopped is None)
        return before != (self.started, self.done)


class Command:
    """Runs a definition that is one command, in bubblewrap or as a host process."""

    def check(self, settings: RunnerSettings) -> None:
        """Raise `MissingTool` if the sandbox of the settings does not work here, or starts containers."""
        backend = choose(settings.sandbox)
        if backend not in (BWRAP, HOST):
            name = display_name(backend)
            raise MissingTool(
                f"The sandbox {name} holds tasks of WDL only; for a command set it to auto, bwrap or host."
            )

    def prepare(self, attempt: Attempt, request: RunRequest, settings: RunnerSettings) -> Launch:
        """Make the work folder, write what is run, and say how it is begun.

        Raises:
            RefusedInput: The bundle's definition does not load, the inputs do not fit it, or its image is not allowed.
            StorageFailed: The disk did not take it.
        """
        bundle, folders, backend = attempt.work / "bundle", folders_of(attempt), choose(settings.sandbox)
        definition = load(bundle)
        _check_image(definition, settings.images)
        values.check(definition, request.inputs, here=True)
        cpus = min(definition.resources.cpus, settings.cpus or os.cpu_count() or 1)
        seen, seen_bundle = (INSIDE, INSIDE / "bundle") if backend == BWRAP else (folders.root, bundle)
        placed, sources = values.staged(definition, request.inputs, Folders(seen).inputs)
        task = Task(
            name=definition.name,
            argv=tuple(values.arguments(definition, placed, cpus, seen_bundle)),
            inputs=dict(request.inputs),
            outputs=definition.outputs,
            stdout=definition.stdout,
            image=definition.image,
            ran_in=display_name(backend),
            cpus=cpus,
            memory_bytes=values.memory_bytes(definition),
            minutes=definition.resources.minutes,
        )
        with storage_errors("prepare the command", folders.root):
            shutil.rmtree(folders.work, ignore_errors=True)
            make_dirs(folders.work)
            write_json_atomic(folders.task_file, task.model_dump(mode="json"))
            write_json_atomic(attempt.folder / BEGIN_FILE, _begin(task, folders, sources, backend, bundle, settings))
        return Launch(
            argv=[sys.executable, "-P", "-m", "labrelay.workflows.local.begin", str(attempt.folder / BEGIN_FILE)],
            env=environment(settings.tool_path),
            folder=folders.root,
            sandbox=task.ran_in,
        )

    def progress(self, attempt: Attempt) -> Progress:
        """Return a counter that goes by the files of the one task."""
        return Progress(folders_of(attempt))

    def judge(self, attempt: Attempt, code: int, cancelled: bool) -> Verdict:
        """Return what the command's end means."""
        return judge(folders_of(attempt), attempt.log_file, code, cancelled)

    def report(self, attempt: Attempt, ended: AttemptExit) -> RunReport:
        """Return the report of an ended attempt: the files of the definition's outputs, the one task, and its words."""
        folders, complete = folders_of(attempt), ended.state is RunState.COMPLETE
        task = folders.task()
        files, found = read_outputs(folders.work, task) if complete and task is not None else ((), {})
        logs = [folders.stderr, *([folders.stdout(task)] if task is not None and task.stdout is None else [])]
        row = self._row(
            folders, task, _task_state(folders, ended.state), found, {file.output: file.path for file in files}
        )
        return RunReport(
            state=ended.state,
            started=ended.started,
            ended=ended.at,
            engine=f"labrelay {version('labrelay')}",
            sandbox=ended.sandbox,
            files=files,
            values=found,
            tasks=() if row is None else (row,),
            logs=tuple(str(path) for path in (*logs, attempt.log_file) if path.is_file()),
            failure=None if complete else ended.message,
            exit_code=ended.exit_code,
            tools={str(name): str(value) for name, value in found.get(VERSIONS, {}).items()},
        )

    def live_tasks(self, attempt: Attempt) -> tuple[TaskReport, ...]:
        """Return the one task as far as it has come."""
        folders = folders_of(attempt)
        state = RunState.RUNNING if folders.stderr.exists() else RunState.INITIALIZING
        row = self._row(folders, folders.task(), state, {}, {})
        return () if row is None else (row,)

    def said(self, attempt: Attempt, task: str) -> tuple[Path, ...]:
        """Return the files with what the command said; standard output is none when it is an output."""
        folders = folders_of(attempt)
        told = folders.task()
        if told is None or told.name != task:
            return ()
        return (folders.stderr,) if told.stdout is not None else (folders.stdout(told), folders.stderr)

    def _row(
        self, folders: Folders, task: Task | None, state: RunState, found: dict[str, Any], files: dict[str, str]
    ) -> TaskReport | None:
        if task is None:
            return None
        usage, begun = folders.usage(), folders.stderr.stat().st_mtime if folders.stderr.exists() else None
        started = moment(usage.started) if usage is not None else None
        failed = state not in (RunState.COMPLETE, RunState.RUNNING, RunState.INITIALIZING)
        return TaskReport(
            name=task.name,
            state=state,
            started=started or (moment(begun) if begun is not None and not failed else None),
            ended=started + timedelta(seconds=usage.seconds) if usage is not None and started is not None else None,
            exit_code=usage.exit_code if usage is not None else None,
            command=shlex.join(task.argv),
            declared_image=task.image,
            ran_in=task.ran_in,
            cpus=task.cpus,
            memory_bytes=task.memory_bytes,
            cpu_seconds=usage.cpu_seconds if usage is not None else None,
            peak_memory_bytes=usage.peak_memory_bytes if usage is not None else None,
            stderr_tail=("\n".join(last_lines(folders.stderr)) or None) if failed else None,
            inputs=task.inputs,
            outputs={**found, **files},
        )


def _task_state(folders: Folders, ended: RunState) -> RunState:
    """Return how the task ended in an attempt that ended so: by itself or its limit, or with what held it."""
    usage = folders.usage()
    if ended is RunState.COMPLETE:
        return ended
    by_itself = usage is not None and usage.stopped != "request"
    return RunState.EXECUTOR_ERROR if by_itself else RunState.CANCELED


def _check_image(definition: Definition, allowed: tuple[str, ...] | None) -> None:
    image = definition.image
    if allowed is None or (image is not None and any(fnmatchcase(image, pattern) for pattern in allowed)):
        return
    message = f"The container image {image} is none that can be started here; name another one."
    if image is None:
        message = "The command names no container image; say `image` in its definition."
    raise RefusedInput(f"The workflow {definition.name}", [Problem(code="IMAGE_REFUSED", message=message)])


def _begin(
    task: Task, folders: Folders, sources: dict[Path, Path], backend: str, bundle: Path, settings: RunnerSettings
) -> dict[str, Any]:
    """Return what `local.begin` reads: the task's keeper, what is copied, and the command in its sandbox."""
    boxed = backend == BWRAP
    programs = [str((INSIDE / "bundle" if boxed else bundle) / "bin")] if (bundle / "bin").is_dir() else []
    path = os.pathsep.join((*programs, *settings.tool_path))
    own = {"PATH": path, "HOME": "/tmp", "TMPDIR": "/tmp", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}  # noqa: S108
    guard = [sys.executable, "-I", "-S", keeper.__file__, "--usage", str(folders.usage_file)]
    guard += ["--grace", str(GRACE_SECONDS)]
    guard += [] if task.minutes is None else ["--limit", str(task.minutes * 60)]
    copies: list[tuple[str, str]] = []
    if boxed:
        work = str(Folders(INSIDE).work)
        mounts = [(str(shown), str(source), False) for shown, source in sources.items()]
        mounts += [(str(INSIDE / "bundle"), str(bundle), False), (work, str(folders.work), True)]
        read_only = [*python_folders(), *readable_folders(settings.tool_path)]
        argv = bubblewrap_argv(bubblewrap() or "bwrap", mounts, read_only, own, work)
    else:
        copies = [(str(source), str(shown)) for shown, source in sources.items()]
        guard += ["--chdir", str(folders.work)]
        argv = [
            "/usr/bin/env",
            "-i",
            *(f"{name}={value}" for name, value in (own | {"HOME": str(folders.work)}).items()),
        ]
    return {
        "copies": copies,
        "staged": str(folders.inputs),
        "stdout": str(folders.stdout(task)),
        "stderr": str(folders.stderr),
        "keeper": guard,
        "argv": [*argv, *BECOME, *task.argv],
    }
