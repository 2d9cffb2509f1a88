"""The emulator's front on a real port of this process, without the programs beside it: it starts in milliseconds."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from emulated import client

from labrelay.emulator.faults import Plan
from labrelay.emulator.guard import Guard
from labrelay.emulator.journal import Journal
from labrelay.emulator.server import Front
from labrelay.emulator.service import Service
from labrelay.emulator.state import State
from labrelay.emulator.wire import load_operations

NOWHERE = "http://127.0.0.1:9"
SIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=x/20261124/us-east-1/omics/aws4_request, Signature=0"}


@dataclass
class Served:
    """A front, its service and where it answers."""

    service: Service
    front: Front
    endpoint: str

    def client(self, service: str = "omics", **config: Any) -> Any:
        """Return a boto3 client that tries once unless told otherwise."""
        return client(service, self.endpoint, **config)


@contextmanager
def served(folder: Path, plan: Plan | None = None) -> Iterator[Served]:
    """Serve a data folder while the block lasts."""
    load_operations()
    folder.mkdir(parents=True, exist_ok=True)
    service = Service(folder, State(folder / "state.sqlite"))
    front = Front(service, NOWHERE, NOWHERE, NOWHERE, Journal(folder / "configured.jsonl"), plan or Plan())
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(Guard(front, "127.0.0.1"), lifespan="off", log_config=None, server_header=False)
    )
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield Served(service, front, f"http://127.0.0.1:{listener.getsockname()[1]}")
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
