"""Why a HealthOmics run failed: whether trying again can help, and the sentence that helps.

The codes are those of the User Guide, "Run failure reasons". One that is not known here is never tried again on its
own: a retry costs money, and most causes come back.
"""

from __future__ import annotations

from dataclasses import dataclass

from labrelay.model.names import printable
from labrelay.model.states import RunState

SHOWN = 12  # lines of a log that a failure's sentence ends with
HINTS = {
    "ASSUME_ROLE_FAILED": "the service role cannot be taken: let omics.amazonaws.com assume it and check its ARN",
    "CANNOT_START_CONTAINER_ERROR": (
        "the container did not start: its image needs bash, no ENTRYPOINT, and has to be built for x86_64"
    ),
    "CANNOT_START_CONTAINER_SIZE_ERROR": "the image is too large (45 GiB, with a GPU 95 GiB): use a smaller one",
    "ECR_PERMISSION_ERROR": "HealthOmics may not pull the image: add its principal to the ECR repository's policy",
    "EXPORT_FAILED": "the outputs could not be written: check that the output bucket exists and the role may write",
    "FILE_SYSTEM_OUT_OF_SPACE": "the run storage is full: use DYNAMIC storage or a larger STATIC one",
    "IMAGE_VERIFICATION_FAILURE": "the image could not be checked: push it again and name it by its digest",
    "IMPORT_FAILED": "an input could not be read: check that the role may read it and that it is not archived",
    "INACTIVE_OMICS_STORAGE_RESOURCE": (
        "a read set or reference was archived meanwhile: `labrelay runs retry` asks for it and waits"
    ),
    "INPUT_URI_NOT_FOUND": "an input is not there, or the role may not see it: check its URI",
    "INVALID_ECR_IMAGE_URI": "an image is not in this Region's private ECR: map its registry, or push the image there",
    "INVALID_TASK_RESOURCE_VALUE": "a task asks for cpu or memory that no instance has: mend its runtime section",
    "INVALID_URI_INPUT": "an input is no s3:// or omics:// URI: import or upload the file first",
    "MODIFIED_INPUT_RESOURCE": "an input was changed while the run read it: leave inputs alone, then run again",
    "OUT_OF_MEMORY_ERROR": "a task needs more memory than it asks for: raise `memory` in its runtime section",
    "RUN_TASK_FAILED": "a task failed: its log says why",
    "RUN_TIMED_OUT": "the run took longer than its run group allows: raise the group's maximum duration",
    "TASK_TIMED_OUT": "a task took longer than it may: raise its time limit",
    "UNSUPPORTED_GPU_INSTANCE_TYPE": "this Region has no instance with that GPU: ask for another accelerator",
    "UNSUPPORTED_INPUT_SIZE": "the inputs are too large for the run storage: use DYNAMIC or a larger STATIC storage",
    "WORKFLOW_RUN_FAILED": "the workflow itself could not be carried out: the engine's log says why",
    "WORKFLOW_VER_VALIDATION_FAILED": "the workflow is not valid for this engine: mend the definition",
}
PASSING = {
    "SERVICE_ERROR": "HealthOmics itself failed; a new attempt usually works",
    "INSTANCE_RESERVATION_FAILED": "no instance of the size was free; a new attempt usually gets one",
    "ALL_PROFILES_INSTANCE_RESERVATION_FAILED": "no instance of any allowed size was free; try again later",
}


@dataclass(frozen=True)
class Failure:
    """What a failure reason means.

    Attributes:
        state: SYSTEM_ERROR when a new attempt can succeed with nothing changed, else EXECUTOR_ERROR.
        hint: What it means and what to do, without a full stop.
    """

    state: RunState
    hint: str


def judge(reason: str | None) -> Failure:
    """Return what a run's `failureReason` means."""
    code = reason or ""
    if code in PASSING:
        return Failure(RunState.SYSTEM_ERROR, PASSING[code])
    known = HINTS.get(code)
    if known is not None:
        return Failure(RunState.EXECUTOR_ERROR, known)
    named = f"HealthOmics calls the reason {printable(code, 64)}" if code else "HealthOmics gave no reason"
    return Failure(RunState.EXECUTOR_ERROR, f"{named}: the run's log may say more")


def sentence(
    reason: str | None,
    said: str | None,
    task: str | None = None,
    tail: tuple[str, ...] = (),
) -> str:
    """Return the sentence for a person: what failed, what HealthOmics says, what to do, and the last words.

    Args:
        reason: The run's `failureReason`.
        said: Its `statusMessage`.
        task: The first task that failed, if one did.
        tail: The last lines of that task's log, or of the engine's.
    """
    failure = judge(reason)
    who = f"the task {printable(task)} failed" if task else "the run failed"
    code = f" ({printable(reason, 64)})" if reason else ""
    message = f" HealthOmics says: {printable(' '.join(said.split()), 600)}" if said else ""
    last = "\n".join(printable(line, 400) for line in tail[-SHOWN:])
    return f"{who}{code}: {failure.hint}.{message}" + (f"\n{last}" if last else "")
