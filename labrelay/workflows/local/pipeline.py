"""Pipelines on this machine: Nextflow as the runner's engine program."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from labrelay.model.errors import LabrelayError
from labrelay.model.runs import RunReport, RunRequest, TaskReport
from labrelay.model.states import RunState
from labrelay.workflows import definition
from labrelay.workflows.local.home import Attempt, AttemptExit, RunnerSettings
from labrelay.workflows.local.program import Launch
from labrelay.workflows.nextflow import command, failure, runtime
from labrelay.workflows.nextflow.folders import Folders, session_of
from labrelay.workflows.nextflow.log import Follower
from labrelay.workflows.nextflow.outputs import VERSIONS, read_outputs
from labrelay.workflows.nextflow.trace import live_reports, read_trace, task_reports
from labrelay.workflows.verdict import Verdict

# What Nextflow's local executor runs is not contained; other executors are the pipeline's own choice.
SANDBOX = "Nextflow's executor"


@dataclass(frozen=True)
class Kept:
    """A pipeline's part of an attempt's files."""

    attempt: Attempt

    @cached_property
    def folders(self) -> Folders:
        """Shared by the attempts of the run, but for this attempt's reports."""
        work = self.attempt.work
        return Folders(work / "bundle", work / "nextflow", self.attempt.engine_folder)

    @cached_property
    def definition(self) -> definition.Definition | None:
        """What the unpacked bundle says, None when it does not load."""
        try:
            return definition.load(self.folders.bundle)
        except (LabrelayError, OSError):
            return None


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
        nextflow, folders = runtime.find(settings.nextflow), Kept(attempt).folders
        spec = definition.load(folders.bundle).nextflow
        session = session_of(request.key)
        command.prepare(folders, request.inputs, spec, session)
        (folders.reports / "engine").write_text(nextflow.name, encoding="utf-8")
        return Launch(
            argv=command.command_line(nextflow, folders, request.workflow.main, spec, session),
            env=command.environment(nextflow, attempt.home.engine / "nextflow", settings.tool_path),
            folder=folders.launch,
            sandbox=SANDBOX,
        )

    def progress(self, attempt: Attempt) -> Follower:
        """Return a counter that follows Nextflow's log."""
        return Follower(Kept(attempt).folders.log)

    def judge(self, attempt: Attempt, code: int, cancelled: bool) -> Verdict:
        """Return what Nextflow's end means."""
        kept = Kept(attempt)
        outdir = kept.definition.nextflow.outdir if kept.definition is not None else None
        return failure.judge(kept.folders, attempt.log_file, code, cancelled, outdir)

    def report(self, attempt: Attempt, ended: AttemptExit) -> RunReport:
        """Return the report of an ended attempt: published files, tasks of the trace, logs and Nextflow's reports."""
        kept = Kept(attempt)
        rows = read_trace(kept.folders.trace)
        complete, specs = ended.state is RunState.COMPLETE, kept.definition.outputs if kept.definition else {}
        files, values = read_outputs(kept.folders.published, specs, rows) if complete else ((), {})
        tools = values.get(VERSIONS, {})
        return RunReport(
            state=ended.state,
            started=ended.started,
            ended=ended.at,
            engine=_engine_of(kept.folders),
            sandbox=ended.sandbox,
            files=files,
            values=values,
            tasks=task_reports(rows, ended.sandbox),
            logs=_logs(attempt, kept.folders, ended),
            failure=None if complete else ended.message,
            exit_code=ended.exit_code,
            tools={str(name): str(version) for name, version in tools.items()},
        )

    def live_tasks(self, attempt: Attempt) -> tuple[TaskReport, ...]:
        """Return the tasks as far as they have come: those that have ended, then those under way."""
        folders = Kept(attempt).folders
        follower = Follower(folders.log)
        follower.update()
        return tuple(live_reports(follower.tasks, read_trace(folders.trace), folders.work, SANDBOX))


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
