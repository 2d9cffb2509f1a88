"""What Batch says of a job: our state, its time, and the sentence that helps. Pure; AWS Batch User Guide, "Jobs"."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from labrelay.model.names import printable
from labrelay.model.states import RunState
from labrelay.workflows.batch.order import AGAIN, FAILED

Job = Mapping[str, Any]
STATES = {
    "SUBMITTED": RunState.QUEUED,
    "PENDING": RunState.QUEUED,
    "RUNNABLE": RunState.QUEUED,
    "STARTING": RunState.INITIALIZING,
    "RUNNING": RunState.RUNNING,
    "SUCCEEDED": RunState.COMPLETE,
}
OURS = "labrelay: "  # what our own reasons for ending a job begin with
CANCELLED, TWICE = f"{OURS}a person asked for it", f"{OURS}it was submitted twice"
KILLED, ENDED = 137, 143  # 128 + SIGKILL, 128 + SIGTERM
LATEST = 4_102_444_800_000  # milliseconds; nothing of today has happened after the year 2100
SHOWN = 12  # lines of a log that a failure's sentence ends with


class Verdict(NamedTuple):
    """What the end of a job means.

    Attributes:
        state: SYSTEM_ERROR when a new attempt can succeed with nothing changed.
        why: What happened and what to do, without a full stop.
    """

    state: RunState
    why: str


def state_of(job: Job) -> RunState:
    """Return a job's state as ours; of a failed one its reasons decide."""
    return judge(job).state if job.get("status") == "FAILED" else STATES.get(str(job.get("status")), RunState.UNKNOWN)


def state_time(job: Job) -> datetime:
    """Return when a job entered its state, as far as Batch says it; it depends on nothing but the answer."""
    ended = job.get("status") in ("SUCCEEDED", "FAILED")
    names = ["stoppedAt"] if ended else ["startedAt"] if job.get("status") == "RUNNING" else []
    for name in (*names, "startedAt", "createdAt") if ended else (*names, "createdAt"):
        moment = moment_of(job, name)
        if moment is not None:
            return moment
    return datetime.now(UTC)


def moment_of(job: Job, member: str) -> datetime | None:
    """Return a time that Batch says in milliseconds since 1970; None for none, and for one that cannot be."""
    value = job.get(member)
    return datetime.fromtimestamp(value / 1000, UTC) if isinstance(value, int) and 0 < value < LATEST else None


def judge(job: Job) -> Verdict:
    """Return what the end of a FAILED job means, by its reasons first and its exit code then."""
    said = str(job.get("statusReason") or "")
    container = job.get("container") or {}
    reason, code = str(container.get("reason") or ""), exit_code(job)
    if said.startswith(OURS):
        return Verdict(RunState.CANCELED, f"the job was ended: {printable(said.removeprefix(OURS), 200)}")
    if said.startswith("Host EC2"):
        why = "the job's host was lost, as a Spot instance may be, as often as its job definition allows"
        return Verdict(RunState.SYSTEM_ERROR, f"{why}; a new attempt usually works")
    if "duration exceeded timeout" in said:
        return Verdict(RunState.EXECUTOR_ERROR, "the job took longer than it may: raise `minutes` in the definition")
    if job.get("isCancelled") or job.get("isTerminated"):
        by_hand = f"somebody ended the job, or its queue did: {printable(said or 'no reason was given', 300)}"
        return Verdict(RunState.EXECUTOR_ERROR, by_hand)
    if reason.startswith("OutOfMemory"):
        why = "the job needs more memory than it asks for: raise `memory_gib` in the definition's [resources]"
        return Verdict(RunState.EXECUTOR_ERROR, why)
    if code is not None:
        return _by_code(code)
    if "CannotPull" in said + reason:
        why = f"the container image could not be pulled ({printable(reason or said, 200)}): check its name and registry"
        return Verdict(RunState.SYSTEM_ERROR, why)
    told = printable(reason or said, 300) or "Batch gave no reason"
    return Verdict(RunState.SYSTEM_ERROR, f"the job's container did not start or was lost: {told}")


def exit_code(job: Job) -> int | None:
    """Return the exit code of a job's container, or of its last attempt's; None where there was none."""
    container = job.get("container") or {}
    last = (job.get("attempts") or [{}])[-1].get("container") or {}
    code = container.get("exitCode", last.get("exitCode"))
    return code if isinstance(code, int) else None


def log_stream(job: Job) -> str | None:
    """Return the log stream of a job's last attempt."""
    container = job.get("container") or {}
    last = (job.get("attempts") or [{}])[-1].get("container") or {}
    stream = container.get("logStreamName") or last.get("logStreamName")
    return str(stream) if stream else None


def _by_code(code: int) -> Verdict:
    if code == FAILED:
        return Verdict(RunState.EXECUTOR_ERROR, "the workflow failed: its log says why")
    if code == AGAIN:
        return Verdict(RunState.SYSTEM_ERROR, "the job could not be carried out: its log says why")
    if code in (KILLED, ENDED):
        return Verdict(RunState.SYSTEM_ERROR, "the job was ended from outside before it was done")
    why = f"the job's program ended with exit code {code}: its log says why, and Labrelay has to be in its image"
    return Verdict(RunState.EXECUTOR_ERROR, why)


def sentence(why: str, tail: tuple[str, ...] = ()) -> str:
    """Return the sentence for a person, with the last lines of the job's log below."""
    last = "\n".join(printable(line, 400) for line in tail[-SHOWN:])
    return f"{why}." + (f"\n{last}" if last else "")
