"""Start an emulator and wait until it answers."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 60.0


@contextmanager
def running(data: Path) -> Iterator[str]:
    """Run an emulator on a data folder while the block lasts; yields its endpoint."""
    data.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "labrelay.emulator.main", str(data), str(port)]
    with (data / "emulator.log").open("ab") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait(endpoint, child)
        yield endpoint
    finally:
        child.terminate()
        child.wait(20)


def _wait(endpoint: str, child: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and child.poll() is None:
        try:
            with urllib.request.urlopen(f"{endpoint}/runBatch/1/nothing", timeout=2):  # noqa: S310
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("the emulator did not start")
