"""Is the home's Prefect server there? Told by a file, a process number and one request, without Prefect."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ValidationError

from labrelay.flows.environment import prefect_folder
from labrelay.model.problem import Frozen
from labrelay.stores.durable import write_json_atomic
from labrelay.workflows.local.processes import boot_id, lives, started_at

HEALTH_SECONDS = 2.0


class Process(Frozen):
    """A process that was started, told apart from a later one with the same number.

    Attributes:
        pid: Its number.
        started: When it started, in clock ticks since the machine's boot.
        boot: The boot's id.
    """

    pid: int
    started: int
    boot: str

    def lives(self) -> bool:
        """Tell whether this very process still runs."""
        return lives(self.pid, self.started, self.boot)


class ServerFile(Frozen):
    """What `up` wrote to `<home>/prefect/server.json`.

    Attributes:
        api: `http://127.0.0.1:<port>/api`.
        server: The server.
        worker: The worker; None while the server is being started.
    """

    api: str
    server: Process
    worker: Process | None = None


def identify(pid: int) -> Process | None:
    """Return the process with this number, or None when it is gone."""
    started = started_at(pid)
    return None if started is None else Process(pid=pid, started=started, boot=boot_id())


def server_file(home: Path) -> Path:
    """Return where `up` writes what it started."""
    return prefect_folder(home) / "server.json"


def read_server(home: Path) -> ServerFile | None:
    """Return what `up` wrote, or None when there is nothing readable."""
    try:
        return ServerFile.model_validate_json(server_file(home).read_bytes())
    except (OSError, ValidationError):
        return None


def write_server(home: Path, content: ServerFile) -> None:
    """Replace `server.json`."""
    write_json_atomic(server_file(home), content.model_dump(mode="json"))


def running(home: Path) -> str | None:
    """Return the address of the home's own server when it runs and answers, else None.

    Cost: a file, a look at /proc and one request on the loopback; at most two seconds when the server hangs.
    """
    known = read_server(home)
    if known is None or not known.server.lives():
        return None
    return known.api if healthy(known.api) else None


def healthy(api: str) -> bool:
    """Tell whether a Prefect server on this machine answers at `api` (http only; about 2 ms)."""
    with suppress(OSError, ValueError, OverflowError):
        where = urlsplit(api)
        with socket.create_connection((where.hostname or "", where.port or 80), HEALTH_SECONDS) as connection:
            connection.sendall(f"GET {where.path}/health HTTP/1.0\r\nHost: {where.netloc}\r\n\r\n".encode("ascii"))
            return connection.recv(64).split(b" ")[1:2] == [b"200"]
    return False
