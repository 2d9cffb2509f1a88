"""An account that answers what a test says: botocore checks each request and answer against the service's model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from labrelay.model.runs import RunRequest, WorkflowVersion, attempt_token, run_id_of, run_key
from labrelay.workflows.bundle import write_bundle

from .cloud import cloud

__all__ = ["cloud"]

BEGAN = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
WDL = """version 1.1
workflow tiny {
  input { File reads  Int depth = 10  String? note }
  parameter_meta { reads: "the\\treads" }
  call count { input: reads, depth, note }
  output { File counted = count.counted }
}
task count {
  input { File reads  Int depth  String? note }
  command <<< wc -l "~{reads}" > counted.txt; echo ~{depth} "~{note}" >>>
  output { File counted = "counted.txt" }
  runtime { container: "quay.io/example/count:1"  cpu: 1  memory: "1 GiB" }
}
"""


@dataclass
class Account:
    """Stands where `Aws` does; each service's client answers in the order in which `says` was called."""

    clients: dict[str, Any] = field(default_factory=dict)
    stubs: dict[str, Stubber] = field(default_factory=dict)
    url: str | None = None

    def endpoint(self, _service: str) -> str | None:
        return self.url

    def client(self, service: str) -> Any:
        if service not in self.clients:
            made = boto3.client(service, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
            self.clients[service] = made
            self.stubs[service] = Stubber(made)
            self.stubs[service].activate()
        return self.clients[service]

    def says(self, service: str, method: str, answer: dict[str, Any], asked: dict[str, Any] | None = None) -> None:
        self.client(service)
        self.stubs[service].add_response(method, answer, asked)

    def fails(self, service: str, method: str, code: str, status: int, message: str = "") -> None:
        self.client(service)
        self.stubs[service].add_client_error(method, code, message, status)

    def all_asked(self) -> None:
        for stub in self.stubs.values():
            stub.assert_no_pending_responses()


@pytest.fixture
def account() -> Iterator[Account]:
    made = Account()
    yield made
    made.all_asked()


@pytest.fixture
def bundle(tmp_path: Path) -> Callable[..., tuple[WorkflowVersion, Path]]:
    """Return a function that makes a bundle of one WDL file."""

    def make(wdl: str = WDL) -> tuple[WorkflowVersion, Path]:
        folder, archive = tmp_path / "definition", tmp_path / "bundle.zip"
        folder.mkdir(exist_ok=True)
        (folder / "main.wdl").write_text(wdl)
        digest = write_bundle(folder, archive)
        return WorkflowVersion(name="tiny", version="1.0", digest=digest, language="WDL", main="main.wdl"), archive

    return make


def request_of(version: WorkflowVersion, archive: Path, inputs: dict[str, Any] | None = None) -> RunRequest:
    key = run_key("healthomics", version.digest, {}, ())
    return RunRequest(
        token=attempt_token(key, 1),
        key=key,
        run_id=run_id_of(key),
        workflow=version,
        bundle=str(archive),
        inputs={"tiny.reads": "s3://bucket/reads.fastq.gz"} if inputs is None else inputs,
        labels={"experiment": "exp_1"},
    )


def uuid_of(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def run_item(number: int, status: str = "RUNNING") -> dict[str, Any]:
    """Return a run as ListRuns tells it."""
    item = {"id": str(number), "status": status, "name": f"token-{number}", "creationTime": BEGAN}
    if status not in ("PENDING", "STARTING"):
        item["startTime"] = BEGAN + timedelta(minutes=1)
    if status in ("COMPLETED", "FAILED", "CANCELLED"):
        item["stopTime"] = BEGAN + timedelta(minutes=31)
    return item


def run_details(number: int, status: str = "RUNNING", **more: Any) -> dict[str, Any]:
    """Return a run as GetRun tells it."""
    base = f"s3://bucket/runs/{number}"
    return {**run_item(number, status), "uuid": uuid_of(number), "runOutputUri": base, "storageType": "DYNAMIC", **more}
