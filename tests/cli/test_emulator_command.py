"""`labrelay emulator`: what it prints, how it is stopped, and what it says of mistakes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from importlib import util
from pathlib import Path
from typing import Any

import pytest
from shell import Said, shell

VARIABLES = [
    "AWS_ENDPOINT_URL",
    "AWS_DISABLE_HOST_PREFIX_INJECTION",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    return shell(monkeypatch)


@pytest.mark.slow
def test_it_goes_on_in_the_background_until_it_is_stopped(run: Callable[..., Said], tmp_path: Path) -> None:
    data = tmp_path / "a folder"
    started = run("emulator", "--detach", "--data", data)
    try:
        exported = dict(line.removeprefix("export ").split("=", 1) for line in started.out.splitlines())
        assert list(exported) == VARIABLES
        assert exported["AWS_REGION"] == "us-east-1"
        assert f"--stop --data '{data}'" in started.err
        loopback = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with loopback.open(f"{exported['AWS_ENDPOINT_URL']}/_labrelay/health") as health:
            assert json.load(health) == {"status": "ready"}
        # Another terminal gets the same lines; what would have to be another emulator is refused.
        assert run("emulator", "--detach", "--data", data).out == started.out
        again = run("emulator", "--detach", "--data", data, "--port", "1")
        assert again.code == 2
        assert "another emulator runs on" in again.sentence
    finally:
        stopped = run("emulator", "--stop", "--data", data, "--json")
    assert stopped.json == {"stopped": True}
    assert run("emulator", "--stop", "--data", data).out == f"no emulator was running on {data}\n"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_a_signal_stops_it_in_order(tmp_path: Path, number: signal.Signals) -> None:
    command = [
        sys.executable,
        "-m",
        "labrelay.cli",
        "emulator",
        "--data",
        str(tmp_path),
        "--json",
        "--region",
        "eu-west-1",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        said = json.loads("".join(iter_until(child.stdout, "}\n")))
        assert said["environment"]["AWS_REGION"] == "eu-west-1"
        assert said["endpoint"] == said["environment"]["AWS_ENDPOINT_URL"]
        assert said["pid"] == child.pid
        child.send_signal(number)
        _out, err = child.communicate(timeout=20)
    assert child.returncode == 0
    assert "Traceback" not in err
    assert json.loads((tmp_path / "emulator.json").read_text())["pid"] is None


def iter_until(stream: Any, end: str) -> list[str]:
    lines: list[str] = []
    for line in stream:
        lines.append(line)
        if line == end:
            break
    return lines


@pytest.mark.parametrize("how", [("--detach",), ()])
def test_a_plan_that_is_wrong_is_one_sentence_before_anything_starts(
    run: Callable[..., Said], tmp_path: Path, how: tuple[str, ...]
) -> None:
    (tmp_path / "plan.toml").write_text("[[fault]]\noperation = 'StartRuns'\ndo = 'fail'\n")
    said = run("emulator", *how, "--data", tmp_path / "data", "--faults", tmp_path / "plan.toml")
    assert said.code == 2
    assert "HealthOmics has no operation StartRuns" in said.sentence
    assert not (tmp_path / "data" / "s3").exists()


def test_what_is_not_installed_is_said_with_how_to_get_it(
    run: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "moto" else found(name))
    monkeypatch.delitem(sys.modules, "labrelay.cli.emulator", raising=False)
    said = run("emulator", "--data", tmp_path)
    assert said.sentence == "labrelay: the emulator needs moto: pip install 'labrelay[emulator]'"
    assert said.code == 2
    monkeypatch.delitem(sys.modules, "labrelay.cli.emulator", raising=False)


def test_a_folder_that_cannot_be_made_is_one_sentence(run: Callable[..., Said], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = run("emulator", "--data", tmp_path / "file" / "data")
    assert said.code != 0
    assert "file" in said.sentence
