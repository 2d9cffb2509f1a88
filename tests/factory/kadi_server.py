"""The real Kadi4Mat server for tests and the demo: PostgreSQL, Redis and Kadi, each a child process on a free port."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-kadi" / "bin" / "python"
APP = ROOT / "tests" / "tools" / "kadi_app.py"
SECONDS = 120.0
UNPRIVILEGED = "postgres"  # initdb refuses root


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


def postgres_programs() -> Path:
    """Return the folder of PostgreSQL's server programs.

    Raises:
        NotHere: There are none.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if not found:
        raise NotHere("PostgreSQL's server is not installed (Debian: postgresql)")
    return found[-1].parent


def missing() -> str | None:
    """Return what this machine lacks for the server, or None."""
    try:
        postgres_programs()
    except NotHere as error:
        return str(error)
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
    # Not below pytest's folders: PostgreSQL's user may not go through them, and a socket's path has to be short.
    folder = Path(tempfile.mkdtemp(prefix="kadi-"))
    folder.chmod(0o755)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        database = stack.enter_context(postgres(folder / "pg"))
        redis = stack.enter_context(_redis(folder))
        yield stack.enter_context(_kadi(folder, database, redis))


@contextmanager
def postgres(folder: Path, database: str = "kadi") -> Iterator[str]:
    """Run a PostgreSQL of its own, reached by a socket in `folder`, and yield the URL of a new database in it."""
    programs = postgres_programs()
    folder.mkdir()
    user = UNPRIVILEGED if os.getuid() == 0 else None
    if user is not None:
        shutil.chown(folder, user)
    data = folder / "data"
    asked = [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(asked, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL)
    options = ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "listen_addresses=", "max_connections=60"]
    options.append(f"unix_socket_directories={folder}")
    command = [programs / "postgres", "-D", data, *(part for option in options for part in ("-c", option))]
    with _child(command, folder / "log", signal.SIGINT, user=user):
        asked = [programs / "createdb", "-h", folder, "-U", "postgres", database]
        _until(lambda: subprocess.run(asked, capture_output=True, cwd=folder).returncode == 0, "PostgreSQL")
        yield f"postgresql://postgres@/{database}?host={folder}"


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
def _child(
    command: Sequence[object], log: Path, stop: signal.Signals = signal.SIGTERM, user: str | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "KADI_"))}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(part) for part in command], stdout=out, stderr=out, cwd=log.parent, env=environment, user=user
        )
    try:
        yield process
    finally:
        process.send_signal(stop)
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
