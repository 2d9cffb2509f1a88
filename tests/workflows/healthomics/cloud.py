"""A home's engine on the emulator, with a bucket and a workflow name of its own."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from emulated import Emulated

from labrelay.model.runs import EngineStatus, RunReport, RunRequest, WorkflowVersion, attempt_token, run_key
from labrelay.stores.aws import Aws
from labrelay.stores.pacing import RATES
from labrelay.workflows.bundle import write_bundle
from labrelay.workflows.healthomics.engine import HealthOmicsEngine, HealthOmicsSettings

ROLE = "arn:aws:iam::123456789012:role/LabRuns"
WDL = """version 1.1
workflow {name} {{
  input {{ String script = "true"  File? given }}
  parameter_meta {{ script: "What the task does." }}
  call say {{ input: script, given }}
  output {{ File said = say.said  Array[File] parts = say.parts  Int number = 3  String? none = say.none }}
}}
task say {{
  input {{ String script  File? given }}
  command <<<
    set -e
    ~{{script}}
    ~{{if defined(given) then "cat '" + given + "'" else "echo nothing"}} > said.txt
    echo one > part_1.txt; echo two > part_2.txt
  >>>
  output {{
    File said = "said.txt"
    Array[File] parts = glob("part_*.txt")
    String? none = if false then "x" else None
  }}
  runtime {{ container: "quay.io/example/say:1"  cpu: 2  memory: "6 GiB" }}
}}
"""


@dataclass
class Cloud:
    """An engine on the emulator with a bucket and a workflow name of its own."""

    aws: Aws
    home: Path
    bucket: str
    settings: HealthOmicsSettings
    name: str = field(default_factory=lambda: f"tiny_{secrets.token_hex(4)}")

    @property
    def engine(self) -> HealthOmicsEngine:
        """Return a new engine, as each command has one."""
        return HealthOmicsEngine(self.aws, self.settings)

    def request(self, inputs: dict[str, Any] | None = None, wdl: str = WDL, number: int = 1) -> RunRequest:
        folder = self.home / f"definition-{secrets.token_hex(4)}"
        folder.mkdir()
        (folder / "main.wdl").write_text(wdl.format(name=self.name))
        digest = write_bundle(folder, folder.with_suffix(".zip"))
        key = run_key("healthomics", digest, secrets.token_hex(8), ())
        return RunRequest(
            token=attempt_token(key, number),
            key=key,
            run_id=f"run_{key[:20]}",
            workflow=WorkflowVersion(name=self.name, version="1", digest=digest, language="WDL", main="main.wdl"),
            bundle=str(folder.with_suffix(".zip")),
            inputs={f"{self.name}.{name}": value for name, value in (inputs or {}).items()},
            labels={"experiment": "exp_1"},
        )

    def until(self, run: str, good: Callable[[EngineStatus], bool], seconds: float = 60) -> EngineStatus:
        engine, end = self.engine, time.monotonic() + seconds
        while not good(status := engine.poll([run])[run]):
            assert time.monotonic() < end, f"{run} is {status} after {seconds} s"
            time.sleep(0.1)
        return status

    def run(self, inputs: dict[str, Any] | None = None) -> tuple[EngineStatus, RunReport]:
        run = self.engine.submit(self.request(inputs))
        return self.until(run, lambda status: status.state.terminal), self.engine.report(run)


@pytest.fixture
def cloud(emulator: Emulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    aws = Aws(region="us-east-1", endpoint_url=emulator.endpoint, rates=dict.fromkeys(RATES, 1000.0), attempts=3)
    bucket = f"lab-{secrets.token_hex(4)}"
    aws.client("s3").create_bucket(Bucket=bucket)
    settings = HealthOmicsSettings(role_arn=ROLE, output_uri=f"s3://{bucket}/runs/", download=tmp_path / "healthomics")
    return Cloud(aws, tmp_path, bucket, settings)
