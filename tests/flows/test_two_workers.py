"""Two Prefect workers on one PostgreSQL: one of them sleeps past its lease, the other does its work, it wakes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from homes import RUN_FOLDER, make_home
from postgres import Cluster
from sqlalchemy import func, select

from labrelay.flows.environment import local_environment
from labrelay.flows.running import read_server
from labrelay.flows.server import Up, down, up
from labrelay.records import soundness
from labrelay.records.schema import AttemptRow, AuditRow, DatasetRow, FileRow, LeaseRow, WorkflowRunRow
from labrelay.steps.home import Home, open_home

pytestmark = pytest.mark.slow
PATIENCE = 120.0
LEASE_SECONDS = 2
# Loaded by each Python that the second worker starts: its leases are short, so that the test need not wait a minute.
SHORT_LEASES = f"""
from datetime import UTC, datetime, timedelta
from labrelay.records import lease
until = lambda: datetime.now(UTC) + timedelta(seconds={LEASE_SECONDS})
lease.later = lambda _seconds: until().isoformat(timespec="microseconds")
"""


class TwoWorkers:
    """A home on PostgreSQL, its server with the worker that `up` starts, and a second worker that falls asleep."""

    def __init__(self, home: Path, started: Up) -> None:
        self.home, self.http = home, httpx.Client(base_url=started.api, timeout=30)
        known = read_server(home)
        assert known is not None
        assert known.worker is not None
        self.first = known.worker.pid
        self.asleep = home.parent / "asleep"
        modules = home.parent / "short-leases"
        modules.mkdir()
        (modules / "sitecustomize.py").write_text(textwrap.dedent(SHORT_LEASES))
        environment = local_environment(home, started.api) | {
            "LABRELAY_FAULT": "ingest.group_recorded:1:stop",
            "LABRELAY_FAULT_ONCE": str(self.asleep),
            "PYTHONPATH": str(modules),
        }
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "labrelay", "--type", "process"]
        with (home.parent / "second.log").open("wb") as log:
            self.second = subprocess.Popen(
                [*command, "--name", "second"], env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def process_run(self) -> str:
        deployment = self.http.get("/deployments/name/process-run/process-run").raise_for_status().json()
        asked = {"parameters": {"folder": str(RUN_FOLDER), "wait_for_results": True}}
        made = self.http.post(f"/deployments/{deployment['id']}/create_flow_run", json=asked).raise_for_status()
        return str(made.json()["id"])

    def end_of(self, run_id: str) -> dict[str, str]:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            state: dict[str, str] = self.http.get(f"/flow_runs/{run_id}").raise_for_status().json()["state"]
            if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
                return state
            time.sleep(0.5)
        raise AssertionError(f"{run_id} did not end: {(self.home.parent / 'second.log').read_text()[-3000:]}")

    def sleeper(self) -> int:
        """Return the flow's process of the second worker once it sleeps."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for stat in Path("/proc").glob("[0-9]*/stat"):
                try:
                    state = stat.read_text().rpartition(")")[2].split()[0]
                    its_own = str(self.asleep).encode() in stat.with_name("environ").read_bytes()
                except OSError:
                    continue
                if state == "T" and its_own and int(stat.parent.name) != self.second.pid:
                    return int(stat.parent.name)
            time.sleep(0.2)
        raise AssertionError(f"nobody fell asleep: {(self.home.parent / 'second.log').read_text()[-3000:]}")


@pytest.fixture
def two(tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoWorkers]:
    path = make_home(tmp_path / "home")
    text = (path / "labrelay.toml").read_text()
    assert "database_url =" not in text.replace("# database_url", "")
    cluster.give(path)
    from labrelay.steps.announce import announce

    home = open_home(path)
    announce(home, Path(__file__).parents[2] / "demo" / "samples.csv")
    home.close()
    started = up(path)
    two = TwoWorkers(path, started)
    yield two
    for pid in (two.first, two.second.pid):
        os.kill(pid, signal.SIGCONT)
    os.killpg(two.second.pid, signal.SIGKILL)
    two.second.wait()
    down(path)


def counts(home: Home) -> dict[str, int]:
    tables = (FileRow, DatasetRow, WorkflowRunRow, AttemptRow)
    with home.records.read() as session:
        return {t.__tablename__: session.scalar(select(func.count()).select_from(t)) or 0 for t in tables}


def test_the_late_writes_of_a_worker_that_slept_are_refused_and_nothing_is_lost_or_done_twice(two: TwoWorkers) -> None:
    os.kill(two.first, signal.SIGSTOP)  # so that the second worker takes the first flow run
    slept = two.process_run()
    sleeper = two.sleeper()
    os.kill(two.second.pid, signal.SIGSTOP)  # the whole machine sleeps
    time.sleep(LEASE_SECONDS + 0.5)
    os.kill(two.first, signal.SIGCONT)
    assert two.end_of(two.process_run())["message"] == "1 of 2 workflow runs failed"  # one sample is made to fail
    home = open_home(two.home)
    done = counts(home)
    with home.records.read() as session:
        fences = {row.name: row.fence for row in session.scalars(select(LeaseRow))}
    assert fences[f"the ingest of {RUN_FOLDER.name}"] == 2

    os.kill(two.second.pid, signal.SIGCONT)
    os.kill(sleeper, signal.SIGCONT)
    # its late write is refused; the retry of its task then finds everything done, and so says what the other one said
    assert two.end_of(slept)["message"] == "1 of 2 workflow runs failed"
    said = (two.home.parent / "second.log").read_text()
    assert "was taken over by another worker; this one has stopped and written nothing more" in " ".join(said.split())
    assert counts(home) == done
    assert (done["dataset"], done["workflow_run"], done["attempt"]) == (2, 2, 2)
    with home.records.read() as session:
        stored = session.scalar(select(func.count()).where(AuditRow.action == "instrument_run.stored"))
    assert stored == 1
    assert [found.said for found in soundness.look(home.records, thorough=True) if found.fix] == []
    home.close()
