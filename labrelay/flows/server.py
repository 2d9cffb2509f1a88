"""`up` and `down`: a Prefect server and one worker for a home, which go on when the terminal is closed.

Both are processes of their own session; `<home>/prefect/` holds their database, logs and `server.json`. Nothing is
reachable from another machine. A process is only ever stopped when its start time is the recorded one.
"""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from labrelay.flows.dispatch import server_at
from labrelay.flows.environment import POOL, local_environment, prefect_folder, use_server
from labrelay.flows.running import Process, ServerFile, healthy, identify, read_server, running, server_file
from labrelay.flows.running import write_server as _write
from labrelay.model.errors import EngineFailed, LabrelayError, UsageError
from labrelay.model.names import printable
from labrelay.model.problem import Frozen
from labrelay.steps.settings import load_settings
from labrelay.stores.durable import file_lock, make_dirs
from labrelay.workflows.local.processes import stop_recorded

_log = logging.getLogger(__name__)
START_SECONDS = 180.0  # a loaded machine took 100 s for its first start, which makes a database
GRACE_SECONDS = 15.0
AT_ONCE = "4"
LOG_LINES = 5


class Up(Frozen):
    """What `up` found or started.

    Attributes:
        url: Where people look.
        api: Where programs ask.
        started: Whether something was started now.
        deployments: Names of those that were registered now.
        seconds: How long it took.
    """

    url: str
    api: str
    started: bool
    deployments: tuple[str, ...] = ()
    seconds: float


def up(home: Path) -> Up:
    """Start the home's Prefect server and worker and register its deployments; return at once when both run.

    Raises:
        UsageError: There is no home there.
        EngineFailed: The server or the worker did not start; the text has its last words and where its log is.
        Busy: Another `up` or `down` is at work.
    """
    begun = time.monotonic()
    settings = load_settings(home)
    make_dirs(prefect_folder(home))
    with file_lock(prefect_folder(home) / "up.lock", "another `labrelay up` or `down`", timeout=START_SECONDS):
        known = read_server(home)
        api = running(home)
        if api is not None and known is not None and known.worker is not None and known.worker.lives():
            return _up(api, begun, started=False)
        if known is not None:
            _stop(known)
        api, names = _start(home, settings)
    return _up(api, begun, started=True, deployments=tuple(names))


def up_on_pool(home: Path, pool: str) -> Up:
    """Register the home's deployments on a work pool of the server that answers, its own or a shared one.

    Raises:
        UsageError: There is no home there, no server answers, or it has no such pool.
        EngineFailed: The server did not take them.
    """
    begun = time.monotonic()
    settings = load_settings(home)
    api, local = server_at(home, settings)
    if api is None:
        wanted = settings.prefect_api_url
        raise UsageError(
            f"no Prefect server answers at {wanted}: correct `prefect_api_url` in the settings, or start the server"
            if wanted
            else "there is no Prefect server to register at: name it in `prefect_api_url`, or `labrelay up`"
        )
    use_server(home, api, local=local)
    from labrelay.flows.register import register_on

    try:
        names = register_on(home, settings, pool)
    except LabrelayError:
        raise
    except Exception as error:
        _log.debug("Prefect did not register", exc_info=True)
        raise EngineFailed(
            f"the Prefect server at {api} did not take the deployments ({_told(error)}): see all with `labrelay -v up`"
        ) from error
    return _up(api, begun, started=False, deployments=tuple(names))


def down(home: Path) -> bool:
    """Stop the home's server and worker, and flow runs of that worker; workflow runs go on.

    Returns:
        Whether anything was running.

    Raises:
        Busy: An `up` is at work.
    """
    if not prefect_folder(home).is_dir():
        return False
    with file_lock(prefect_folder(home) / "up.lock", "a `labrelay up`", timeout=GRACE_SECONDS):
        known = read_server(home)
        if known is None:
            return False
        was_running = known.server.lives() or (known.worker is not None and known.worker.lives())
        _stop(known)
        server_file(home).unlink(missing_ok=True)
    return was_running


