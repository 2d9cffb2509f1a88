"""AWS Batch on a real port of this process, its jobs in processes of their own; or in one that can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emulated import client
from emulated_runs import until
from served import served

from labrelay.emulator.background import Background
from labrelay.emulator.faults import Plan
from labrelay.emulator.launch import Running
from labrelay.emulator.service import BATCH_WORKER, WORKERS
from labrelay.workflows.local.sandbox import bubblewrap

ENDED = ("SUCCEEDED", "FAILED")
SETTINGS = '[batch]\nvcpus = 2\nsandbox = "host"\ngrace_seconds = 0.5\n'
SIZE = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "128"}]
RESOURCES = {"type": "FARGATE", "maxvCpus": 16, "subnets": ["subnet-1"], "securityGroupIds": ["sg-1"]}
CONTAINED = bubblewrap() is not None

KILLABLE = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from emulated_batch import serving
with serving(Path(sys.argv[1])) as lab:
    Path(sys.argv[3]).write_text(lab.endpoint)
    time.sleep(600)
"""


@dataclass
class BatchLab:
    """An emulated Batch with a queue `main`, a compute environment `all`, and the definition `shell`."""

    endpoint: str
    folder: Path
    events: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.batch = client("batch", self.endpoint)
        self.logs = client("logs", self.endpoint)

    def furnish(self) -> None:
        """Make environment, queue and definition."""
        batch = self.batch
        batch.create_compute_environment(computeEnvironmentName="all", type="MANAGED", computeResources=RESOURCES)
        self.queue("main", priority=1)
        self.define("shell", ["sh", "-c", "Ref::script"], parameters={"script": "true"})

    def queue(self, name: str, **asked: Any) -> str:
        order = [{"order": 1, "computeEnvironment": "all"}]
        made = self.batch.create_job_queue(**{"jobQueueName": name, "computeEnvironmentOrder": order, **asked})
        return str(made["jobQueueArn"])

    def define(self, name: str, command: list[str], parameters: dict[str, str] | None = None, **container: Any) -> str:
        """Register a definition and return its ARN."""
        properties = {"image": "busybox", "command": command, "resourceRequirements": SIZE, **container}
        made = self.batch.register_job_definition(
            jobDefinitionName=name, type="container", containerProperties=properties, parameters=parameters or {}
        )
        return str(made["jobDefinitionArn"])

    def submit(self, script: str | None = None, **asked: Any) -> str:
        """Submit a job of the definition `shell` and return its id."""
        given = {"parameters": {"script": script}} if script is not None else {}
        usual = {"jobName": "job", "jobQueue": "main", "jobDefinition": "shell", **given}
        return str(self.batch.submit_job(**{**usual, **asked})["jobId"])

    def job(self, key: str) -> Any:
        """Return one job as DescribeJobs shows it."""
        [found] = self.batch.describe_jobs(jobs=[key])["jobs"]
        return found

    def wait(self, key: str, *wanted: str, seconds: float = 30) -> Any:
        """Wait until a job has one of the wanted states, or has ended, and return it."""
        return until(lambda: self.job(key), lambda job: job["status"] in (*wanted, *ENDED), seconds)

    def run(self, script: str, **asked: Any) -> Any:
        """Submit a job, wait for its end, and return it."""
        return self.wait(self.submit(script, **asked))

    def said(self, job: Any) -> list[str]:
        """Return what a job's last attempt has said so far."""
        stream = job["container"]["logStreamName"]
        asked = {"logGroupName": "/aws/batch/job", "logStreamName": stream, "startFromHead": True}
        return [event["message"] for event in self.logs.get_log_events(**asked)["events"]]

    def told(self, key: str) -> list[str]:
        """Return the states of a job that events told of, in their order."""
        return [event[2]["status"] for event in self.events if event[2].get("jobId") == key]


@contextmanager
def serving(folder: Path, settings: str = SETTINGS, plan: Plan | None = None) -> Iterator[BatchLab]:
    """Serve a data folder, and run its jobs, while the block lasts."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "runs.toml").write_text(settings)
    plan = plan or Plan()
    with served(folder, plan) as front:
        lab, service = BatchLab(front.endpoint, folder), front.service
        service.environment = Running(front.endpoint, 0, None, None, None).environment()
        service.loses_host = plan.on_job
        service.announce = lambda *event, source="aws.omics": lab.events.append((*event, source))
        background = Background(service, {BATCH_WORKER: WORKERS[BATCH_WORKER]})
        background.start()
        try:
            yield lab
        finally:
            background.stop()
            stop_jobs(folder)


def stop_jobs(folder: Path) -> None:
    """Kill what runs of a data folder's jobs."""
    for lock in (folder / "batch" / "attempts").glob("*/lock"):
        signed = lock.read_text().strip()
        if signed.isdigit() and f"{lock.parent}" in command_line(int(signed)):
            os.kill(int(signed), 10)  # SIGUSR1, which leaves nothing


def command_line(pid: int) -> str:
    """Return how a process was started; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


@contextmanager
def process(folder: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[bytes], BatchLab]]:
    """Serve in a process of its own, to be killed; it is killed at the end of the block at the latest."""
    place = folder.parent / "endpoint"
    place.unlink(missing_ok=True)
    argv = [sys.executable, "-c", KILLABLE, str(folder), str(Path(__file__).parent), str(place)]
    server = subprocess.Popen(argv, env=os.environ | environment)
    try:
        endpoint = until(lambda: place.exists() and place.read_text(), bool, 60)
        yield server, BatchLab(endpoint, folder)
    finally:
        server.kill()
        server.wait()


def processes_of(job: str) -> list[int]:
    """Return the processes that carry a job's id."""
    mark, found = f"AWS_BATCH_JOB_ID={job}".encode(), []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def times(job: Any) -> tuple[int, int]:
    """Return when a job began and ended, in milliseconds."""
    return job["startedAt"], job["stoppedAt"]
