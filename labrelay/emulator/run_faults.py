"""Why a run failed, in HealthOmics' words: the code that goes into `failureReason`, and the text beside it."""

from __future__ import annotations

from dataclasses import dataclass

from labrelay.emulator.objects import ObjectUnavailable, Reason
from labrelay.model.names import printable

MESSAGE_CHARS = 2_000
OUT_OF_MEMORY_STATUS = 137


class RunFault(Exception):
    """A run ends FAILED.

    Attributes:
        reason: `failureReason`, a code of the user guide.
        message: `statusMessage`.
    """

    def __init__(self, reason: str, message: str) -> None:
        self.reason, self.message = reason, printable(message, MESSAGE_CHARS)
        super().__init__(f"{reason}: {message}")


class RunCancelled(Exception):
    """Somebody asked for the end of the run, which was noticed in the middle of it."""


class EmulatorStops(Exception):
    """The emulator is being stopped; the run is left as it is and goes on at the next start."""


@dataclass(frozen=True)
class TaskFault:
    """Why a task failed."""

    reason: str
    message: str


def input_fault(error: ObjectUnavailable) -> RunFault:
    """Return what an input that cannot be read makes of its run."""
    match error.reason:
        case Reason.INVALID:
            return RunFault("INVALID_URI_INPUT", f"The input URI is not valid: {error}")
        case Reason.ARCHIVED:
            text = f"The input {error.uri} is not ACTIVE. Activate it and start the run again. {error}"
            return RunFault("INACTIVE_OMICS_STORAGE_RESOURCE", text)
        case Reason.CHANGED:
            return RunFault("MODIFIED_INPUT_RESOURCE", f"The input {error.uri} was modified during the run.")
        case Reason.NOT_FOUND | Reason.DENIED:
            text = "Check that the URI path exists and confirm that the role can access the object."
            return RunFault("INPUT_URI_NOT_FOUND", f"The provided URI does not exist: {error.uri}. {text}")
        case Reason.FAILED:
            return RunFault("IMPORT_FAILED", f"The input could not be imported: {error}")


def task_fault(exit_code: int | None, refused_image: str | None, task_id: str, stream: str, words: str) -> TaskFault:
    """Return why a task failed.

    Args:
        exit_code: Of its command, None when that was never started.
        refused_image: What the image policy said, if that is why.
        task_id, stream: What the text points to.
        words: The last that the command said.
    """
    if refused_image is not None:
        return TaskFault(
            "CANNOT_START_CONTAINER_ERROR", f"The container of task {task_id} cannot start: {refused_image}."
        )
    if exit_code == OUT_OF_MEMORY_STATUS:
        text = f"The workflow task {task_id} ran out of memory. Increase the memory of the task and run it again."
        return TaskFault("OUT_OF_MEMORY_ERROR", text)
    status = f" with exit status {exit_code}" if exit_code is not None else ""
    said = f" It last said: {words}" if words else ""
    text = f"The task {task_id} failed{status}. Review the CloudWatch Logs stream {stream}.{said}"
    return TaskFault("RUN_TASK_FAILED", printable(text, MESSAGE_CHARS))


def task_failed(task_id: str, stream: str) -> RunFault:
    """Return what a failed task makes of its run."""
    text = f"The run failed because the task failed. To debug, use GetRunTask for task {task_id} and the CloudWatch"
    return RunFault("RUN_TASK_FAILED", f"{text} Logs stream {stream}.")


def workflow_failed(stream: str, why: str) -> RunFault:
    """Return the failure of a workflow for another reason than a task."""
    text = f"Workflow run failed. Review the CloudWatch Logs engine log stream: {stream} to debug the failure. {why}"
    return RunFault("WORKFLOW_RUN_FAILED", text)


def export_failed(uri: str, why: object) -> RunFault:
    """Return the failure of the export of outputs."""
    text = "Check that the output bucket exists and the run role has write permission to the bucket."
    return RunFault("EXPORT_FAILED", f"The outputs could not be exported to {uri}. {text} ({why})")
