"""What the end of a command means: the state, and the sentence that helps."""

from __future__ import annotations

from pathlib import Path

from labrelay.model.states import RunState
from labrelay.workflows.command.limits import UNFIT, WHAT_TO_DO, too_long
from labrelay.workflows.command.outputs import missing_outputs, read_outputs
from labrelay.workflows.command.task import Folders, Task
from labrelay.workflows.verdict import Verdict, died, disk_is_full, task_failure

CANCELLED = "Cancelled on request; a new attempt begins anew."
STOPPED = "The command was stopped from outside before it was done; a new attempt begins anew."
TOO_LONG = (
    "Task {name} was ended after its time limit of {minutes:g} minutes; raise `minutes` in its [resources], or give "
    "it less to do."
)
DISK_FULL = "Task {name} found the disk full, as it says itself; make room, then try again."
MISSING = (
    "Task {name} ended well but made no {what}; correct `path` in its definition, or say `optional = true` where a run "
    "may do without."
)
UNSTARTABLE = "Task {name} was not started: {why}."
NOTHING = "Task {name} ended well but made none of its outputs, so that nothing could be kept."


def judge(folders: Folders, said: Path, code: int, cancelled: bool) -> Verdict:
    """Return what the end means. Only a command that nobody had asked to stop, and that ended with 0, is complete.

    Args:
        folders: Of the attempt.
        said: What was written by those who start the command, if they could not.
        code: The exit code of what ran the command, or 128 + the signal that ended it.
        cancelled: Somebody had asked for the end.
    """
    task, usage = folders.task(), folders.usage()
    ended_itself = task is not None and usage is not None and usage.stopped is None and usage.exit_code == code
    if task is not None and ended_itself and code == 0:
        return _complete(folders, task)
    if cancelled:
        return Verdict(RunState.CANCELED, CANCELLED)
    if task is not None and usage is None and code == UNFIT:
        why = too_long(task.argv, here=True) or f"its command is longer than this machine lets one be; {WHAT_TO_DO}"
        return Verdict(RunState.EXECUTOR_ERROR, UNSTARTABLE.format(name=task.name, why=why))
    if task is None or usage is None:
        return Verdict(RunState.SYSTEM_ERROR, died(said, code))
    if usage.stopped == "limit":
        return Verdict(RunState.EXECUTOR_ERROR, TOO_LONG.format(name=task.name, minutes=task.minutes or 0))
    if usage.stopped is not None:
        return Verdict(RunState.SYSTEM_ERROR, STOPPED)
    if not ended_itself:
        return Verdict(RunState.SYSTEM_ERROR, died(said, code))
    if disk_is_full(folders.stderr):
        return Verdict(RunState.SYSTEM_ERROR, DISK_FULL.format(name=task.name))
    return Verdict(RunState.EXECUTOR_ERROR, task_failure(task.name, code, folders.stderr))


def _complete(folders: Folders, task: Task) -> Verdict:
    missing = [f"{task.outputs[name].path} for its output {name}" for name in missing_outputs(folders.work, task)]
    if missing:
        message = MISSING.format(name=task.name, what=" and no ".join(missing))
        return Verdict(RunState.EXECUTOR_ERROR, message)
    if not any(read_outputs(folders.work, task)):
        return Verdict(RunState.EXECUTOR_ERROR, NOTHING.format(name=task.name))
    return Verdict(RunState.COMPLETE)
