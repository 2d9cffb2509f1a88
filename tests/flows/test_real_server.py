"""One real server and worker for the whole file: what people see, start and schedule in Prefect works for real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from homes import BAD_SAMPLE, GOOD_SAMPLE, RUN_FOLDER, make_home
from sqlalchemy import select

from labrelay.flows.dispatch import run_as_flow
from labrelay.flows.running import read_server, running
from labrelay.flows.server import Up, down, up, up_on_pool
from labrelay.model.errors import RefusedInput, UsageError
from labrelay.records.database import account
from labrelay.records.schema import AuditRow
from labrelay.steps.home import open_home
from labrelay.steps.process import Processed
from labrelay.steps.reprocess_run import Reprocessed

pytestmark = pytest.mark.slow
PATIENCE = 120.0
ROOT = Path(__file__).parents[2]
IMAGE = ROOT / ".venv-image" / "bin"
Json = dict[str, Any]


class Server:
    """The server of this file, asked over HTTP as its pages do."""

    def __init__(self, home: Path, started: Up) -> None:
        self.home, self.started, self.http = home, started, httpx.Client(base_url=started.api, timeout=30)

    def post(self, path: str, content: Any) -> Any:
        answer = self.http.post(path, json=content)
        answer.raise_for_status()
        return answer.json()

    def deployment(self, flow: str, name: str) -> Json:
        answer: Json = self.http.get(f"/deployments/name/{flow}/{name}").raise_for_status().json()
        return answer

    def runs(self, **filters: Any) -> list[Json]:
        found: list[Json] = self.post("/flow_runs/filter", filters)
        return found

    def start(self, flow: str, name: str, **parameters: Any) -> Json:
        deployment = self.deployment(flow, name)
        made: Json = self.post(f"/deployments/{deployment['id']}/create_flow_run", {"parameters": parameters})
        return made

    def end_of(self, run_id: str) -> Json:
        def ended() -> Json | None:
            run: Json = self.http.get(f"/flow_runs/{run_id}").json()
            return run if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else None

        return until(ended)


def until(look: Callable[[], Any]) -> Any:
    """Return what `look` finds as soon as it finds something."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.5)
    raise AssertionError("nothing was found in time")


