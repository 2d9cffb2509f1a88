"""What the end of an attempt makes of its job: done, failed, or runnable once more; in the words of Batch and ECS."""

from __future__ import annotations

from typing import Any

from labrelay.emulator.batch.attempts import Outcome
from labrelay.emulator.batch.container import log_prefix
from labrelay.emulator.batch.job_states import Changes, now_ms
from labrelay.emulator.batch.retries import is_retried
from labrelay.emulator.service import Service
from labrelay.emulator.state import Body

EXITED = "Essential container in task exited"
TIMED_OUT = "Job attempt duration exceeded timeout"
KILLED = 137  # by nobody whom we know of, which is how the kernel's lack of memory shows
OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"


def stream_name(job: Body) -> str:
    """Return the log stream of a job's current attempt."""
    name = job["jobDefinition"].rpartition("/")[2].rpartition(":")[0]
    return f"{log_prefix(job['container'], name)}/default/{job['_attempt']['id']}"


def settle(service: Service, changes: Changes, job: Body, outcome: Outcome | None) -> None:
    """Write how an attempt ended, and what follows from it.

    Args:
        service: Whose job.
        changes: Of the transaction.
        job: STARTING or RUNNING.
        outcome: By the attendant's word; None when it died without one, as when a host is lost.
    """
    if outcome is None:
        reason = f"Host EC2 (instance {_instance(job)}) terminated."
        _end(service, changes, job, None, "", reason, job.get("startedAt", now_ms()), now_ms())
        return
    reason = TIMED_OUT if outcome.why == "timeout" else EXITED
    killed = outcome.code == KILLED and outcome.why == "itself"
    _end(service, changes, job, outcome.code, OUT_OF_MEMORY * killed, reason, outcome.started, outcome.stopped)


def not_started(service: Service, changes: Changes, job: Body, why: str) -> None:
    """Write that the container of an attempt could not be started."""
    _end(service, changes, job, None, why, why, now_ms(), now_ms())


def running(service: Service, job: Body) -> Body:
    """Return a job whose container has just been started."""
    return {**job, "startedAt": now_ms(), "container": _container(job, _placed(service, job))}


def _end(
    service: Service, changes: Changes, job: Body, code: int | None, why: str, reason: str, started: int, stopped: int
) -> None:
    own = _placed(service, job) | ({"exitCode": code} if code is not None else {}) | ({"reason": why} if why else {})
    attempt = {"container": own, "startedAt": started, "stoppedAt": stopped, "statusReason": reason}
    job = {**job, "attempts": [*job["attempts"], attempt], "container": _container(job, own)}
    if code == 0 and reason == EXITED and "_stop" not in job:
        changes.end(job, "SUCCEEDED", reason, startedAt=started, stoppedAt=stopped)
        return
    stopping = job.get("_stop")
    retried = stopping is None and reason != TIMED_OUT
    if retried and is_retried(job.get("retryStrategy"), len(job["attempts"]), code, why, reason):
        job.pop("startedAt", None)
        changes.move(job, "RUNNABLE", statusReason=reason)
        return
    changes.end(job, "FAILED", stopping or reason, startedAt=started, stoppedAt=stopped)


def _container(job: Body, own: dict[str, Any]) -> dict[str, Any]:
    """Return a job's container with what is known of its latest attempt, and nothing of those before."""
    return {name: value for name, value in job["container"].items() if name not in ("exitCode", "reason")} | own


def _placed(service: Service, job: Body) -> dict[str, Any]:
    """Return where ECS has the container of a job's current attempt."""
    attempt = job["_attempt"]["id"]
    cluster = f"AWSBatch-{job['_attempt']['environment'].rpartition('/')[2]}"
    base = f"arn:aws:ecs:{service.region}:{service.account}"
    return {
        "containerInstanceArn": f"{base}:container-instance/{cluster}/{attempt[::-1]}",
        "taskArn": f"{base}:task/{cluster}/{attempt}",
        "logStreamName": stream_name(job),
        "networkInterfaces": [],
    }


def _instance(job: Body) -> str:
    """Return the id of the instance that stands for this machine."""
    return f"i-{job['_attempt']['id'][:17]}"
