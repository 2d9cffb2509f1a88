"""What a job left in S3, as the report of its attempt: the job's own word first, then Batch's."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from labrelay.model.errors import LabrelayError
from labrelay.model.names import printable, slug
from labrelay.model.runs import CostItem, OutputFile, RunReport
from labrelay.model.states import RunState
from labrelay.stores.aws import Aws
from labrelay.stores.download import fetch_all
from labrelay.stores.durable import make_dirs, storage_errors, write_atomic
from labrelay.workflows.batch.orders import Orders
from labrelay.workflows.batch.states import Job, exit_code, judge, log_stream, moment_of, sentence
from labrelay.workflows.cloudwatch import last_lines
from labrelay.workflows.report_paths import with_paths

log = logging.getLogger(__name__)
LOG_GROUP = "/aws/batch/job"
ENGINE = "AWS Batch"


def report_of(aws: Aws, orders: Orders, job: Job | None, token: str, folder: Path) -> RunReport | None:
    """Return the report of an ended attempt, its files brought to `folder`; None when nothing is known of it.

    Cost: two calls, one for the log of a failed job, and two for each file.

    Args:
        aws: Where.
        orders: Where the job's files are.
        job: DescribeJobs' word on it; None when Batch does not know it any more.
        token: Of the attempt.
        folder: For this attempt's files.

    Raises:
        StorageFailed: Files could not be brought here; asking again goes on where it stopped.
    """
    told = orders.report(token)
    if told is None:
        return None if job is None else _without_word(aws, job, folder)
    report = _brought(aws, orders, told, token, folder)
    elsewhere = aws.endpoint("batch")
    held = f"{ENGINE}, {told.sandbox}" if told.sandbox else ENGINE
    where = f" (answered at {printable(elsewhere, 200)})" if elsewhere else ""
    costs = _used(job) if job is not None else ()
    return report.model_copy(update={"sandbox": held + where, "costs": costs})


def _brought(aws: Aws, orders: Orders, told: RunReport, token: str, folder: Path) -> RunReport:
    """Return the report with local files; the names of inputs are those of the place where they were asked for."""
    places = {file.path: str(_place(folder, file)) for file in told.files}
    places |= {uri: str(folder / "log" / str(n) / slug(uri.rpartition("/")[2])) for n, uri in enumerate(told.logs)}
    fetch_all(aws, [(uri, Path(place)) for uri, place in places.items()], folder)
    return with_paths(told, {**_origins(orders, token), **places})


def _place(folder: Path, file: OutputFile) -> Path:
    # Names in S3 are somebody else's: none becomes a path as it is.
    return folder / "out" / slug(file.output) / str(file.index) / slug(file.path.rpartition("/")[2])


def _origins(orders: Orders, token: str) -> Mapping[str, str]:
    try:
        order = orders.read(token)
        return order.origins if order is not None else {}
    except LabrelayError as error:
        log.info("the inputs of %s keep the names that they had in its job: %s", token, error)
        return {}


def _without_word(aws: Aws, job: Job, folder: Path) -> RunReport:
    """Return what Batch says of a job that left no report: its reasons, and the last lines of its log, kept here."""
    stream = log_stream(job)
    state, why = judge(job) if job.get("status") == "FAILED" else (RunState.EXECUTOR_ERROR, "the job left no report")
    tail = last_lines(aws, LOG_GROUP, stream) if stream and state is not RunState.CANCELED else ()
    return RunReport(
        state=state,
        started=moment_of(job, "startedAt"),
        ended=moment_of(job, "stoppedAt"),
        engine=ENGINE,
        failure=sentence(why, tail),
        logs=_kept(folder / "log" / "cloudwatch.log", stream, tail),
        exit_code=exit_code(job),
        costs=_used(job),
    )


def _kept(path: Path, stream: str | None, tail: tuple[str, ...]) -> tuple[str, ...]:
    """Keep the last lines of a log, with where the whole of it is."""
    if not tail:
        return ()
    text = "\n".join([f"the last lines of {stream} in the log group {LOG_GROUP} of CloudWatch:", *tail]) + "\n"
    with storage_errors(f"store {path.name}", path.parent):
        make_dirs(path.parent)
        write_atomic(path, text.encode())
    return (str(path),)


def _used(job: Job) -> tuple[CostItem, ...]:
    """Return what a job's attempts took of the machines; what these cost is told by the bill of their instances."""
    seconds = sum(
        max(0, int(each.get("stoppedAt", 0)) - int(each.get("startedAt", 0))) / 1000
        for each in job.get("attempts") or ()
        if each.get("startedAt") and each.get("stoppedAt")
    )
    asked = {each["type"]: each["value"] for each in (job.get("container") or {}).get("resourceRequirements") or ()}
    try:
        cpus, gib = float(asked.get("VCPU", 0)), float(asked.get("MEMORY", 0)) / 1024
    except ValueError:
        return ()
    hours = seconds / 3600
    return (
        CostItem(what="Batch vCPUs", quantity=cpus * hours, unit="vCPU h"),
        CostItem(what="Batch memory", quantity=gib * hours, unit="GiB h"),
    )
