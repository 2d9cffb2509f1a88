from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from emulated_runs import SAY, RunLab, until
from emulated_storage import forget_objects

POINTS = [
    "emulator.run_started",
    "emulator.run_submitted",
    "emulator.run_exported",
    "emulator.run_decided",
    "emulator.run_told",
    "emulator.run_ended",
]


@pytest.fixture
def lab(tmp_path: Path, s3_url: str) -> Iterator[RunLab]:
    forget_objects(s3_url)
    made = RunLab(tmp_path / "data", s3_url)
    yield made
    made.stop_engine()


@contextmanager
def serving(lab: RunLab, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    server = lab.server(**environment)
    try:
        yield server
    finally:
        server.kill()
        server.wait()


def assert_ended_once(lab: RunLab, run: str) -> None:
    ended = lab.wait(run)
    assert ended["status"] == "COMPLETED", ended
    base = ended["runOutputUri"]
    outputs = json.loads(lab.read(f"{base}/logs/outputs.json"))
    assert lab.read(outputs["tiny.said"]) == b"said\nprecious\n"
    assert len(lab.keys(f"out/{run}/")) == 5
    assert [(task["name"], task["status"]) for task in lab.tasks(run)] == [("say", "COMPLETED")]


@pytest.mark.parametrize("point", POINTS)
def test_a_run_ends_once_wherever_the_server_is_killed(lab: RunLab, point: str, tmp_path: Path) -> None:
    did, given = tmp_path / "did", lab.put("in/a.txt", b"precious\n")
    run = lab.start(lab.workflow(SAY), {"script": f"echo once >> '{did}'", "given": given})
    with serving(lab, LABRELAY_FAULT=f"{point}:1:kill") as server:
        assert server.wait(60) == -9
    with serving(lab):
        assert_ended_once(lab, run)
    assert did.read_text() == "once\n"


def test_a_run_goes_on_while_the_server_is_dead(lab: RunLab, tmp_path: Path) -> None:
    did, given = tmp_path / "did", lab.put("in/a.txt", b"precious\n")
    run = lab.start(lab.workflow(SAY), {"script": f"sleep 1; echo once >> '{did}'", "given": given})
    with serving(lab):
        until(lambda: lab.tasks(run, status="RUNNING"), bool)
    until(did.exists, bool)
    with serving(lab):
        assert_ended_once(lab, run)
    assert did.read_text() == "once\n"


def test_a_run_is_begun_again_when_the_engine_died_with_the_server(lab: RunLab, tmp_path: Path) -> None:
    did, given = tmp_path / "did", lab.put("in/a.txt", b"precious\n")
    script = f"echo begun >> '{did}'; test $(wc -l < '{did}') -gt 1 || sleep 60"
    run = lab.start(lab.workflow(SAY), {"script": script, "given": given})
    with serving(lab):
        until(lambda: did.exists() and lab.tasks(run, status="RUNNING"), bool)
    lab.stop_engine()
    with serving(lab):
        assert_ended_once(lab, run)
    assert did.read_text() == "begun\nbegun\n"


def test_a_cancellation_that_was_acknowledged_holds_after_a_kill(lab: RunLab) -> None:
    run = lab.start(lab.workflow(SAY), {"script": "sleep 60"})
    with serving(lab):
        until(lambda: lab.tasks(run, status="RUNNING"), bool)
    lab.call("CancelRun", id=run)
    with serving(lab):
        assert lab.wait(run)["status"] == "CANCELLED"
    assert lab.keys(f"out/{run}/") == []
