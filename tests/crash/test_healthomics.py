"""kill -9 of the command and of the emulator while a run goes through HealthOmics: nothing is lost or done twice."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from emulated import client

from labrelay.emulator.launch import Running, detach, read_running, stop

DEMO = Path(__file__).parents[2] / "demo"
RUN = next((DEMO / "run").iterdir())
LABRELAY = [sys.executable, "-m", "labrelay.cli"]
ROLE = "arn:aws:iam::123456789012:role/labrelay-runs"
KILLS = 5
SEED = int(os.environ.get("LABRELAY_SEED", "20261124"))
pytestmark = pytest.mark.slow


def start(command: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*LABRELAY, *command], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def say(command: list[str], env: dict[str, str]) -> str:
    done = subprocess.run([*LABRELAY, *command], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def kill_server(data: Path) -> Running:
    found = read_running(data)
    assert found is not None
    assert found.pid is not None
    os.kill(found.pid, signal.SIGKILL)
    while found.lives():
        time.sleep(0.02)
    return detach(data)


def test_a_run_through_healthomics_survives_kills_of_client_and_server(tmp_path: Path) -> None:
    chance, data, home = random.Random(SEED), tmp_path / "emulator", tmp_path / "home"
    running = detach(data)
    env = {**os.environ, **running.environment(), "LABRELAY_HOME": str(home), "LABRELAY_START_RUN_RATE": "100"}
    try:
        say(["init", "--profile", "healthomics", "--bucket", "crash-lab", "--role-arn", ROLE], env)
        shutil.copy(DEMO / "rules.toml", home / "rules.toml")
        say(["reference", "add", str(DEMO / "MH356245.1.reference.fasta"), "--name", "MH356245.1"], env)
        say(["announce", str(DEMO / "samples.csv")], env)
        for number in range(KILLS):
            going = start(["process", str(RUN)], env)
            time.sleep(chance.uniform(1.0, 9.0))
            going.kill()
            going.wait()
            if number % 2:
                running = kill_server(data)
        out = say(["process", str(RUN)], env)
        rows = {row["sample"]: row["variants"] for row in json.loads(say(["results", "list", "--json"], env))}
        assert rows == {"SRR7517490": 269, "SRR7517498": 273}, out
        assert "stored 0 · imported 0 · submitted 0" in say(["process", str(RUN)], env)
        omics = client("omics", running.endpoint)
        runs = Counter(run["name"] for run in omics.list_runs()["items"])
        assert sorted(runs.values()) == [1, 1], runs
        store = omics.list_sequence_stores()["sequenceStores"][0]["id"]
        read_sets = omics.list_read_sets(sequenceStoreId=store)["readSets"]
        assert sorted(each["status"] for each in read_sets) == ["ACTIVE", "ACTIVE"]
    finally:
        stop(data)