def prefect(*arguments: str, **environment: str) -> None:
    """Type a command of Prefect's own."""
    command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    before = dict(os.environ)
    for name in [n for n in os.environ if n.startswith("PREFECT_")]:
        del os.environ[name]
    home = make_home(tmp_path_factory.mktemp("prefect") / "home")
    yield Server(home, up(home))
    down(home)
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True)
def _client_of_the_server(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give back what the guard against settings from outside takes away."""
    from labrelay.flows.environment import local_environment

    for name, value in local_environment(server.home, server.started.api).items():
        if name.startswith("PREFECT_"):
            monkeypatch.setenv(name, value)


def test_up_a_second_time_finds_the_running_server(server: Server) -> None:
    before = read_server(server.home)
    again = up(server.home)
    assert (again.started, again.api, read_server(server.home)) == (False, server.started.api, before)
    assert again.seconds < 2


def test_the_server_is_not_reachable_from_elsewhere_and_is_quiet(server: Server) -> None:
    settings = server.http.get("/admin/settings").json()
    assert settings["server"]["analytics_enabled"] is False
    assert settings["server"]["api"]["host"] in ("127.0.0.1", None)
    foreign = server.http.options(
        "/flows/", headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    )
    assert "access-control-allow-origin" not in foreign.headers


def test_a_definitions_form_has_its_own_fields(server: Server) -> None:
    schema = server.deployment("submit-workflow", "submit-count_files")["parameter_openapi_schema"]
    fields = schema["properties"]["parameters"]["properties"]
    assert set(fields) == {"min_length", "share", "comment", "strict"}
    assert fields["share"]["title"] == "Share of reads"
    assert schema["properties"]["workflow"]["enum"] == ["count_files"]


def test_a_form_refuses_what_its_fields_do_not_allow(server: Server) -> None:
    with pytest.raises(httpx.HTTPStatusError) as refused:
        server.start("submit-workflow", "submit-count_files", sample="S", parameters={"min_length": "many"})
    assert refused.value.response.status_code == 409
    with pytest.raises(httpx.HTTPStatusError):
        server.start("sweep", "sweep", home="/somewhere/else")


def test_a_command_runs_as_a_flow_and_returns_what_the_step_returns(server: Server) -> None:
    home, said = open_home(server.home), list[str]()
    outcome = run_as_flow(
        home,
        "process_run",
        lambda: pytest.fail("the step was done without Prefect"),
        said.append,
        folder=str(RUN_FOLDER),
        wait_for_results=True,
    )
    assert isinstance(outcome, Processed)
    assert (outcome.stored, outcome.imported, outcome.submitted, len(outcome.runs)) == (8, 2, 2, 2)
    assert said == [f"running as a flow: {server.started.url}"]
    (run,) = server.runs(flows={"name": {"any_": ["process-run"]}})
    assert (run["name"], run["state_type"]) == (f"process run {RUN_FOLDER.name}", "FAILED")
    assert run["state"]["message"] == "1 of 2 workflow runs failed"

    def ended() -> dict[str, str] | None:  # the states of tasks come to the server as events, a moment later
        tasks = server.post("/task_runs/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}})
        states = {task["name"]: task["state_type"] for task in tasks}
        return None if {"RUNNING", "PENDING"} & set(states.values()) or len(states) < 5 else states

    states = until(ended)
    assert states[f"{BAD_SAMPLE}: count_files 1.0.0"] == "FAILED"
    assert states[f"{GOOD_SAMPLE}: count_files 1.0.0"] == "COMPLETED"
    assert states["match, import, route, submit"] == "COMPLETED"
    artifacts = server.post("/artifacts/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}})
    assert {artifact["type"] for artifact in artifacts} == {"table", "markdown"}
    table = next(artifact["data"] for artifact in artifacts if artifact["type"] == "table")
    assert f'"sample": "{BAD_SAMPLE}"' in table
    with home.records.read() as session:
        actors = set(session.scalars(select(AuditRow.actor)))
    home.close()
    assert any(actor.endswith(f" via prefect:process run {RUN_FOLDER.name}") for actor in actors)


def test_a_steps_error_comes_through_the_flow_as_it_is(server: Server, tmp_path: Path) -> None:
    home = open_home(server.home)
    with pytest.raises(RefusedInput):
        run_as_flow(home, "ingest_run", lambda: None, lambda _line: None, folder=str(tmp_path))
    home.close()


def test_the_worker_runs_what_a_form_starts(server: Server) -> None:
    asked = {"sample": GOOD_SAMPLE, "parameters": {"min_length": 99, "share": 0.25}}
    run = server.end_of(server.start("submit-workflow", "submit-count_files", **asked)["id"])
    assert (run["state_type"], run["name"]) == ("COMPLETED", f"count_files on {GOOD_SAMPLE}"), run["state"]
    home = open_home(server.home)
    with home.records.read() as session:
        actors = set(session.scalars(select(AuditRow.actor)))
    home.close()
    assert f"prefect:count_files on {GOOD_SAMPLE} ({account()})" in actors


def test_reprocess_as_a_command_is_a_flow_run_that_waits(server: Server) -> None:
    home = open_home(server.home)
    asked = {"at_most": 10_000, "wait_for_results": True}
    done = run_as_flow(home, "reprocess", lambda: None, lambda _line: None, **asked)
    home.close()
    assert isinstance(done, Reprocessed)
    assert done.failed == []
    assert server.runs(flows={"name": {"any_": ["reprocess"]}})


def test_the_schedules_make_runs(server: Server) -> None:
    """SQLAlchemy 2.1 stopped Prefect's scheduler without a word to anybody but the log; see `launch`."""

    def scheduled() -> list[Json]:
        return [run for run in server.runs(flows={"name": {"any_": ["sweep"]}}) if run["auto_scheduled"]]

    assert until(scheduled)
    watches = server.deployment("watch-folders", "watch-folders")["schedules"]
    assert [schedule["active"] for schedule in watches] == [False]


def test_the_end_of_a_run_wakes_one_collect_however_often_it_is_told(server: Server) -> None:
    event = {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, "labrelay.run.ended/run_0123/token-1")),
        "occurred": datetime.now(UTC).isoformat(),
        "event": "labrelay.run.ended",
        "resource": {"prefect.resource.id": "labrelay.run.run_0123"},
        "payload": {},
    }
    for _time in range(3):
        server.http.post("/events", json=[event]).raise_for_status()
    woken = until(lambda: server.runs(flows={"name": {"any_": ["collect"]}}))
    assert server.end_of(woken[0]["id"])["state_type"] == "COMPLETED"
    assert len(server.runs(flows={"name": {"any_": ["collect"]}})) == 1


