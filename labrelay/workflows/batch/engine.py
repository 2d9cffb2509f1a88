"""AWS Batch behind the engine port: one job a workflow run, or a child of one array job for many."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from labrelay.model.errors import EngineFailed, LabrelayError, NotFound
from labrelay.model.names import printable, slug
from labrelay.model.runs import EngineStatus, RunReport, RunRequest
from labrelay.model.states import RunState
from labrelay.stores.aws import Aws, aws_errors
from labrelay.workflows.batch.listing import describe
from labrelay.workflows.batch.order import NOBODY, Progress
from labrelay.workflows.batch.orders import Orders, split_uri
from labrelay.workflows.batch.report import report_of
from labrelay.workflows.batch.settings import BatchSettings
from labrelay.workflows.batch.states import CANCELLED, Job, judge, state_of, state_time
from labrelay.workflows.batch.submission import Submission
from labrelay.workflows.sending import Sender

log = logging.getLogger(__name__)
FEW = 5  # attempts whose progress is read at each look
NO_REPORT = "the job ended well and left no report: its container image is none with Labrelay in it"


class BatchEngine:
    """Runs workflow bundles as jobs on AWS Batch, whatever their language.

    The external id of an attempt is `<job id>/<token>`, of an array job's child `<job id>:<index>/<token>`.
    """

    kind = "batch"
    portion = (
        1_000  # runs in one array job, which may have ten times as many; it is also what one look lists in 10 calls
    )

    def __init__(self, aws: Aws, settings: BatchSettings, sender: Sender) -> None:
        """Take account, settings, and what sends local inputs to S3; nothing is asked before the first call."""
        self._aws, self._settings = aws, settings
        self._orders = Orders(aws, settings.work_uri)
        self._submission = Submission(aws, settings, self._orders, sender)
        self._ended: dict[str, EngineStatus] = {}

    def submit(self, request: RunRequest) -> str:
        """Send what the attempt needs to S3 and submit its job; the same token again finds the job.

        Raises:
            RefusedInput: The bundle is none.
            LabrelayError: S3 or Batch refused.
        """
        (answer,) = self.submit_all([request])
        if isinstance(answer, LabrelayError):
            raise answer
        return answer

    def submit_all(self, requests: Sequence[RunRequest]) -> Sequence[str | LabrelayError]:
        """Submit attempts, those of one job definition and queue as one array job; see `Submission.submit`."""
        return self._submission.submit(requests)

    def poll(self, external_ids: Sequence[str]) -> Mapping[str, EngineStatus]:
        """Return the state of each attempt that Batch knows, or whose job has left its report.

        Cost: a DescribeJobs per hundred attempts that have not ended; a GET for each that is seen to have ended, or
        that Batch does not know; of five attempts or fewer also one for each that runs.
        """
        found = {each: self._ended[each] for each in external_ids if each in self._ended}
        waiting = {each: _split(each) for each in external_ids if each not in found and "/" in each}
        jobs = describe(self._aws, (job_id for job_id, _ in waiting.values() if "-" in job_id))
        for external_id, (job_id, token) in waiting.items():
            status = self._status(jobs.get(job_id), token, count=len(external_ids) <= FEW)
            if status is not None:
                found[external_id] = status
            if status is not None and status.state.terminal:
                self._ended[external_id] = status
        self._ended = {each: status for each, status in self._ended.items() if each in found}
        return found

    def report(self, external_id: str) -> RunReport:
        """Return what happened in an ended attempt; its output files are local then.

        Raises:
            NotFound: Batch does not know the job (any more), and it has left no report.
            EngineFailed: It has not ended.
            StorageFailed: Outputs could not be brought here; asking again goes on where it stopped.
        """
        job_id, token = _split(external_id)
        job: Job | None = describe(self._aws, [job_id]).get(job_id) if "-" in job_id else None
        orders = self._orders_of(job)
        if job is not None and orders.report(token) is None:
            job = self._owner_of(job, token) or job
        if job is not None and not state_of(job).terminal:
            raise EngineFailed(f"The job {job_id} has not ended; poll it until its state is final.")
        report = report_of(self._aws, orders, job, token, self._settings.download / slug(token))
        if report is None:
            raise NotFound(f"Batch does not know the job {job_id} (any more), and there is no report of it.")
        return report

    def cancel(self, external_id: str) -> None:
        """Ask for the end of an attempt, whether it runs or waits; its state then says CANCELED.

        An attempt that no job is known of, given by its token alone, is taken from all jobs: none that comes does it.

        Raises:
            NotFound: No job has it, and none will do it now.
        """
        job_id, token = _split(external_id) if "/" in external_id else ("", external_id)
        jobs = {job_id} if "-" in job_id else set()
        owner = self._orders.owner(token) if job_id else self._orders.own(token, NOBODY)
        jobs |= {owner} if owner not in (None, NOBODY) else set()
        if not jobs:
            raise NotFound(f"No job does {external_id}, and none will.")
        for each in jobs:
            with aws_errors(f"end the job {each}", EngineFailed):
                self._aws.client("batch").terminate_job(jobId=each, reason=CANCELLED)

    def _status(self, job: Job | None, token: str, count: bool) -> EngineStatus | None:
        orders = self._orders_of(job)
        if job is not None and not state_of(job).terminal:
            return self._live(job, orders, token, count)
        told = orders.report(token)
        if told is not None:
            at = told.ended or (state_time(job) if job is not None else None)
            return None if at is None else EngineStatus(state=told.state, at=at, message=told.failure)
        if job is None:
            return None
        other = self._owner_of(job, token)
        if other is not None:
            # Submitted twice, or again by hand, and the other job was faster: its end is the attempt's.
            return self._status(other, token, count)
        if job["status"] == "SUCCEEDED":
            return EngineStatus(state=RunState.EXECUTOR_ERROR, at=state_time(job), message=NO_REPORT)
        state, why = judge(job)
        return EngineStatus(state=state, at=state_time(job), message=why)

    def _live(self, job: Job, orders: Orders, token: str, count: bool) -> EngineStatus:
        progress, said = Progress(), job.get("statusReason")
        if count and job["status"] == "RUNNING":
            try:
                progress = orders.progress(token)
            except LabrelayError as error:
                log.info("how far %s is cannot be told: %s", token, error)
        return EngineStatus(
            state=state_of(job),
            at=state_time(job),
            # Why it waits for ever, if it does: MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT and the like.
            message=f"Batch says: {printable(str(said), 300)}" if said else None,
            tasks_done=progress.tasks_done,
            tasks_started=progress.tasks_started,
        )

    def _owner_of(self, job: Job, token: str) -> Job | None:
        """Return the job that does an attempt, when that is another one than this job which did not."""
        owner = self._orders_of(job).owner(token)
        if owner in (None, NOBODY, job["jobId"]):
            return None
        return describe(self._aws, [str(owner)]).get(str(owner))

    def _orders_of(self, job: Job | None) -> Orders:
        """Return the work folder of a job; the settings may name another one by now."""
        uri = str(((job or {}).get("parameters") or {}).get("order", ""))
        try:
            base, _name = split_uri(uri)
        except LabrelayError:
            return self._orders
        return self._orders if base == self._orders.work_uri else Orders(self._aws, base)


def _split(external_id: str) -> tuple[str, str]:
    job_id, _, token = external_id.partition("/")
    return job_id, token
