"""ListJobs: of a queue by state or by a filter, or the children of an array job."""

from __future__ import annotations

from collections.abc import Callable

from labrelay.emulator.batch.job_queues import queue_named
from labrelay.emulator.batch.job_states import detail
from labrelay.emulator.batch.naming import JOB, batch_operation, numbered_page, place, plain_name, refused
from labrelay.emulator.operation import Params
from labrelay.emulator.service import Service
from labrelay.emulator.state import Body

MOST_LISTED, MOST_FILTERED = 1000, 100
ONE_OF = ("jobQueue", "arrayJobId", "multiNodeJobId")
SUMMARY = (
    "jobArn", "jobId", "jobName", "createdAt", "status", "statusReason", "startedAt", "stoppedAt", "jobDefinition",
    "isCancelled", "isTerminated",
)  # fmt: skip
Fits = Callable[[Body], bool]


@batch_operation("ListJobs")
def list_jobs(service: Service, asked: Params) -> Params:
    """Return jobs in short; without a status those that are RUNNING, with a filter those of any."""
    if sum(member in asked for member in ONE_OF) != 1:
        raise refused(f"Name exactly one of {', '.join(ONE_OF)}.")
    if "multiNodeJobId" in asked:
        raise refused("Multi-node parallel jobs are not emulated.")
    filters = asked.get("filters", [])
    if len(filters) > 1:
        raise refused(f"Only one filter can be used at a time, not {len(filters)}.")
    status = None if filters else asked.get("jobStatus", "RUNNING")
    fits = _fits(service, filters[0]) if filters else lambda _job: True
    limit = numbered_page(asked.get("maxResults"), MOST_FILTERED if filters else MOST_LISTED)
    parent = asked.get("arrayJobId", "")
    with service.state.read() as state:
        equal = {"jobQueue": queue_named(service, state, asked["jobQueue"])["jobQueueArn"]} if not parent else {}
        jobs, after = state.page(
            JOB,
            parent,
            limit=limit,
            token=place(asked.get("nextToken")),
            status=status,
            equal=equal,
            keep=fits,
            newest_first=bool(filters),
        )
        found = [_summary(detail(state, job)) for job in jobs]
    return {"jobSummaryList": found, "nextToken": after}


def _summary(job: Params) -> Params:
    """Return a job as listings show it."""
    container = {name: job["container"][name] for name in ("exitCode", "reason") if name in job["container"]}
    found = {name: job[name] for name in SUMMARY if name in job} | {"container": container}
    return found | ({"arrayProperties": job["arrayProperties"]} if "arrayProperties" in job else {})


def _fits(service: Service, given: Params) -> Fits:
    """Return what tells whether a job is one that a filter means; any of its values will do."""
    name, values = given.get("name", ""), given.get("values", [])
    makers: dict[str, Callable[[str], Fits]] = {
        "JOB_NAME": _named,
        "JOB_DEFINITION": lambda value: _defined(service, value),
        "BEFORE_CREATED_AT": lambda value: lambda job: job["createdAt"] < int(value),
        "AFTER_CREATED_AT": lambda value: lambda job: job["createdAt"] > int(value),
    }
    if name not in makers or not values:
        raise refused(f"A filter has values and one of the names {', '.join(makers)}.")
    if name.endswith("CREATED_AT") and not all(value.isascii() and value.isdigit() for value in values):
        raise refused(f"The value of the filter {name} is a number of milliseconds since 1970.")
    any_of = [makers[name](value) for value in values]
    return lambda job: any(fits(job) for fits in any_of)


def _named(value: str) -> Fits:
    wanted = value.lower()
    if wanted.endswith("*"):
        return lambda job: job["jobName"].lower().startswith(wanted[:-1])
    return lambda job: job["jobName"].lower() == wanted


def _defined(service: Service, value: str) -> Fits:
    if value.startswith("arn:"):
        return lambda job: job["jobDefinition"] == value

    def name_of(job: Body) -> str:
        return plain_name(service, "job-definition", job["jobDefinition"]).rpartition(":")[0]

    if value.endswith("*"):
        return lambda job: name_of(job).startswith(value[:-1])
    return lambda job: name_of(job) == value
