"""`running` and `down` with files and processes that are not what they seem; the real server has a file of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from labrelay.cli.main import labrelay
from labrelay.flows import server as server_module
from labrelay.flows.environment import local_environment, use_server
from labrelay.flows.running import Process, ServerFile, healthy, identify, running, server_file, write_server
from labrelay.flows.server import Up, down, up, up_on_pool
from labrelay.model.errors import EngineFailed, UsageError
from labrelay.steps.home import init_home


class Answers(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/api/health" else 404)
        self.end_headers()
        self.wfile.write(b"true")

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answers) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}/api"
        http.shutdown()


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    init_home(tmp_path / "home")
    (tmp_path / "home" / "prefect").mkdir()
    return tmp_path / "home"


def me() -> Process:
    found = identify(os.getpid())
    assert found is not None
    return found


def test_a_home_without_a_server_has_none(home: Path) -> None:
    assert running(home) is None
    assert down(home) is False


def test_a_server_that_lives_and_answers_is_running(home: Path, server: str) -> None:
    write_server(home, ServerFile(api=server, server=me()))
    assert running(home) == server


def test_an_answer_from_another_process_on_the_port_does_not_count(home: Path, server: str) -> None:
    write_server(home, ServerFile(api=server, server=me().model_copy(update={"started": 1})))
    assert running(home) is None


def test_a_server_that_does_not_answer_is_not_running(home: Path) -> None:
    write_server(home, ServerFile(api="http://127.0.0.1:1/api", server=me()))
    assert running(home) is None


def test_a_torn_server_file_is_no_server(home: Path) -> None:
    server_file(home).write_text('{"api": "http://127')
    assert running(home) is None
    assert down(home) is False


@pytest.mark.parametrize("api", ["", "nonsense", "http://", "http://[::1/api", "http://127.0.0.1:99999/api"])
def test_an_address_that_is_none_is_not_healthy(api: str) -> None:
    assert healthy(api) is False


def test_down_never_stops_a_process_that_only_has_the_number(home: Path, stranger: subprocess.Popen[bytes]) -> None:
    known = identify(stranger.pid)
    assert known is not None
    reused = known.model_copy(update={"started": known.started - 1})
    write_server(home, ServerFile(api="http://127.0.0.1:1/api", server=reused, worker=reused))
    assert down(home) is False
    assert stranger.poll() is None
    assert not server_file(home).exists()


def test_down_stops_the_process_that_was_recorded(home: Path, stranger: subprocess.Popen[bytes]) -> None:
    known = identify(stranger.pid)
    assert known is not None
    write_server(home, ServerFile(api="http://127.0.0.1:1/api", server=known))
    assert down(home) is True
    assert stranger.wait(5) != 0


def test_up_without_a_home_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no Labrelay home"):
        up(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_the_server_gets_nothing_of_another_prefect(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_KEY", "secret")
    monkeypatch.setenv("PREFECT_API_URL", "https://cloud.example/api")
    environment = local_environment(home, "http://127.0.0.1:5/api")
    assert "PREFECT_API_KEY" not in environment
    assert environment["PREFECT_API_URL"] == "http://127.0.0.1:5/api"
    assert environment["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] == "http://127.0.0.1:5"
    assert environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"


def test_a_shared_server_keeps_the_callers_credential(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"PREFECT_API_KEY": "secret"})
    use_server(home, "https://prefect.example/api", local=False)
    assert os.environ["PREFECT_API_KEY"] == "secret"
    assert os.environ["PREFECT_API_URL"] == "https://prefect.example/api"


def test_on_the_homes_own_server_only_the_callers_loudness_stays(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others = {"PREFECT_API_KEY": "secret", "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "ERROR"}
    monkeypatch.setattr(os, "environ", others)
    use_server(home, "http://127.0.0.1:5/api", local=True)
    assert "PREFECT_API_KEY" not in os.environ
    assert os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] == "ERROR"


def test_a_start_that_prefect_cannot_finish_is_one_sentence_and_leaves_nothing_running(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    children: list[subprocess.Popen[bytes]] = []

    def spawn(*_given: object) -> tuple[subprocess.Popen[bytes], Process | None]:
        children.append(subprocess.Popen(["sleep", "60"], start_new_session=True))
        return children[-1], identify(children[-1].pid)

    def broken(*_given: object) -> list[str]:
        raise RuntimeError("no such pool\nand forty lines more")

    monkeypatch.setattr(server_module, "_spawn", spawn)
    monkeypatch.setattr(server_module, "_wait_until_healthy", lambda *_given: None)
    monkeypatch.setattr(server_module, "use_server", lambda *_given, **_options: None)
    monkeypatch.setitem(sys.modules, "labrelay.flows.register", SimpleNamespace(register=broken))
    with pytest.raises(EngineFailed) as caught:
        up(home)
    sentence = str(caught.value)
    assert sentence.startswith("Prefect did not start (RuntimeError: no such pool): look into ")
    assert str(home / "prefect" / "server.log") in sentence
    assert "\n" not in sentence
    assert [child.wait(timeout=10) for child in children] == [-15]
    assert not server_file(home).exists()


def test_a_server_that_ends_at_once_is_told_with_its_last_words_and_its_log(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "START_SECONDS", 60.0)
    spawn = server_module._spawn

    def broken(home: Path, name: str, _arguments: object, environment: dict[str, str]) -> object:
        return spawn(home, name, ["http.server", "no-port"], environment)

    monkeypatch.setattr(server_module, "_spawn", broken)
    monkeypatch.setattr(server_module, "use_server", lambda *_given, **_options: None)
    monkeypatch.setitem(sys.modules, "labrelay.flows.register", SimpleNamespace(register=None))
    with pytest.raises(EngineFailed, match=r"invalid int value.*its log is .*/prefect/server\.log"):
        up(home)


def test_down_says_in_a_sentence_that_nothing_ran(home: Path) -> None:
    result = CliRunner().invoke(labrelay, ["--home", str(home), "down"])
    assert (result.exit_code, result.output) == (0, f"no Prefect server of {home} was running\n")
    result = CliRunner().invoke(labrelay, ["--home", str(home), "down", "--json"])
    assert result.output == '{\n  "stopped": false\n}\n'


def test_the_commands_load_no_prefect() -> None:
    modules = "labrelay.cli.server, labrelay.flows.server, labrelay.flows.dispatch"
    code = f"import sys, {modules}; print('prefect' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_pool_without_a_server_is_told_with_what_to_do(home: Path) -> None:
    with pytest.raises(UsageError, match="no Prefect server to register at: name it in `prefect_api_url`"):
        up_on_pool(home, "lab")


def test_a_shared_server_that_does_not_answer_is_named(home: Path) -> None:
    (home / "labrelay.toml").write_text('prefect_api_url = "http://127.0.0.1:9/api"\n')
    with pytest.raises(UsageError, match=r"no Prefect server answers at http://[0-9.:]*/api: correct"):
        up_on_pool(home, "lab")


def test_up_says_how_many_deployments_stand_on_a_pool(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = Up(url="http://lab", api="http://lab/api", started=False, deployments=("sweep", "deliver"), seconds=1)
    monkeypatch.setattr(server_module, "up_on_pool", lambda at, pool: done if (at, pool) == (home, "lab") else None)
    said = CliRunner().invoke(labrelay, ["--home", str(home), "up", "--pool", "lab"])
    assert (said.exit_code, said.output) == (0, "2 deployments stand on the work pool lab of http://lab\n")
    machine = CliRunner().invoke(labrelay, ["--home", str(home), "up", "--pool", "lab", "--json"])
    assert json.loads(machine.output)["deployments"] == ["sweep", "deliver"]