def _up(api: str, begun: float, **values: Any) -> Up:
    seconds = round(time.monotonic() - begun, 2)
    return Up(url=api.removesuffix("/api"), api=api, seconds=seconds, **values)


def _start(home: Path, settings: Any) -> tuple[str, list[str]]:
    port = _free_port()
    api = f"http://127.0.0.1:{port}/api"
    environment = local_environment(home, api)
    command = ["labrelay.flows.launch", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    server, process = _spawn(home, "server", command, environment)
    _write(home, ServerFile(api=api, server=process))
    try:
        use_server(home, api, local=True)
        # Prefect's import takes seconds: it happens while the server makes its database.
        from labrelay.flows.register import register

        _wait_until_healthy(home, api, server)
        names = register(home, settings)
        command = ["prefect", "worker", "start", "--pool", POOL, "--type", "process", "--name", "labrelay"]
        _worker, worker = _spawn(home, "worker", [*command, "--limit", AT_ONCE], environment)
    except BaseException as error:
        _stop(ServerFile(api=api, server=process))
        server_file(home).unlink(missing_ok=True)
        if isinstance(error, Exception) and not isinstance(error, LabrelayError):
            _log.debug("Prefect did not start", exc_info=True)
            raise EngineFailed(_why(home, error)) from error
        raise
    _write(home, ServerFile(api=api, server=process, worker=worker))
    return api, names


def _why(home: Path, error: Exception) -> str:
    """Return a sentence for an error of Prefect's own while it is set up, with where its whole story is."""
    return (
        f"Prefect did not start ({_told(error)}): look into {prefect_folder(home) / 'server.log'}, or see it all with "
        "`labrelay -v up`; everything else works without it"
    )


def _told(error: Exception) -> str:
    told = printable(str(error).strip().partition("\n")[0])
    return f"{type(error).__name__}: {told}" if told else type(error).__name__


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _spawn(
    home: Path, name: str, arguments: Sequence[str], environment: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], Process]:
    with (prefect_folder(home) / f"{name}.log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=prefect_folder(home),
            env=dict(environment),
            start_new_session=True,
        )
    process = identify(child.pid)
    if process is None:
        raise EngineFailed(f"the Prefect {name} ended at once: {_last_words(home, name)}")
    # It is meant to outlive us; without this, Python warns of a child that still runs when the object goes.
    child.returncode = None
    return child, process


def _wait_until_healthy(home: Path, api: str, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if healthy(api):
            return
        if server.poll() is not None:
            raise EngineFailed(f"the Prefect server ended with {server.returncode}: {_last_words(home, 'server')}")
        time.sleep(0.2)
    raise EngineFailed(f"the Prefect server did not answer in {START_SECONDS:.0f} s: {_last_words(home, 'server')}")


def _last_words(home: Path, name: str) -> str:
    log = prefect_folder(home) / f"{name}.log"
    with suppress(OSError):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
        told = " / ".join(printable(line.strip()) for line in lines if line.strip())
        return f"{told or 'it said nothing'}; its log is {log}"
    return f"its log {log} cannot be read"


def _stop(known: ServerFile) -> None:
    """Stop worker, its flow runs and server, in this order, each only if it is the process that was recorded."""
    children: list[Process] = []
    if known.worker is not None and known.worker.lives():
        children = [child for child in map(identify, _children(known.worker.pid)) if child is not None]
        stop_recorded(known.worker.pid, known.worker.started, known.worker.boot, GRACE_SECONDS)
    for process in (*children, known.server):
        stop_recorded(process.pid, process.started, process.boot, GRACE_SECONDS)


def _children(pid: int) -> list[int]:
    """Return the processes that `pid` started and that still run: the flow runs of a worker."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = stat.read_text(errors="replace").rpartition(")")[2].split()[1]
            if parent == str(pid):
                found.append(int(stat.parent.name))
    return found
