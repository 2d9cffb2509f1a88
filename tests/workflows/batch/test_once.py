"""Whatever is killed, and whoever asks at the same time: one job does a run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from labrelay.model.runs import RunRequest
from labrelay.model.states import RunState
from labrelay.workflows.batch.states import TWICE

from .fleet import Fleet

CLIENT = """
import json, sys
from pathlib import Path
from labrelay.model.runs import RunRequest
from labrelay.stores.aws import Aws
from labrelay.stores.s3 import S3ObjectStore
from labrelay.workflows.batch.engine import BatchEngine
from labrelay.workflows.batch.settings import BatchSettings
from labrelay.workflows.sending import Sender
asked, endpoint, bucket, queue, work = sys.argv[1:]
aws = Aws(region="us-east-1", endpoint_url=endpoint)
settings = BatchSettings(
    dict.fromkeys(("low", "normal", "high"), queue), "labrelay:test", "arn:aws:iam::123456789012:role/LabJobs", work,
    Path("."), cpus=1, memory_gib=1,
)
requests = [RunRequest.model_validate(each) for each in json.loads(asked)]
BatchEngine(aws, settings, Sender(S3ObjectStore(aws, bucket, "runs/inputs", name="carried"))).submit_all(requests)
"""


def killed_at(fleet: Fleet, point: str, requests: list[RunRequest]) -> None:
    """Let another process submit and see it die at the point."""
    import json

    asked = json.dumps([request.model_dump(mode="json") for request in requests])
    words = (asked, str(fleet.aws.endpoint_url), fleet.bucket, fleet.settings.queues["normal"], fleet.settings.work_uri)
    environment = {**os.environ, "LABRELAY_FAULT": f"{point}:1:kill"}
    done = subprocess.run([sys.executable, "-c", CLIENT, *words], env=environment, timeout=120, cwd=fleet.home)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("point", ["batch.ordered", "batch.submitted"])
def test_a_submit_that_is_killed_and_asked_again_is_one_job(fleet: Fleet, point: str) -> None:
    request = fleet.say("once")
    killed_at(fleet, point, [request])
    run = fleet.engine.submit(request)
    assert fleet.jobs_named(fleet.name_of(request)) == [run.partition("/")[0]]
    assert fleet.end_of(run)[0].state is RunState.COMPLETE


def test_members_of_an_array_that_was_killed_stay_in_it_whoever_comes_with_them(fleet: Fleet) -> None:
    first = fleet.say("one")
    second, third = (
        each.model_copy(update={"workflow": first.workflow, "bundle": first.bundle})
        for each in (fleet.say("two"), fleet.say("three"))
    )
    killed_at(fleet, "batch.ordered", [first, second])
    runs = [str(run) for run in fleet.engine.submit_all([third, second, first])]
    ends = [fleet.end_of(run) for run in runs]
    assert [status.state for status, _ in ends] == [RunState.COMPLETE] * 3
    assert [Path(report.files[0].path).read_text() for _, report in ends] == ["three", "two", "one"]
    # The array of the killed one is submitted whole; that of the new one has a child whose order is the other's.
    assert runs[1].partition(":")[0] == runs[2].partition(":")[0] != runs[0].partition(":")[0]


def test_two_that_submit_at_once_keep_one_job(fleet: Fleet) -> None:
    request = fleet.say("both", script="sleep 1")
    with ThreadPoolExecutor(4) as pool:
        runs = set(pool.map(lambda _: fleet.engine.submit(request), range(4)))
    assert len(runs) == 1
    (run,) = runs
    assert fleet.end_of(run)[0].state is RunState.COMPLETE
    others = [job for job in fleet.jobs_named(fleet.name_of(request)) if job != run.partition("/")[0]]
    assert not [job for job in others if fleet.job(job)["status"] == "SUCCEEDED"], "the others were ended"
    assert len(fleet.left(request)) == 1


def test_a_second_job_of_an_order_does_nothing(fleet: Fleet) -> None:
    request = fleet.say("mine")
    run = fleet.engine.submit(request)
    job = fleet.job(run)
    other = fleet.batch.submit_job(
        jobName="by-hand",
        jobQueue=job["jobQueue"],
        jobDefinition=job["jobDefinition"],
        parameters={"order": f"{fleet.settings.work_uri}/jobs/{request.token}/order.json"},
    )["jobId"]
    assert fleet.end_of(run)[0].state is RunState.COMPLETE
    fleet.until(f"{other}/{request.token}", lambda status: status.state.terminal)
    assert len(fleet.left(request)) == 1, "whichever of the two came first has done it"


def test_of_two_jobs_the_orders_owner_decides_and_who_follows_the_other_hears_of_its_end(fleet: Fleet) -> None:
    # As many as the queue has: whatever comes next waits.
    busy = fleet.engine.submit(fleet.say(script="sleep 60", cpus=16))
    fleet.until(busy, lambda status: status.state is RunState.RUNNING)
    request = fleet.say("once")
    run = fleet.engine.submit(request)
    job = fleet.job(run)
    extra = fleet.batch.submit_job(
        jobName=job["jobName"], jobQueue=job["jobQueue"], jobDefinition=job["jobDefinition"],
        parameters=job["parameters"],
    )["jobId"]  # fmt: skip
    assert fleet.engine.submit(request) == run
    (ended,) = fleet.batch.describe_jobs(jobs=[extra])["jobs"]
    assert (ended["status"], ended["statusReason"]) == ("FAILED", TWICE)
    # Whoever has seen only the job that was ended, since lists lag, follows the one that goes on.
    other = f"{extra}/{request.token}"
    assert fleet.engine.poll([other])[other].state is RunState.QUEUED
    fleet.engine.cancel(busy)
    assert [fleet.end_of(each)[0].state for each in (run, other)] == [RunState.COMPLETE] * 2
