"""WDL on this machine: miniwdl as the runner's engine program."""

from __future__ import annotations

import sys
from pathlib import Path

from labrelay.model.runs import RunReport, RunRequest, TaskReport
from labrelay.stores.durable import write_json_atomic
from labrelay.workflows.local import report, wdl
from labrelay.workflows.local.home import Attempt, AttemptExit, RunnerSettings
from labrelay.workflows.local.program import Launch
from labrelay.workflows.local.sandbox import choose, display_name
from labrelay.workflows.verdict import Verdict


class Miniwdl:
    """Runs WDL; its tasks are held by the sandbox of the settings."""

    def check(self, settings: RunnerSettings) -> None:
        """Raise `MissingTool` if the sandbox of the settings does not work here."""
        choose(settings.sandbox)

    def prepare(self, attempt: Attempt, request: RunRequest, settings: RunnerSettings) -> Launch:
        """Write inputs and configuration, and say how miniwdl is started."""
        backend = choose(settings.sandbox)
        write_json_atomic(attempt.folder / "inputs.json", request.inputs)
        (attempt.folder / "miniwdl.cfg").write_text(wdl.configuration(attempt, settings, backend), encoding="utf-8")
        return Launch(
            argv=[sys.executable, "-P", "-m", "WDL", *wdl.command_line(attempt, request)],
            env=wdl.environment(settings.tool_path),
            folder=attempt.folder,
            sandbox=display_name(backend),
            fork_of=wdl.main_file(attempt, request),
        )

    def progress(self, attempt: Attempt) -> wdl.Progress:
        """Return a counter that follows miniwdl's log."""
        return wdl.Progress(attempt.log_file)

    def judge(self, attempt: Attempt, code: int, cancelled: bool) -> Verdict:
        """Return what miniwdl's end means."""
        return wdl.judge(attempt, code, cancelled)

    def report(self, attempt: Attempt, ended: AttemptExit) -> RunReport:
        """Return the report of an ended attempt."""
        return report.report_of(attempt, ended)

    def live_tasks(self, attempt: Attempt) -> tuple[TaskReport, ...]:
        """Return the tasks as far as they have come."""
        return report.live_tasks(attempt)

    def said(self, attempt: Attempt, task: str) -> tuple[Path, ...]:
        """Return the files with what a task said."""
        folder = attempt.engine_folder.joinpath(*(f"call-{part}" for part in task.split(".")))
        return tuple(folder / name for name in ("stdout.txt", "stderr.txt"))
