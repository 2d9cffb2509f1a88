"""Start an emulator as a process of its own, find the one of a data folder, stop it.

Nothing heavy is imported here; `<data>/emulator.json` says what runs, and on which port it ran before.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from labrelay.model.errors import EngineFailed, LabrelayError, UsageError
from labrelay.stores.durable import make_dirs, storage_errors, write_json_atomic
from labrelay.workflows.local.processes import lives, stop_recorded

START_SECONDS = 120.0
GRACE_SECONDS = 15.0
LOG_LINES = 5
KEY = "emulator"  # any key is taken; this one says what it is


@dataclass(frozen=True)
class Running:
    """An emulator's process; `pid` is None for one that was stopped.

    Attributes:
        endpoint: Where it answers, such as `http://127.0.0.1:4000`.
        port: Its port.
        pid, started, boot: The process, told apart from a later one with the same number.
        region: As it stands in ARNs.
    """

    endpoint: str
    port: int
    pid: int | None
    started: int | None
    boot: str | None
    region: str = "us-east-1"

    def lives(self) -> bool:
        """Whether it runs."""
        return lives(self.pid, self.started, self.boot)

    def stopped(self) -> Running:
        """Return what is kept when it is stopped."""
        return replace(self, pid=None, started=None, boot=None)

    def environment(self) -> dict[str, str]:
        """Return the variables with which boto3 and the AWS CLI use it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": KEY,
        }


def read_running(data: Path) -> Running | None:
    """Return what a data folder says of its emulator; None if there never was one."""
    try:
        return Running(**json.loads((data / "emulator.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write_running(data: Path, running: Running) -> None:
    """Say what runs on a data folder."""
    write_json_atomic(data / "emulator.json", asdict(running))


@contextmanager
def running(data: Path, *options: str) -> Iterator[str]:
    """Run an emulator while the block lasts, or shorter if this process dies.

    Args:
        data: The data folder.
        options: As of `labrelay.emulator.main`, such as `"--faults", "plan.toml"`.

    Yields:
        Its endpoint.

    Raises:
        LabrelayError: It did not start.
    """
    child = _spawn(data, ["--leashed", *options], leashed=True)
    try:
        yield _wait(data, child).endpoint
    finally:
        if child.stdin is not None:
            child.stdin.close()
        child.terminate()
        try:
            child.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def detach(data: Path, *options: str) -> Running:
    """Start an emulator that goes on after this process; return when every part of it answers.

    Raises:
        LabrelayError: It did not start.
    """
    child = _spawn(data, options, leashed=False)
    found = _wait(data, child)
    # It is meant to outlive us; without a code, Python warns of a child that still runs when the object goes.
    child.returncode = 0
    return found


def stop(data: Path) -> bool:
    """Stop the emulator of a data folder; return whether there was one."""
    found = read_running(data)
    if found is None or not found.lives():
        return False
    stop_recorded(found.pid, found.started, found.boot, GRACE_SECONDS)
    return True


def _spawn(data: Path, options: Sequence[str], *, leashed: bool) -> subprocess.Popen[bytes]:
    with storage_errors("make the folder", data):
        make_dirs(data)
    with _log(data).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "labrelay.emulator.main", str(data.absolute()), *options],
            stdin=subprocess.PIPE if leashed else subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _wait(data: Path, child: subprocess.Popen[bytes]) -> Running:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        found = read_running(data)
        if found is not None and found.pid == child.pid and found.lives():
            return found
        if child.poll() is not None:
            raise _failure(data, child.returncode)
        time.sleep(0.03)
    child.kill()
    child.wait()
    raise EngineFailed(f"the emulator did not start in {START_SECONDS:.0f} s: see {_log(data)}")


def _failure(data: Path, code: int) -> LabrelayError:
    lines = _log(data).read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
    try:
        said = json.loads(lines[-1])
        return (UsageError if said["exit_code"] == 2 else EngineFailed)(str(said["failed"]))
    except (IndexError, ValueError, TypeError, KeyError):
        return EngineFailed(f"the emulator ended with {code}: {' / '.join(lines)}")


def _log(data: Path) -> Path:
    return data / "emulator.log"
