"""A sweep over many live runs on HealthOmics: calls, seconds and memory.

    .venv/bin/python -m benchmarks.sweep_runs [--runs 10000]

A home's records and the emulator's state are filled with the same RUNNING runs, their rows by the main job's
own functions. Then one sweep is made in a process of its own with client-side pacing off, and the emulator counts the
calls. Nothing is executed: what is measured is looking.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import socket
import tempfile
import time
import uuid
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
import uvicorn

from labrelay.emulator.faults import Plan
from labrelay.emulator.journal import Journal
from labrelay.emulator.server import Front
from labrelay.emulator.service import Service, timestamp
from labrelay.emulator.state import State
from labrelay.emulator.wire import load_operations
from labrelay.model.experiment import Experiment, Sample
from labrelay.model.runs import RunInput, WorkflowVersion, run_key
from labrelay.records import experiments, runs
from labrelay.records.runs import Intent
from labrelay.steps.home import Home, init_home, open_home
from labrelay.steps.sweep import sweep
from labrelay.stores.aws import Aws
from labrelay.workflows.healthomics.engine import HealthOmicsEngine, HealthOmicsSettings

NOWHERE = "http://127.0.0.1:9"
WORKFLOW = WorkflowVersion(name="benchmark", version="1", digest="ab" * 32, language="WDL", main="main.wdl")
ROLE = "arn:aws:iam::123456789012:role/labrelay-runs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="labrelay-bench-") as folder:
        root = Path(folder)
        ids = [(str(4_000_000 + n), str(uuid.uuid4())) for n in range(asked.runs)]
        fill_emulator(root / "emulator", ids)
        fill_home(root / "home", ids)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        spawn = multiprocessing.get_context("spawn")
        server = spawn.Process(target=serve, args=(root / "emulator", port), daemon=True)
        server.start()
        wait_for(port)
        mine, other = spawn.Pipe()
        sweeper = spawn.Process(target=sweep_once, args=(root / "home", port, other))
        sweeper.start()
        seconds, unknown, before, after = mine.recv()
        sweeper.join()
        counts = httpx.get(f"http://127.0.0.1:{port}/_labrelay/counts").json()
        server.terminate()
    print(f"{asked.runs} live runs, none of which had changed, {os.cpu_count()} cores:")
    print(f"  calls {counts}, not known {unknown}")
    print(f"  sweep {seconds:.1f} s, memory {before:.0f} MiB before and {after:.0f} MiB at its peak")


def serve(data: Path, port: int) -> None:
    """Answer for HealthOmics alone, without the programs beside it."""
    load_operations()
    service = Service(data, State(data / "state.sqlite"))
    front = Front(service, NOWHERE, NOWHERE, NOWHERE, Journal(data / "configured.jsonl"), Plan())
    uvicorn.run(front, host="127.0.0.1", port=port, log_level="warning", lifespan="off")


def wait_for(port: int) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            httpx.get(f"http://127.0.0.1:{port}/_labrelay/health")
            return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise SystemExit("the emulator did not start")


def sweep_once(path: Path, port: int, told: Connection) -> None:
    """Sweep and tell seconds, unknown runs, and memory in MiB before and at the peak."""
    os.environ.update(AWS_ACCESS_KEY_ID="emulator", AWS_SECRET_ACCESS_KEY="emulator")
    home = with_engine(open_home(path), f"http://127.0.0.1:{port}")
    home.engine.poll([])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began = time.perf_counter()
    swept = sweep(home)
    seconds = time.perf_counter() - began
    if swept.problems:
        raise SystemExit(str(swept.problems[:3]))
    told.send((seconds, swept.unknown, before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def with_engine(home: Home, endpoint: str) -> Home:
    aws = Aws(region="us-east-1", endpoint_url=endpoint, rates={"ListRuns": 10_000})
    settings = HealthOmicsSettings(role_arn=ROLE, output_uri="s3://bucket/runs", download=home.path / "healthomics")
    home.engine = HealthOmicsEngine(aws, settings)
    return home


def fill_emulator(data: Path, ids: list[tuple[str, str]]) -> None:
    data.mkdir()
    service = Service(data, State(data / "state.sqlite"))
    with service.state.write() as state:
        for run_id, identity in ids:
            body = {
                "id": run_id, "uuid": identity, "arn": service.arn("run", run_id), "status": "RUNNING",
                "name": f"run_{run_id}", "workflowId": "1000001", "creationTime": timestamp(), "startTime": timestamp(),
                "storageType": "DYNAMIC", "runOutputUri": f"s3://bucket/runs/{run_id}", "roleArn": ROLE,
            }  # fmt: skip
            state.put("run", run_id, body)


def fill_home(path: Path, ids: list[tuple[str, str]]) -> None:
    init_home(path)
    home = open_home(path)
    experiment = Experiment(name="benchmark")
    sample = Sample(experiment_id=experiment.id, name="S")
    with home.records.write() as session:
        experiments.announce(session, experiment, [sample], correct=False)
        runs.publish(session, WORKFLOW, "bundles/benchmark.zip", {})
        for run_id, identity in ids:
            intent = intent_of(experiment, sample, run_id)
            runs.intend(session, intent)
            runs.attach(session, f"{intent.key[:40]}-1", f"{run_id}/{identity}")
    home.close()


def intent_of(experiment: Experiment, sample: Sample, run_id: str) -> Intent:
    asked = {"parameters": {"n": run_id}, "samples": [[sample.id, 1]]}
    inputs: tuple[RunInput, ...] = ()
    return Intent(
        key=run_key("healthomics", WORKFLOW.digest, asked, inputs, 0), experiment_id=experiment.id,
        samples=((sample.id, 1),), workflow=WORKFLOW, bundle="bundles/benchmark.zip", engine="healthomics",
        parameters=asked, inputs=inputs, input_files=(), reference_id=None, rule="benchmark", generation=0,
        result_path=f"benchmark/S/{run_id}", request_inputs={"benchmark.n": run_id}, labels={},
    )  # fmt: skip


if __name__ == "__main__":
    main()
