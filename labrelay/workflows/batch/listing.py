"""Jobs looked up in as few calls as will do: by name where a SubmitJob's answer was lost, else a hundred ids a call."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from labrelay.model.errors import EngineFailed
from labrelay.stores.aws import Aws, aws_errors

PAGE = 100
Found = dict[str, Any]


def describe(aws: Aws, job_ids: Iterable[str]) -> dict[str, Found]:
    """Return what Batch knows of jobs, and of children of array jobs (`id:index`). Cost: a call per hundred.

    Raises:
        LabrelayError: Batch could not be asked.
    """
    wanted, found = iter(dict.fromkeys(job_ids)), dict[str, Found]()
    while page := list(islice(wanted, PAGE)):
        with aws_errors(f"look at {len(page)} jobs", EngineFailed):
            jobs = aws.client("batch").describe_jobs(jobs=page)["jobs"]
        found |= {str(job["jobId"]): job for job in jobs}
    return found


def named(aws: Aws, queue: str, name: str) -> list[Found]:
    """Return the jobs of exactly this name in a queue, the oldest first, in whatever state. Cost: one call, usually."""
    asked = {"jobQueue": queue, "filters": [{"name": "JOB_NAME", "values": [name]}]}
    with aws_errors(f"look for the job {name}", EngineFailed):
        pages = aws.client("batch").get_paginator("list_jobs").paginate(**asked)
        found = [job for page in pages for job in page["jobSummaryList"] if job["jobName"] == name]
    return sorted(found, key=lambda job: (int(job["createdAt"]), str(job["jobId"])))
