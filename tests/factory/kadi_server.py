"""The real Kadi4Mat server for tests and the demo: PostgreSQL, Redis and Kadi, each a child process on a free port."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import postgres

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-kadi" / "bin" / "python"
APP = ROOT / "tests" / "tools" / "kadi_app.py"
SECONDS = 120.0


class NotHere(Exception):
    """This machine lacks something that the server needs; the text says what."""


@dataclass(frozen=True)
class Kadi:
    """A running server: its address, and tokens by what they are for."""

    url: str
    tokens: Mapping[str, str]

    def api(self, who: str = "person") -> httpx.Client:
        """Return a client that speaks for one of the users."""
        headers = {"Authorization": f"Bearer {self.tokens[who]}"}
        return httpx.Client(base_url=f"{self.url}/api", headers=headers, timeout=30)


def missing() -> str | None:
    """Return what this machine lacks for the server, or None."""
    if (reason := postgres.missing()) is not None:
        return reason
    if shutil.which("redis-server") is None:
        return "redis-server is not installed (Debian: redis-server)"
    if not PYTHON.exists():
        return "Kadi's environment is not there: make .venv-kadi"
    return None


@contextmanager
def kadi_server() -> Iterator[Kadi]:
    """Run a fresh server while the block lasts.

    Raises:
        NotHere: This machine lacks something; the text says what.
    """
    lacking = missing()
    if lacking is not None:
        raise NotHere(lacking)
    folder = Path(tempfile.mkdtemp(prefix="kadi-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        database = stack.enter_context(_database())
        redis = stack.enter_context(_redis(folder))
        yield stack.enter_context(_kadi(folder, database, redis))


@contextmanager
def _database() -> Iterator[str]:
    cluster = postgres.Cluster()
    try:
        yield cluster.tcp_url(cluster.create())
    finally:
        cluster.stop()


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
    with _child(command, folder / "redis.log"):
        _until(lambda: _listens(port), "Redis")
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def _kadi(folder: Path, database: str, redis: str) -> Iterator[Kadi]:
    told = {"database": database, "redis": redis, "folder": str(folder), "port": free_port()}
    ready = folder / "ready.json"
    (folder / "config.json").write_text(json.dumps(told | {"ready": str(ready)}))
    log = folder / "kadi.log"
    with _child([PYTHON, APP, folder / "config.json"], log) as process:
        _until(ready.exists, "Kadi", process, log)
        yield Kadi(f"http://127.0.0.1:{told['port']}", json.loads(ready.read_text()))


@contextmanager
def _child(command: Sequence[object], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "KADI_"))}
    with log.open("wb") as out:
        arguments = [str(part) for part in command]
        process = subprocess.Popen(arguments, stdout=out, stderr=out, cwd=log.parent, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until(done: object, what: str, process: subprocess.Popen[bytes] | None = None, log: Path | None = None) -> None:
    assert callable(done)
    until = time.monotonic() + SECONDS
    while not done():
        gone = process is not None and process.poll() is not None
        if gone or time.monotonic() > until:
            said = log.read_text(errors="replace")[-2000:] if log else ""
            raise RuntimeError(f"{what} did not start: {said}")
        time.sleep(0.1)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
