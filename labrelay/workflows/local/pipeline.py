"""Pipelines on this machine: Nextflow as the runner's engine program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from labrelay.model.errors import LabrelayError
from labrelay.model.runs import OutputFile, RunReport, RunRequest, TaskReport
from labrelay.model.states import RunState
from labrelay.workflows.definition import Definition, NextflowSpec, load
from labrelay.workflows.local.home import Attempt, AttemptExit, RunnerSettings
from labrelay.workflows.local.program import Launch
from labrelay.workflows.nextflow import command, failure, runtime
from labrelay.workflows.nextflow.folders import Folders, session_of
from labrelay.workflows.nextflow.log import Follower
from labrelay.workflows.nextflow.outputs import VERSIONS, read_outputs
from labrelay.workflows.nextflow.task_files import with_files
from labrelay.workflows.nextflow.trace import live_reports, named, read_trace, task_reports
from labrelay.workflows.verdict import Verdict

# What Nextflow's local executor runs is not contained; other executors are the pipeline's own choice.
CONSOLE = "console"  # what a pipeline printed that publishes nothing
SANDBOX = "Nextflow's executor"


def folders_of(attempt: Attempt) -> Folders:
    """Return where the pipeline keeps what: the attempts of the run share all but the reports."""
    return Folders(attempt.work / "bundle", attempt.work / "nextflow", attempt.engine_folder)


def _definition_of(attempt: Attempt) -> Definition | None:
    """Return what the unpacked bundle says, None when it is not there any more or does not load."""
    try:
        return load(folders_of(attempt).bundle)
    except (LabrelayError, OSError):
        return None


def _located(value: Any, published: str, folder: Path) -> Any:
    """Return the value with the publish folder's name in it replaced by where that is."""
    if isinstance(value, list):
        return [_located(item, published, folder) for item in value]
    if isinstance(value, str) and (value == published or value.startswith(f"{published}/")):
        return f"{folder}{value[len(published) :]}"
    return value


class Pipeline:
    """Runs Nextflow pipelines; what executes their tasks is theirs to say (this machine, when they say nothing)."""

    def check(self, settings: RunnerSettings) -> None:
        """Raise `MissingTool` if there is no Nextflow, no Java for it, or no tool that its tasks need."""
        runtime.find(settings.nextflow)
        command.check_tools()

    def prepare(self, attempt: Attempt, request: RunRequest, settings: RunnerSettings) -> Launch:
        """Write parameters and configuration, and say how Nextflow is started.

        Raises:
            RefusedInput: The bundle's definition does not load.
            MissingTool: There is no Nextflow any more.
        """
        nextflow, folders, inputs = runtime.find(settings.nextflow), folders_of(attempt), request.inputs
        if request.published is None:
            found = load(folders.bundle)
            spec, sheet = found.nextflow, found.samplesheet
        else:
            # Whoever says where to publish has said all; the bundle may not even have a definition.
            spec, sheet = NextflowSpec(outdir=None), None
            inputs = {name: _located(value, request.published, folders.published) for name, value in inputs.items()}
        # Attempts with the same work folder go on with the same session.
        session = session_of(attempt.work.name)
        columns = tuple(sheet.columns) if sheet is not None else ()
        command.prepare(folders, inputs, spec, session, columns, (settings.cpus, settings.memory_gib))
        (folders.reports / "engine").write_text(nextflow.name, encoding="utf-8")
        return Launch(
            argv=command.command_line(nextflow, folders, request.workflow.main, spec, session),
            env=command.environment(nextflow, attempt.home.engine / "nextflow", settings.tool_path),
            folder=folders.launch,
            sandbox=SANDBOX,
        )

    def progress(self, attempt: Attempt) -> Follower:
        """Return a counter that follows Nextflow's log."""
        return Follower(folders_of(attempt).log)

    def judge(self, attempt: Attempt, code: int, cancelled: bool) -> Verdict:
        """Return what Nextflow's end means."""
        return failure.judge(folders_of(attempt), attempt.log_file, code, cancelled, _definition_of(attempt))

    def report(self, attempt: Attempt, ended: AttemptExit) -> RunReport:
        """Return the report of an ended attempt: published files, tasks of the trace, logs and Nextflow's reports."""
        folders, found = folders_of(attempt), _definition_of(attempt)
        rows = read_trace(folders.trace)
        complete, specs = ended.state is RunState.COMPLETE, found.outputs if found is not None else {}
        files, values = read_outputs(folders.published, specs, rows) if complete else ((), {})
        if complete and not files and not values:
            files = (OutputFile(output=CONSOLE, path=str(attempt.log_file)),)
        tools = values.get(VERSIONS, {})
        return RunReport(
            state=ended.state,
            started=ended.started,
            ended=ended.at,
            engine=_engine_of(folders),
            sandbox=ended.sandbox,
            files=files,
            values=values,
            tasks=with_files(task_reports(rows, ended.sandbox), rows, files),
            logs=_logs(attempt, folders, ended),
            failure=None if complete else ended.message,
            exit_code=ended.exit_code,
            tools={str(name): str(version) for name, version in tools.items()},
        )

    def live_tasks(self, attempt: Attempt) -> tuple[TaskReport, ...]:
        """Return the tasks as far as they have come: those that have ended, then those under way."""
        folders = folders_of(attempt)
        follower = Follower(folders.log)
        follower.update()
        return tuple(live_reports(follower.tasks, read_trace(folders.trace), folders.work, SANDBOX))

    def said(self, attempt: Attempt, task: str) -> tuple[Path, ...]:
        """Return the files with what a task said; they are in its work folder."""
        row = named(read_trace(folders_of(attempt).trace)).get(task)
        return () if row is None else (row.folder / ".command.out", row.folder / ".command.err")


def _engine_of(folders: Folders) -> str:
    try:
        return (folders.reports / "engine").read_text(encoding="utf-8")
    except OSError:
        return "Nextflow"


def _logs(attempt: Attempt, folders: Folders, ended: AttemptExit) -> tuple[str, ...]:
    failed = [row.folder / ".command.err" for row in read_trace(folders.trace) if row.state is RunState.EXECUTOR_ERROR]
    reports = [folders.reports / name for name in ("trace.tsv", "report.html", "timeline.html", "dag.html")]
    found = [*(failed if ended.state is not RunState.COMPLETE else ()), attempt.log_file, folders.log, *reports]
    return tuple(str(path) for path in found if path.is_file())
