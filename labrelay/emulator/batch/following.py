"""What follows by itself: submitted jobs come to wait or are runnable, and ends reach those that waited for them."""

from __future__ import annotations

from labrelay.emulator.batch.job_states import LIVE, MARK, Changes
from labrelay.emulator.batch.naming import JOB, arn, parent_of
from labrelay.emulator.service import Service
from labrelay.emulator.state import Body

WAIT = "batchWait"  # a thing for each dependency that is not met: its parent is the job that is waited for
DEPENDENCY_FAILED = "Dependent Job failed"
CHILD_FAILED = "Array Child Job failed"
AT_ONCE = 500  # ends that one transaction settles


def take_submitted(service: Service, changes: Changes) -> None:
    """Let every SUBMITTED job wait for its dependencies, or be RUNNABLE; array jobs get their children."""
    for job in list(changes.state.each(JOB, status="SUBMITTED")):
        wanted = [entry["jobId"] for entry in job["dependsOn"] if "type" not in entry]
        if "arrayProperties" not in job:
            _queue(changes, job, wanted)
            continue
        changes.move(job, "PENDING")
        for child, more in _children(service, job):
            _queue(changes, child, wanted + more)


def settle_ends(changes: Changes) -> bool:
    """Carry ends on to those that waited for them, and so on, as far as is good for one transaction; tell if any."""
    settled = 0
    # A failure goes on along a chain: each round makes the marks of the next.
    while settled < AT_ONCE and (marks := changes.state.first_ids(MARK, AT_ONCE)):
        for job in marks:
            _settle_end(changes, job)
        settled += len(marks)
    return settled > 0


def _settle_end(changes: Changes, job: str) -> None:
    body = changes.state.get(JOB, job, parent_of(job))
    changes.state.delete(MARK, job)
    if body is None:
        return
    for waiting in list(changes.state.each(WAIT, job)):
        _release(changes, waiting["jobId"], job, met=body["status"] == "SUCCEEDED")
    if parent_of(job):
        _end_array(changes, parent_of(job))


def _children(service: Service, job: Body) -> list[tuple[Body, list[str]]]:
    """Return the children of an array job, each with the jobs that it alone waits for."""
    own, size = job["jobId"], job["arrayProperties"]["size"]
    beside = [entry["jobId"] for entry in job["dependsOn"] if entry.get("type") == "N_TO_N"]
    in_order = any(entry.get("type") == "SEQUENTIAL" for entry in job["dependsOn"])
    made = []
    for index in range(size):
        child = {
            **job,
            "jobId": f"{own}:{index}",
            "jobArn": arn(service, "job", f"{own}:{index}"),
            "arrayProperties": {"index": index},
        }
        waits = [f"{other}:{index}" for other in beside] + ([f"{own}:{index - 1}"] if in_order and index else [])
        made.append((child, waits))
    return made


def _queue(changes: Changes, job: Body, wanted: list[str]) -> None:
    """Let a job wait for those of the wanted that have not ended; without any it is RUNNABLE."""
    open_ones = []
    for other in wanted:
        body = changes.state.get(JOB, other, parent_of(other))
        # Within an array in order, the child before has been written in this very transaction.
        if body is None or body["status"] == "FAILED":
            changes.end(job, "FAILED", DEPENDENCY_FAILED)
            return
        if body["status"] != "SUCCEEDED":
            open_ones.append(other)
    if not open_ones:
        changes.move(job, "RUNNABLE")
        return
    changes.move(job, "PENDING", _waits=open_ones)
    for other in open_ones:
        changes.state.put(WAIT, job["jobId"], {"jobId": job["jobId"]}, other)


def _release(changes: Changes, waiting: str, ended: str, *, met: bool) -> None:
    """Take one dependency from a job that waits."""
    changes.state.delete(WAIT, waiting, ended)
    job = changes.state.get(JOB, waiting, parent_of(waiting))
    if job is None or job["status"] != "PENDING":
        return
    left = [other for other in job["_waits"] if other != ended]
    if not met:
        changes.end(job, "FAILED", DEPENDENCY_FAILED)
    elif left:
        changes.keep(job, _waits=left)
    else:
        changes.move(job, "RUNNABLE", _waits=[])


def _end_array(changes: Changes, parent: str) -> None:
    """End an array job whose children have all ended."""
    job = changes.state.get(JOB, parent)
    if job is None or job["status"] != "PENDING":
        return
    if any(changes.state.has(JOB, parent, status) for status in LIVE):
        return
    failed = changes.state.has(JOB, parent, "FAILED")
    reason = job.get("_stop") or (CHILD_FAILED if failed else None)
    changes.end(job, "FAILED" if failed else "SUCCEEDED", reason)
