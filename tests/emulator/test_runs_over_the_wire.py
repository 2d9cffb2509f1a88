"""Runs by plain boto3 against the emulator as a user starts it: its own process, S3 on disk, one port."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from emulated import Emulated, client
from emulated_runs import ROLE, SAY, SETTINGS, TWO, archive, until

from labrelay.emulator.launch import read_running, running
from labrelay.workflows.local.engine import LocalEngine

FAST = {"Delay": 1, "MaxAttempts": 60}


@pytest.fixture(autouse=True)
def no_engine_is_left(emulator: Emulated, tmp_path: Path) -> Iterator[None]:
    """An engine outlives its emulator by design; one of a test does not outlive the test."""
    yield
    for folder in (emulator.folder, tmp_path / "data"):
        LocalEngine(folder / "engine").stop()


def make_workflow(omics: Any, wdl: str) -> str:
    key: str = omics.create_workflow(name="tiny", definitionZip=archive(wdl))["id"]
    omics.get_waiter("workflow_active").wait(id=key, WaiterConfig=FAST)
    return key


def test_plain_boto3_runs_two_tasks_and_finds_outputs_logs_and_manifest(emulator: Emulated) -> None:
    omics, s3, logs = (emulator.client(name) for name in ("omics", "s3", "logs"))
    s3.create_bucket(Bucket="wire")
    s3.put_object(Bucket="wire", Key="in/a.txt", Body=b"abc\n")
    workflow = make_workflow(omics, TWO)
    asked = {"workflowId": workflow, "roleArn": ROLE, "outputUri": "s3://wire/out/", "name": "over the wire"}
    run = omics.start_run(parameters={"given": "s3://wire/in/a.txt", "word": "end"}, **asked)
    omics.get_waiter("run_completed").wait(id=run["id"], WaiterConfig=FAST)
    found = omics.get_run(id=run["id"])
    assert found["stopTime"] >= found["startTime"] >= found["creationTime"]
    base = found["runOutputUri"].removeprefix("s3://wire/")
    assert s3.get_object(Bucket="wire", Key=f"{base}/out/result/result.txt")["Body"].read() == b"ABC\nend\n"
    names = [
        task["name"]
        for task in omics.get_paginator("list_run_tasks").paginate(id=run["id"]).build_full_result()["items"]
    ]
    assert names == ["first", "second"]
    group = "/aws/omics/WorkflowLog"
    engine = logs.get_log_events(logGroupName=group, logStreamName=f"run/{run['id']}/engine", startFromHead=True)
    assert any("workflow start" in event["message"] for event in engine["events"])
    manifest = f"manifest/run/{run['id']}/{run['uuid']}"
    events = logs.get_log_events(logGroupName=group, logStreamName=manifest, startFromHead=True)["events"]
    assert [json.loads(event["message"])["name"] for event in events] == ["over the wire", "first", "second"]


def test_an_acknowledged_run_survives_kill_nine_of_the_emulator(tmp_path: Path) -> None:
    data, did = tmp_path / "data", tmp_path / "did"
    data.mkdir()
    (data / "runs.toml").write_text(SETTINGS)
    with running(data) as endpoint:
        omics, s3 = client("omics", endpoint), client("s3", endpoint)
        s3.create_bucket(Bucket="wire")
        workflow = make_workflow(omics, SAY)
        asked = {"workflowId": workflow, "roleArn": ROLE, "outputUri": "s3://wire/out"}
        run = omics.start_run(parameters={"script": f"sleep 2; echo once >> '{did}'"}, **asked)["id"]
        until(lambda: omics.list_run_tasks(id=run, status="RUNNING")["items"], bool)
        found = read_running(data)
        assert found is not None
        os.kill(found.pid, signal.SIGKILL)
        time.sleep(0.5)
    with running(data) as endpoint:
        omics, s3 = client("omics", endpoint), client("s3", endpoint)
        omics.get_waiter("run_completed").wait(id=run, WaiterConfig=FAST)
        body = s3.get_object(Bucket="wire", Key=f"out/{run}/logs/outputs.json")["Body"].read()
        said = json.loads(body)["tiny.said"].removeprefix("s3://wire/")
        assert s3.get_object(Bucket="wire", Key=said)["Body"].read() == b"said\n"
        assert [task["status"] for task in omics.list_run_tasks(id=run)["items"]] == ["COMPLETED"]
    assert did.read_text() == "once\n"


def test_a_missing_parameter_is_a_typed_exception(emulator: Emulated) -> None:
    omics = emulator.client("omics")
    workflow = make_workflow(omics, TWO)
    with pytest.raises(omics.exceptions.ValidationException, match="missing: given"):
        omics.start_run(workflowId=workflow, roleArn=ROLE, outputUri="s3://wire/out")
