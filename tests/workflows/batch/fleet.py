"""A home's Batch engine on the emulator, with a bucket and a queue of its own."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from batch_queues import enabled_queue
from emulated import Emulated

from labrelay.model.runs import EngineStatus, RunReport, RunRequest, WorkflowVersion, attempt_token, run_key
from labrelay.stores.aws import Aws
from labrelay.stores.s3 import S3ObjectStore
from labrelay.workflows.batch.engine import BatchEngine
from labrelay.workflows.batch.order import job_name
from labrelay.workflows.batch.settings import BatchSettings
from labrelay.workflows.bundle import write_bundle
from labrelay.workflows.sending import Sender

ROLE = "arn:aws:iam::123456789012:role/LabJobs"
SAY = """
name = "say"
version = "1"
title = "Say what a file says"
command = ["sh", "-c", 'cat "$1" > said.txt; {script}', "say", "{given}"]
[inputs.given]
from = "parameter"
type = "File"
[outputs.said]
path = "said.txt"
"""


@dataclass
class Fleet:
    """An engine on the emulator with a bucket and a queue of its own."""

    aws: Aws
    home: Path
    bucket: str
    settings: BatchSettings
    made: list[str] = field(default_factory=list)

    @property
    def engine(self) -> BatchEngine:
        """Return a new engine, as each command has one."""
        store = S3ObjectStore(self.aws, self.bucket, "runs/inputs", name="carried")
        return BatchEngine(self.aws, self.settings, Sender(store))

    @property
    def batch(self) -> Any:
        return self.aws.client("batch")

    def with_settings(self, **changed: Any) -> None:
        self.settings = replace(self.settings, **changed)

    def request(self, files: dict[str, str], inputs: dict[str, Any], language: str, number: int = 1) -> RunRequest:
        """Return a request for a definition that is given as its files."""
        folder = self.home / f"definition-{secrets.token_hex(4)}"
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
        main = next(name for name in ("main.wdl", "main.nf", "definition.toml") if name in files)
        digest = write_bundle(folder, folder.with_suffix(".zip"))
        key = run_key("batch", digest, secrets.token_hex(8), ())
        return RunRequest(
            token=attempt_token(key, number),
            key=key,
            run_id=f"run_{key[:16]}",
            workflow=WorkflowVersion(name="tiny", version="1", digest=digest, language=language, main=main),
            bundle=str(folder.with_suffix(".zip")),
            inputs=inputs,
            labels={"experiment": "exp_1"},
        )

    def say(self, words: str = "hello", script: str = "true", cpus: int = 1) -> RunRequest:
        """Return a request for one command on a local file."""
        given = self.home / f"given-{secrets.token_hex(4)}.txt"
        given.write_text(words)
        # not a replacement field of Python's: the definition has braces of its own
        text = SAY.replace("{script}", script.replace("{", "{{").replace("}", "}}"))
        text += f"[resources]\ncpus = {cpus}\n"
        return self.request({"definition.toml": text}, {"given": str(given)}, "COMMAND")

    def name_of(self, *requests: RunRequest) -> str:
        """Return the name of the job that does these attempts."""
        return job_name(self.settings.work_uri, [request.token for request in requests])

    def keys(self, below: str = "") -> list[str]:
        """Return what lies in the work folder."""
        found = self.aws.client("s3").list_objects_v2(Bucket=self.bucket, Prefix=f"runs/batch/{below}")
        return [item["Key"] for item in found.get("Contents", [])]

    def left(self, request: RunRequest) -> list[str]:
        """Return the outputs that jobs have left of an attempt."""
        return [key for key in self.keys(f"jobs/{request.token}/") if "/out/" in key]

    def job(self, external_id: str) -> dict[str, Any]:
        (found,) = self.batch.describe_jobs(jobs=[external_id.partition("/")[0]])["jobs"]
        return dict(found)

    def jobs_named(self, name: str) -> list[str]:
        """Return the jobs of this name that nobody has ended."""
        asked = {"jobQueue": self.settings.queues["normal"], "filters": [{"name": "JOB_NAME", "values": [name]}]}
        found = self.batch.list_jobs(**asked)["jobSummaryList"]
        return [job["jobId"] for job in found if "twice" not in job.get("statusReason", "")]

    def until(self, run: str, good: Callable[[EngineStatus], bool], seconds: float = 90) -> EngineStatus:
        engine, end = self.engine, time.monotonic() + seconds
        while not good(status := engine.poll([run])[run]):
            assert time.monotonic() < end, f"{run} is {status} after {seconds} s"
            time.sleep(0.1)
        return status

    def end_of(self, run: str) -> tuple[EngineStatus, RunReport]:
        return self.until(run, lambda status: status.state.terminal), self.engine.report(run)


@pytest.fixture
def fleet(emulator: Emulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    aws = Aws(region="us-east-1", endpoint_url=emulator.endpoint, attempts=3)
    name = f"lab-{secrets.token_hex(4)}"
    aws.client("s3").create_bucket(Bucket=name)
    enabled_queue(aws.client("batch"), name)
    settings = BatchSettings(
        queues={"low": name, "normal": name, "high": name},
        image="labrelay:test",
        role_arn=ROLE,
        work_uri=f"s3://{name}/runs/batch",
        download=tmp_path / "batch",
        cpus=1,
        memory_gib=1,
    )
    return Fleet(aws, tmp_path, name, settings)
