"""Inputs on AWS are a part of the attempt: nobody who submits waits for them, and they can be cancelled and lost."""

from __future__ import annotations

import functools
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from emulated import Emulated

from labrelay.model.errors import MissingTool
from labrelay.model.runs import RunRequest
from labrelay.model.states import RunState
from labrelay.stores.aws import Aws
from labrelay.workflows import bringing
from labrelay.workflows.local.bring import Bring, brought
from labrelay.workflows.local.engine import LocalEngine
from labrelay.workflows.local.home import EngineHome
from labrelay.workflows.local.runner import unpack

from .command.conftest import command
from .conftest import ECHO, Lab, eventually, processes_with

COPY = {"definition.toml": command('["cp", "{given}", "made.txt"]', "given: File")}


@pytest.fixture
def uri(emulator: Emulated, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    name, s3 = f"lab-{secrets.token_hex(4)}", emulator.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="in/words.txt", Body=b"from afar\n")
    return f"s3://{name}/in/words.txt"


@pytest.fixture
def silent() -> Iterator[str]:
    """Return an endpoint that takes calls and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def bringing_from(lab: Lab, endpoint: str) -> Lab:
    """Let the lab's engine bring inputs from this endpoint."""
    bring = Bring(folder=str(lab.home / "brought"), region="us-east-1", endpoint_url=endpoint)
    lab.engine = LocalEngine(lab.home, sandbox="host", idle_seconds=2.0, bring=bring)
    return lab


@pytest.fixture
def far(lab: Lab, emulator: Emulated) -> Lab:
    return bringing_from(lab, emulator.endpoint)


@pytest.mark.parametrize("source", ["wdl", "command"])
def test_a_run_reads_what_was_brought_and_its_report_names_what_was_asked_for(far: Lab, uri: str, source: str) -> None:
    wdl = source == "wdl"
    inputs = {"tiny.word": "hello", "tiny.given": uri} if wdl else {"given": uri}
    token = far.engine.submit(far.request(ECHO if wdl else COPY, inputs))
    status = far.wait(token)
    assert status.state is RunState.COMPLETE, far.log(str(status.message))
    report = far.engine.report(token)
    assert any(Path(file.path).read_text().endswith("from afar\n") for file in report.files)
    assert uri in report.tasks[0].inputs.values()
    assert far.engine.tasks(token) == report.tasks


def test_what_a_clean_removed_comes_back_as_it_was_and_finished_tasks_count(far: Lab, uri: str) -> None:
    request = far.request(ECHO, {"tiny.word": "hello", "tiny.given": uri})
    token = far.engine.submit(request)
    assert far.wait(token).state is RunState.COMPLETE
    shutil.rmtree(far.home / "brought")
    assert uri in far.engine.report(token).tasks[0].inputs.values()
    again = far.engine.submit(far.again(request, 2))
    assert far.wait(again).state is RunState.COMPLETE
    # The call cache goes by path and time.
    assert [task.cached for task in far.engine.report(again).tasks] == [True]


def test_who_submits_waits_for_no_byte_and_can_cancel_what_comes(lab: Lab, uri: str, silent: str) -> None:
    bringing_from(lab, silent)
    before = time.monotonic()
    token = lab.engine.submit(lab.request(COPY, {"given": uri}))
    assert time.monotonic() - before < 5
    assert eventually(lambda: bool(processes_with(f"bringing {lab.home} {token}")))
    assert lab.engine.poll([token])[token].state is RunState.INITIALIZING
    lab.engine.cancel(token)
    status = lab.wait(token, 15)
    assert status.state is RunState.CANCELED
    assert "while its inputs were brought" in str(status.message)
    assert not processes_with(f"bringing {lab.home} {token}")
    assert lab.engine.report(token).state is RunState.CANCELED


def test_a_runner_that_is_killed_while_inputs_come_leaves_an_attempt_to_repeat(
    lab: Lab, uri: str, silent: str, emulator: Emulated
) -> None:
    request = lab.request(COPY, {"given": uri})
    token = bringing_from(lab, silent).engine.submit(request)
    assert eventually(lambda: bool(processes_with(f"bringing {lab.home} {token}")))
    pid = lab.runner_pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert lab.wait(token).state is RunState.SYSTEM_ERROR
    assert eventually(lambda: not processes_with(f"bringing {lab.home} {token}"))
    assert eventually(lambda: lab.runner_pid() is None)
    again = bringing_from(lab, emulator.endpoint).engine.submit(lab.again(request, 2))
    status = lab.wait(again)
    assert status.state is RunState.COMPLETE, lab.log(str(status.message))


def test_an_input_that_is_not_there_is_told_by_its_name_and_is_not_tried_again(far: Lab, uri: str) -> None:
    status, report = far.run(COPY, {"given": f"{uri}.gone"})
    assert status.state is RunState.EXECUTOR_ERROR
    assert f"{uri}.gone" in str(report.failure)
    assert report.tasks == ()


def prepared(lab: Lab, request: RunRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what submit and the runner do before the inputs come, and start no runner."""
    monkeypatch.setattr(lab.engine, "ensure_runner", lambda: False)
    lab.engine.submit(request)
    unpack(EngineHome(lab.home).attempt(request.token), request)


def test_a_service_that_fails_is_no_fault_of_the_run(lab: Lab, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        nobody = f"http://127.0.0.1:{server.getsockname()[1]}"
    monkeypatch.setattr(bringing, "Aws", functools.partial(Aws, attempts=1))
    request = bringing_from(lab, nobody).request(COPY, {"given": uri})
    prepared(lab, request, monkeypatch)
    attempt = EngineHome(lab.home).attempt(request.token)
    assert not bringing.bring_for(attempt)
    told = brought(attempt)
    assert told is not None
    assert told.state is RunState.SYSTEM_ERROR
    assert uri in str(told.message)


def test_inputs_of_this_machine_are_left_alone_and_cost_nothing(
    far: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tmp_path / "given.txt"
    given.write_text("from here\n")
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    request = far.request(COPY, {"given": str(given)})
    prepared(far, request, monkeypatch)
    assert not (far.home / "runs" / request.token / "bring.json").exists()
    with pytest.raises(MissingTool, match=r"labrelay\[aws\]"):
        far.engine.submit(far.request(COPY, {"given": "s3://lab/words.txt"}))


def test_neither_the_runner_nor_the_engine_loads_a_client_of_aws() -> None:
    text = "import sys, labrelay.workflows.local.runner, labrelay.steps.adapters; sys.exit('boto3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", text], check=False).returncode == 0
