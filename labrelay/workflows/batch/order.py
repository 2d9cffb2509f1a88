"""What a job is ordered to do, and where in S3 it is written: the engine writes orders, jobs write reports.

<work>/bundles/<digest>.zip       a workflow's bundle
<work>/arrays/<job name>.json     the tokens of an array job's children, in their order
<work>/jobs/<token>/order.json    written once, before the job is submitted: the claim of the token by one job's name
<work>/jobs/<token>/owner.json    written once, by the job that does it
<work>/jobs/<token>/progress.json how far it is
<work>/jobs/<token>/out/…, log/…  what it left
<work>/jobs/<token>/report.json   written last: how it ended, with the URIs of all that it left
"""

from __future__ import annotations

from labrelay.model.problem import Frozen
from labrelay.model.runs import RunRequest

PREFIX = "labrelay-"
GONE = "gone"  # in place of the id of a job that Batch does not know any more, and that has left its report
DONE, FAILED, AGAIN = 0, 1, 75  # exit codes of a job: as ordered; the workflow's fault; the platform's fault (EX_TEMPFAIL)
REPORT_BYTES = 64_000_000
ORDER_BYTES = 16_000_000


class Order(Frozen):
    """What one job, or one child of an array job, has to do.

    Attributes:
        job: The name of the job that it is for; a job of another name leaves it alone.
        index: The child of that array job; None of a job that is no array.
        queue: Where it was to be submitted to when the order was written.
        request: The bundle and the files among the inputs as `s3://` or `omics://` URIs.
        image: What the job runs in, for the record.
        origins: By URI, what the files among the inputs were called where the order was written.
    """

    job: str
    index: int | None
    queue: str
    request: RunRequest
    image: str
    origins: dict[str, str] = {}


class Owner(Frozen):
    """Which job has taken an order; the same job may take it again after it lost its host."""

    job_id: str


class Progress(Frozen):
    """How far a job is."""

    tasks_done: int = 0
    tasks_started: int = 0


def order_key(token: str) -> str:
    """Return the key of an attempt's order."""
    return f"jobs/{token}/order.json"


def report_key(token: str) -> str:
    """Return the key of an attempt's report."""
    return f"jobs/{token}/report.json"


def array_key(name: str) -> str:
    """Return the key of an array job's list of tokens."""
    return f"arrays/{name}.json"


def owner_key(token: str) -> str:
    """Return the key of the word of the job that does an order."""
    return f"jobs/{token}/owner.json"


def progress_key(token: str) -> str:
    """Return the key of how far an order's job is."""
    return f"jobs/{token}/progress.json"
