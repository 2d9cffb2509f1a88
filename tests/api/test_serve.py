"""`labrelay serve` is a process: it answers on a port, ends cleanly, and loses nothing when it is killed."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from door_process import serving
from doorway import STUDY, make_home, signed_headers
from sqlalchemy import func, select

from labrelay.cli.main import labrelay
from labrelay.records import tokens
from labrelay.records.schema import InboxRow
from labrelay.steps.home import Home

MIB = 1024 * 1024


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = make_home(tmp_path)
    yield made
    made.close()


@pytest.fixture
def bearer(home: Home) -> dict[str, str]:
    with home.records.write() as session:
        secret = tokens.add(session, "lims", ["announce", "event", "read"]).secret
    return {"Authorization": f"Bearer {secret}", "Idempotency-Key": "k-1"}


def rows(home: Home) -> int:
    with home.records.read() as session:
        return session.scalar(select(func.count()).select_from(InboxRow)) or 0


def test_it_answers_on_its_port_until_sigterm_ends_it_cleanly(home: Home, bearer: dict[str, str]) -> None:
    with serving(home.path) as (process, url):
        with httpx.Client(base_url=url, trust_env=False) as client:
            assert client.get("/api/health").json()["status"] == "ok"
            taken = client.post("/api/experiments", json=STUDY, headers=bearer)
            assert taken.status_code == 202
            assert client.get(taken.json()["url"], headers=bearer).json()["state"] == "waiting"
        process.send_signal(signal.SIGTERM)
        _out, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (0, "")
    assert rows(home) == 1


def test_an_upload_without_end_is_cut_off(home: Home, bearer: dict[str, str]) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in bearer.items())
    head = f"POST /api/events HTTP/1.1\r\nHost: x\r\n{lines}Content-Type: application/json\r\n"
    chunk, sent = b"10000\r\n" + b"x" * 65536 + b"\r\n", 0
    with serving(home.path) as (_process, url), socket.socket() as upload:
        upload.settimeout(20)
        upload.connect(("127.0.0.1", int(url.rpartition(":")[2])))
        upload.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        with suppress(BrokenPipeError, ConnectionResetError):
            while sent < 200 * MIB:
                upload.sendall(chunk)
                sent += len(chunk)
    assert sent < 50 * MIB  # what the kernel holds comes on top of our limit
    assert rows(home) == 0


def test_killed_between_commit_and_answer_it_has_the_message_once(home: Home, bearer: dict[str, str]) -> None:
    with serving(home.path, LABRELAY_FAULT="api.taken:1:kill") as (process, url):
        with pytest.raises(httpx.TransportError):
            httpx.post(f"{url}/api/experiments", json=STUDY, headers=bearer, trust_env=False)
        assert process.wait(10) == -signal.SIGKILL
    assert rows(home) == 1
    with serving(home.path) as (_process, url):
        again = httpx.post(f"{url}/api/experiments", json=STUDY, headers=bearer, trust_env=False)
    assert (again.status_code, again.json()["new"]) == (202, False)
    assert rows(home) == 1


def test_killed_before_the_commit_it_has_nothing(home: Home, bearer: dict[str, str]) -> None:
    with serving(home.path, LABRELAY_FAULT="records.commit:1:kill") as (process, url):
        with pytest.raises(httpx.TransportError):
            httpx.post(f"{url}/api/experiments", json=STUDY, headers=bearer, trust_env=False)
        process.wait(10)
    assert rows(home) == 0


def test_a_port_in_use_and_a_host_that_is_none_are_mistakes(home: Home) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        argv = [sys.executable, "-m", "labrelay.cli", "--home", str(home.path), "serve", "--port", str(port)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert f"port {port} of 127.0.0.1 is in use: choose another with --port" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_tokens_are_made_listed_and_revoked_on_the_command_line(home: Home) -> None:
    def run(*words: str) -> str:
        done = CliRunner().invoke(labrelay, ["--home", str(home.path), "token", *words])
        assert done.exit_code == 0, done.output
        return done.output

    made = run("add", "lims", "--scope", "announce", "--scope", "read", "--days", "30")
    secret = made.split()[0]
    assert secret.startswith("lrt_")
    assert "shown once" in made
    with home.records.read() as session:
        holder = tokens.holder_of(session, secret)
    assert holder is not None
    assert holder.scopes == ("announce", "read")
    listed = run("list")
    assert secret not in listed
    assert "announce, read" in listed
    assert "opens nothing any more" in run("revoke", "lims")
    assert "revoked" in run("list")
    with home.records.read() as session:
        assert tokens.holder_of(session, secret) is None


def test_a_scheme_that_there_is_not_is_said_at_the_start(home: Home) -> None:
    text = (home.path / "labrelay.toml").read_text().replace('scheme = "github"', 'scheme = "gitbuh"')
    (home.path / "labrelay.toml").write_text(text)
    done = CliRunner().invoke(labrelay, ["--home", str(home.path), "serve", "--port", "0"])
    assert "the webhook forge has no scheme gitbuh to be signed by: benchling, github, labrelay" in str(done.exception)


def test_a_short_secret_is_refused_and_not_repeated(home: Home) -> None:
    text = (home.path / "labrelay.toml").read_text()
    (home.path / "labrelay.toml").write_text(text + '[hooks.weak]\nsecrets = ["hunter2"]\n')
    done = CliRunner().invoke(labrelay, ["--home", str(home.path), "serve", "--port", "0"])
    assert "24 characters or more" in str(done.exception)
    assert "hunter2" not in str(done.exception)


def test_a_slow_client_keeps_nobody_waiting(home: Home, bearer: dict[str, str]) -> None:
    body = b'{"kind": "x"}'
    with serving(home.path) as (_process, url), socket.socket() as slow:
        slow.connect(("127.0.0.1", int(url.rpartition(":")[2])))
        lines = "".join(f"{name}: {value}\r\n" for name, value in signed_headers(body, "m").items())
        slow.sendall(f"POST /api/hooks/lims HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n{lines}\r\n{{".encode())
        started = time.monotonic()
        assert httpx.get(f"{url}/api/runs", headers=bearer, trust_env=False).status_code == 200
        assert time.monotonic() - started < 5
        slow.sendall(body[1:])
        assert b" 202 " in slow.recv(4096)
