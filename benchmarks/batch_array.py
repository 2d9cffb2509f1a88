"""Many runs as one array job on AWS Batch: calls and seconds to submit them, and to look at them.

    .venv/bin/python -m benchmarks.batch_array [--runs 1000]

A home's records hold the intents of so many runs of one command. They are given to Batch as the main job does it, to an
emulator whose queue has one processor, so that nearly all of them wait; then they are looked at once. The emulator
counts the calls. In the end the array job is terminated.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from labrelay.emulator.launch import read_running, running
from labrelay.model.experiment import Experiment, Sample
from labrelay.model.runs import RunInput, WorkflowVersion, run_key
from labrelay.records import experiments, runs
from labrelay.records.runs import Intent
from labrelay.steps.bundles import bundle_path, resolve
from labrelay.steps.collect import look
from labrelay.steps.home import Home, init_home, open_home
from labrelay.steps.start import start_intended
from labrelay.stores.aws import Aws

DEFINITION = """
name = "benchmark"
version = "1"
title = "Say a number"
command = ["echo", "{n}"]
stdout = "said.txt"
[inputs.n]
from = "parameter"
type = "Int"
[outputs.said]
path = "said.txt"
"""
ROLE = "arn:aws:iam::123456789012:role/labrelay-jobs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1_000)
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="labrelay-bench-") as folder,
        running(Path(folder) / "emulator") as endpoint,
    ):
        told = read_running(Path(folder) / "emulator")
        os.environ.update(told.environment() if told is not None else {})
        aws = Aws(region="us-east-1", endpoint_url=endpoint)
        aws.client("s3").create_bucket(Bucket="bench")
        queue_of_one(aws.client("batch"))
        home = home_with(Path(folder) / "home", endpoint, asked.runs)
        before = counts(endpoint)
        submitting = timed(lambda: start_intended(home))
        between = counts(endpoint)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        looking = timed(lambda: look(home))
        after = counts(endpoint)
        report(asked.runs, submitting, looking, before, between, after, memory)
        (job,) = {each.external_id.partition(":")[0] for each in live(home)}
        aws.client("batch").terminate_job(jobId=job, reason="the benchmark is over")
        home.close()


def report(
    number: int,
    submitting: float,
    looking: float,
    before: dict[str, int],
    between: dict[str, int],
    after: dict[str, int],
    memory: float,
) -> None:
    print(f"{number} runs as one array job, {os.cpu_count()} cores, peak {memory:.0f} MiB:")
    print(f"  submit {submitting:.1f} s, calls {grown(before, between)}")
    print(f"  one look {looking:.2f} s, calls {grown(between, after)}")


def timed(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def counts(endpoint: str) -> dict[str, int]:
    found: dict[str, int] = httpx.get(f"{endpoint}/_labrelay/counts", trust_env=False).json()
    return found


def grown(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}


def queue_of_one(batch: Any) -> None:
    """Make a queue whose machines have one processor in all."""
    resources = {
        "type": "EC2", "maxvCpus": 1, "instanceTypes": ["optimal"], "subnets": ["subnet-1"],
        "securityGroupIds": ["sg-1"], "instanceRole": "arn:aws:iam::123456789012:instance-profile/ecs",
    }  # fmt: skip
    batch.create_compute_environment(
        computeEnvironmentName="bench", type="MANAGED", computeResources=resources, serviceRole=ROLE
    )
    while (
        batch.describe_compute_environments(computeEnvironments=["bench"])["computeEnvironments"][0]["status"]
        != "VALID"
    ):
        time.sleep(0.05)
    order = [{"order": 1, "computeEnvironment": "bench"}]
    batch.create_job_queue(jobQueueName="bench", priority=1, computeEnvironmentOrder=order)


def home_with(path: Path, endpoint: str, number: int) -> Home:
    """Return a home whose records have so many intended runs."""
    init_home(path)
    with (path / "labrelay.toml").open("a", encoding="utf-8") as settings:
        settings.write(f'batch_queue = "bench"\nbatch_image = "labrelay:bench"\nbatch_role_arn = "{ROLE}"\n')
        settings.write(f'outputs_url = "s3://bench/runs"\naws_endpoint_url = "{endpoint}"\naws_region = "us-east-1"\n')
    folder = path / "definitions" / "benchmark"
    folder.mkdir(parents=True)
    (folder / "definition.toml").write_text(DEFINITION, encoding="utf-8")
    home = open_home(path)
    _definition, workflow = resolve(home, "benchmark")
    experiment = Experiment(name="benchmark")
    sample = Sample(experiment_id=experiment.id, name="S")
    with home.records.write() as session:
        experiments.announce(session, experiment, [sample], correct=False)
        runs.publish(session, workflow, "bundles/benchmark.zip", {})
        for n in range(number):
            runs.intend(session, intent_of(home, experiment, sample, workflow, n))
    return home


def intent_of(home: Home, experiment: Experiment, sample: Sample, workflow: WorkflowVersion, n: int) -> Intent:
    asked = {"parameters": {"n": n}, "samples": [[sample.id, 1]]}
    inputs: tuple[RunInput, ...] = ()
    return Intent(
        key=run_key("batch", workflow.digest, asked, inputs, 0), experiment_id=experiment.id,
        samples=((sample.id, 1),), workflow=workflow, bundle=str(bundle_path(home, workflow.digest)), engine="batch",
        parameters=asked, inputs=inputs, input_files=(), reference_id=None, rule="benchmark", generation=0,
        result_path=f"benchmark/S/{n}", request_inputs={"n": n}, labels={},
    )  # fmt: skip


def live(home: Home) -> list[Any]:
    with home.records.read() as session:
        return list(runs.live(session))


if __name__ == "__main__":
    main()
