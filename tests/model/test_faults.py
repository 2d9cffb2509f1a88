"""A fault point is inert until a test arms it."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from labrelay.model import faults


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "_passed", {})
    monkeypatch.delenv("LABRELAY_FAULT", raising=False)


def test_an_unarmed_point_does_nothing() -> None:
    faults.faultpoint("store.staged")


def test_the_nth_passing_fails_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABRELAY_FAULT", "store.staged:2:enospc")
    faults.faultpoint("store.staged")
    faults.faultpoint("store.linked")
    with pytest.raises(OSError) as caught:  # noqa: PT011 (the errno is what counts)
        faults.faultpoint("store.staged")
    assert caught.value.errno == errno.ENOSPC
    faults.faultpoint("store.staged")


def test_kill_is_a_real_kill() -> None:
    code = "from labrelay.model.faults import faultpoint; faultpoint('x'); print('alive')"
    env = {"LABRELAY_FAULT": "x:1:kill", "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == -9
    assert done.stdout == ""


def test_the_log_names_each_passing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABRELAY_FAULT_LOG", str(tmp_path / "log"))
    faults.faultpoint("a")
    faults.faultpoint("b")
    assert (tmp_path / "log").read_text() == "a\nb\n"


def test_an_unknown_action_is_a_mistake_of_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABRELAY_FAULT", "x:1:explode")
    with pytest.raises(ValueError, match="explode"):
        faults.faultpoint("x")


def test_a_fault_that_is_armed_once_acts_in_the_first_process_that_gets_there(tmp_path: Path) -> None:
    code = "from labrelay.model.faults import faultpoint; faultpoint('here')"
    armed = {"LABRELAY_FAULT": "here:1:kill", "LABRELAY_FAULT_ONCE": str(tmp_path / "acted")}
    ends = [
        subprocess.run([sys.executable, "-c", code], env={**os.environ, **armed}, check=False).returncode
        for _ in range(2)
    ]
    assert ends == [-signal.SIGKILL, 0]
