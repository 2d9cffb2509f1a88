"""AWS's run_analyzer, given our price table as the Price List API, tells the costs and instances that we tell."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from emulated import Emulated
from referees import PriceList, Referee, price_list, referee

from labrelay.model.states import RunState
from labrelay.workflows.healthomics.pricing import SIZES, load_prices, smallest_instance

from .cloud import Cloud

PRICES = load_prices("us-east-1")
RUN_STORAGE = {"Run Storage": PRICES.storage["STATIC"], "Dynamic Run Storage": PRICES.storage["DYNAMIC"]}
INSTANCES = {name: PRICES.hourly(name) for family in "cmr" for name in (f"omics.{family}.{size}" for size in SIZES)}
ARN = "arn:aws:omics:us-east-1:123456789012"


@pytest.fixture(scope="module")
def listed() -> Iterator[PriceList]:
    with price_list({**RUN_STORAGE, **{name: usd for name, usd in INSTANCES.items() if usd is not None}}) as served:
        yield served


@pytest.fixture
def analyzer(emulator: Emulated, listed: PriceList) -> Referee:
    where = {**emulator.environment, "AWS_ENDPOINT_URL_PRICING": listed.endpoint}
    return referee("aws-healthomics-tools", where)


def rows(told: str) -> dict[str, dict[str, str]]:
    """Return the lines of run_analyzer's table by the names of run and tasks."""
    return {row["name"]: row for row in csv.DictReader(io.StringIO(told))}


@pytest.mark.parametrize("storage", ["DYNAMIC", "STATIC"])
def test_a_run_of_the_emulator_costs_what_run_analyzer_says(
    cloud: Cloud, analyzer: Referee, listed: PriceList, storage: str
) -> None:
    cloud.settings = replace(cloud.settings, storage_type=storage)
    run = cloud.engine.submit(cloud.request({"script": "head -c 30000000 /dev/zero > big; sleep 1.5"}))
    assert cloud.until(run, lambda status: status.state.terminal).state is RunState.COMPLETE
    task, kept = cloud.engine.report(run).costs
    found = rows(analyzer.ask("run_analyzer", run.partition("/")[0]))
    whole = next(row for row in found.values() if row["type"] == "run")
    assert task.what == f"task say ({found['say']['omicsInstanceTypeReserved']})"
    assert task.usd == pytest.approx(float(found["say"]["estimatedUSD"]), abs=1e-6)
    assert kept.what == f"run storage ({storage})"
    assert kept.usd == pytest.approx(float(whole["estimatedUSD"]), rel=0.01, abs=1e-6)
    assert task.usd > 0
    assert kept.usd > 0
    assert ("omics.m.large", "us-east-1") in listed.asked


def entry(kind: str, name: str, seconds: float, **more: Any) -> dict[str, Any]:
    """Return a line of a manifest; what began at ten o'clock lasts so many seconds."""
    hours, rest = divmod(36_000 + seconds, 3600)
    stop = f"2026-11-01T{int(hours):02}:{int(rest // 60):02}:{rest % 60:06.3f}Z"
    times = {"creationTime": "2026-11-01T09:59:00.000Z", "startTime": "2026-11-01T10:00:00.000Z", "stopTime": stop}
    return {"arn": f"{ARN}:{kind}/{name}", "uuid": "0", "name": name, "metrics": {}, **times, **more}


def test_static_storage_and_long_tasks_cost_what_run_analyzer_says(analyzer: Referee, tmp_path: Path) -> None:
    capacities = {f"run of {gib}": gib for gib in (1, 1200, 1201, 2400, 2401, 5000)}
    tasks = {"a minute, nearly": 59.0, "a minute and more": 61.5, "long": 5000.25}
    lines = [entry("run", name, 7200.5, storageType="STATIC", storageCapacity=gib) for name, gib in capacities.items()]
    lines += [entry("task", name, seconds, instanceType="omics.r.4xlarge") for name, seconds in tasks.items()]
    ours = {name: PRICES.run_storage("STATIC", gib, 7200.5).usd for name, gib in capacities.items()}
    ours |= {name: PRICES.task(name, "omics.r.4xlarge", seconds).usd for name, seconds in tasks.items()}
    (tmp_path / "manifest.json").write_text(json.dumps(lines))
    found = rows(analyzer.ask("run_analyzer", "--file", str(tmp_path / "manifest.json")))
    theirs = {name: float(row["estimatedUSD"]) for name, row in found.items()}
    assert theirs == pytest.approx(ours, abs=1e-6)


def test_the_smallest_instance_is_the_one_that_run_analyzer_recommends(analyzer: Referee, tmp_path: Path) -> None:
    needs = [
        (cpus, gib) for cpus in (0.4, 1.9, 2, 3, 8, 17, 33, 64, 96, 97, 192) for gib in (0.2, 4, 5, 16, 63, 400, 1536)
    ]
    lines = [entry("run", "run", 7200, storageType="DYNAMIC")]
    for number, (cpus, gib) in enumerate(needs):
        metrics = {"cpusMaximum": cpus, "memoryMaximumGiB": gib, "cpusReserved": 192, "memoryReservedGiB": 1536}
        lines.append(entry("task", str(number), 100, instanceType="omics.r.48xlarge", metrics=metrics))
    (tmp_path / "manifest.json").write_text(json.dumps(lines))
    found = rows(analyzer.ask("run_analyzer", "--file", str(tmp_path / "manifest.json")))
    theirs = {need: found[str(number)]["omicsInstanceTypeMinimum"] for number, need in enumerate(needs)}
    assert theirs == {(cpus, gib): smallest_instance(math.ceil(cpus), math.ceil(gib)) for cpus, gib in needs}