def test_prefects_own_command_deploys_the_file(server: Server) -> None:
    prefect("deploy", "--all", LABRELAY_HOME=str(server.home))
    made = server.deployment("process-run", "process-run")
    assert made["parameters"] == {"home": str(server.home)}
    assert made["entrypoint"] == "labrelay.flows.process.process_run"


def test_a_pool_that_is_not_there_is_told_and_nothing_is_registered(server: Server) -> None:
    with pytest.raises(UsageError, match="has no work pool lab-ecs: make it with `prefect work-pool create lab-ecs"):
        up_on_pool(server.home, "lab-ecs")
    assert server.deployment("sweep", "sweep")["work_pool_name"] == "labrelay"


def test_on_a_pool_of_containers_a_flow_runs_with_what_the_image_holds(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but the container: the pools, the worker's own job for a run, and its command in the image's environment."""
    if not IMAGE.exists():
        pytest.skip("the image's environment is not installed: make .venv-image")
    for kind in ("ecs", "kubernetes"):
        template = json.loads((ROOT / "infra" / kind / "pool.json").read_text())
        server.post("/work_pools/", {"name": f"lab-{kind}", "type": kind, "base_job_template": template})
    with pytest.raises(UsageError, match="lab-ecs is of the type ecs: a container ends with its flow"):
        up_on_pool(server.home, "lab-ecs")
    monkeypatch.setenv("LABRELAY_BATCH_QUEUE", "lab")
    flow = server.post("/flows/", {"name": "of other people"})
    theirs = server.post("/flow_runs/", {"flow_id": flow["id"], "state": {"type": "RUNNING"}})
    entry = {"entrypoint": "labrelay.flows.upkeep.sweep", "work_pool_name": "labrelay"}
    elsewhere = server.post("/deployments/", {"name": "on another pool", "flow_id": flow["id"], **entry})
    try:
        done = up_on_pool(server.home, "lab-kubernetes")
        assert server.http.get(f"/flow_runs/{theirs['id']}").json()["state_type"] == "RUNNING"
        assert server.http.get(f"/deployments/{elsewhere['id']}").status_code == 200
        assert (set(done.deployments), done.started) == (set(server.started.deployments), False)
        assert server.deployment("submit-workflow", "submit-count_files")["work_pool_name"] == "lab-kubernetes"
        run = server.start("collect", "collect")  # no schedule starts it, so that no other holds its limit
        tool = [IMAGE / "python", ROOT / "tests" / "tools" / "pool_jobs.py", run["id"]]
        job = json.loads(subprocess.run(tool, capture_output=True, check=True).stdout)["job"]
        [container] = job["spec"]["template"]["spec"]["containers"]
        environment = {e["name"]: e["value"] for e in container["env"]}
        assert environment["LABRELAY_HOME"] == "/labrelay/home"  # the one that the deployment names is what counts
        path = {"PATH": f"{IMAGE}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
        ran = subprocess.run(
            container["args"], cwd=tmp_path, env={**path, **environment}, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        ended = server.end_of(run["id"])
        assert (ended["state_type"], ended["work_pool_name"]) == ("COMPLETED", "lab-kubernetes")
    finally:
        up_on_pool(server.home, "labrelay")
    assert server.deployment("deliver", "deliver")["work_pool_name"] == "labrelay"
    assert server.http.get(f"/deployments/{elsewhere['id']}").status_code == 404


def test_down_stops_both_and_up_comes_back_without_late_runs(server: Server) -> None:
    known = read_server(server.home)
    assert known is not None
    assert known.worker is not None
    assert down(server.home) is True
    assert not known.server.lives()
    assert not known.worker.lives()
    assert running(server.home) is None
    assert down(server.home) is False
