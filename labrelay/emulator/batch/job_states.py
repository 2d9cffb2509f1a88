"""How jobs change: one place that writes their states, so that each change is told once and an end stays.

SUBMITTED -> PENDING -> RUNNABLE -> STARTING -> RUNNING -> SUCCEEDED | FAILED; a retried job is RUNNABLE again.

An end is written with a mark beside it, in the same transaction; whoever settles what follows from it (jobs that waited
for it, the array job that it is a child of) takes the mark away, in one transaction too. So a kill loses neither.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from labrelay.emulator import shapes
from labrelay.emulator.batch.naming import JOB, parent_of, refused
from labrelay.emulator.dialects import BATCH
from labrelay.emulator.operation import Params
from labrelay.emulator.routing import service_model
from labrelay.emulator.service import Service
from labrelay.emulator.state import Body, Snapshot, Transaction
from labrelay.emulator.tags import shown_tags

STATES = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED")
NOT_STARTED = ("SUBMITTED", "PENDING", "RUNNABLE")
UNDER_WAY = ("STARTING", "RUNNING")
LIVE = NOT_STARTED + UNDER_WAY
ENDED = ("SUCCEEDED", "FAILED")
MARK = "batchEnded"  # a thing for each end that nobody has settled yet
EVENT, SOURCE = "Batch Job State Change", "aws.batch"


def now_ms() -> int:
    """Return the time now as Batch says it, in milliseconds since 1970."""
    return int(time.time() * 1000)


class Changes:
    """Changes of jobs in one transaction.

    Attributes:
        state: The transaction.
        runnable: The jobs that became RUNNABLE.
    """

    def __init__(self, state: Transaction) -> None:
        self.state = state
        self.runnable: list[Body] = []
        self._told: list[Params] = []

    def move(self, job: Body, status: str, **members: Any) -> Body:
        """Give a job another state and members, write it, and return it."""
        job = {**job, **members, "status": status}
        self.state.put(JOB, job["jobId"], job, parent_of(job["jobId"]))
        self._told.append(detail(self.state, job))
        if status == "RUNNABLE":
            self.runnable.append(job)
        return job

    def keep(self, job: Body, **members: Any) -> Body:
        """Change members of a job, not its state, and return it."""
        job = {**job, **members}
        self.state.put(JOB, job["jobId"], job, parent_of(job["jobId"]))
        return job

    def end(self, job: Body, status: str, reason: str | None, **members: Any) -> Body:
        """End a job, and leave the mark that what follows is to be settled."""
        ended = {"stoppedAt": now_ms(), **members}
        if reason is not None:
            ended["statusReason"] = reason
        self.state.put(MARK, job["jobId"], {})
        return self.move(job, status, **ended)

    def tell(self, service: Service) -> None:
        """Send the events, in their order."""
        shape = service_model(BATCH).shape_for("JobDetail")
        for told in self._told:
            service.announce(EVENT, [told["jobArn"]], shapes.write(shape, told), source=SOURCE)


@contextmanager
def changing(service: Service) -> Iterator[Changes]:
    """Change jobs in one transaction, and tell about it when it is durable."""
    with service.state.write() as state:
        changes = Changes(state)
        yield changes
    changes.tell(service)


def detail(state: Snapshot, job: Body) -> Params:
    """Return a job as DescribeJobs shows it; a child has the tags of its array job."""
    own: str = job["jobArn"]
    parent = parent_of(job["jobId"])
    job = job | shown_tags(state, own.removesuffix(job["jobId"]) + parent if parent else own)
    properties = job.get("arrayProperties")
    if properties is None:
        return job
    if "size" not in properties:
        return {**job, "arrayProperties": {**properties, "statusSummary": {}}}
    summary = {status: state.count(JOB, job["jobId"], status) for status in STATES}
    return {**job, "arrayProperties": {**properties, "statusSummary": summary, "statusSummaryLastUpdatedAt": now_ms()}}


def job_with(state: Snapshot, job: str) -> Body:
    """Return a job.

    Raises:
        Failure: `ClientException`, there is none of this id.
    """
    body = state.get(JOB, job, parent_of(job))
    if body is None:
        raise refused(f"The job {job} does not exist.")
    return body


def stop_job(service: Service, job: str, reason: str, *, running_too: bool) -> None:
    """End a job that has not started, or ask for the end of one that is under way; of an array job all children.

    Args:
        service: Whose job.
        job: Its id. One that has ended stays as it is.
        reason: Its status reason.
        running_too: Whether what is under way is stopped as well.

    Raises:
        Failure: `ClientException`, there is no such job.
    """
    with changing(service) as changes:
        _stop(changes, job_with(changes.state, job), reason, running_too=running_too)
    service.batch_bell.ring()


def stop_jobs_of(service: Service, queue: str, reason: str) -> None:
    """Stop all jobs of the queue with this ARN."""
    with changing(service) as changes:
        for status in LIVE:
            for body in list(changes.state.each(JOB, status=status)):
                if body["jobQueue"] == queue:
                    _stop(changes, body, reason, running_too=True)
    service.batch_bell.ring()


def _stop(changes: Changes, job: Body, reason: str, *, running_too: bool) -> None:
    if job["status"] in ENDED:
        return
    asked = {"isTerminated" if running_too else "isCancelled": True}
    if "size" in job.get("arrayProperties", {}) and job["status"] != "SUBMITTED":
        changes.keep(job, _stop=reason, **asked)
        for status in LIVE:
            for child in list(changes.state.each(JOB, job["jobId"], status)):
                _stop(changes, child, reason, running_too=running_too)
    elif job["status"] in NOT_STARTED:
        changes.end(job, "FAILED", reason, **asked)
    elif running_too and "_stop" not in job:
        changes.keep(job, _stop=reason, **asked)
