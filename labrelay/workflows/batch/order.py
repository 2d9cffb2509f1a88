"""What a job is ordered to do, and what is written of it in S3: the engine writes orders, jobs write reports.

<work>/bundles/<digest>.zip        a workflow's bundle
<work>/arrays/<job name>.json      the tokens of an array job's children, in their order
<work>/jobs/<token>/order.json     written once, before the job is submitted: the claim of the token by one job's name
<work>/jobs/<token>/owner.json     written once, by the job that does it, or by who decides between two
<work>/jobs/<token>/progress.json  how far it is
<work>/jobs/<token>/<attempt>/…    what an attempt of the job left: out/ and log/
<work>/jobs/<token>/report.json    written last: how it ended, with the URIs of all that it left
"""

from __future__ import annotations

from labrelay.model.canonical import digest
from labrelay.model.problem import Frozen
from labrelay.model.runs import RunRequest

PREFIX = "labrelay-"
GONE = "gone"  # in place of the id of a job that Batch does not know any more, and that has left its report
NOBODY = "nobody"  # the owner of an order that was cancelled before a job had it
# Exit codes of a job: as ordered; the workflow's fault (EX_DATAERR); the platform's fault (EX_TEMPFAIL). Python itself
# ends with 1 and 2, which say neither.
DONE, FAILED, AGAIN = 0, 65, 75


class Order(Frozen):
    """What one job, or one child of an array job, has to do.

    Attributes:
        job: The name of the job that it is for; a job of another name leaves it alone.
        index: The child of that array job; None of a job that is no array.
        queue: Where it was to be submitted to when the order was written.
        request: The bundle and the files among the inputs as `s3://` or `omics://` URIs.
        origins: By URI, what the files among the inputs were called where the order was written.
    """

    job: str
    index: int | None
    queue: str
    request: RunRequest
    origins: dict[str, str] = {}

    @property
    def token(self) -> str:
        """The attempt's token."""
        return self.request.token


class Owner(Frozen):
    """Which job has taken an order; the same job may take it again after it lost its host."""

    job_id: str


class Progress(Frozen):
    """How far a job is."""

    tasks_done: int = 0
    tasks_started: int = 0


def job_name(work_uri: str, tokens: list[str]) -> str:
    """Return the name of the job of these attempts; two homes with other places in S3 have other names for it."""
    place = digest([work_uri])[:8]
    last = tokens[0] if len(tokens) == 1 else f"array-{digest(tokens)[:40]}"
    return f"{PREFIX}{place}-{last}"


def child_of(job_id: str, order: Order) -> str:
    """Return the id of the job, or of the child of an array job, that does an order."""
    return job_id if order.index is None else f"{job_id}:{order.index}"
