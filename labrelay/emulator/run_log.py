"""What a run writes to CloudWatch: its own events, the engine's log as it grows, its tasks' words, and the manifest.

run/<run>                      what happened to the run, one JSON object an event
run/<run>/engine               the engine's log
run/<run>/task/<task>          standard output and error of a task
manifest/run/<run>/<uuid>      what it used, after its end
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from labrelay.emulator import logs
from labrelay.emulator.manifest import manifest_lines
from labrelay.emulator.service import Service, timestamp
from labrelay.emulator.state import Body
from labrelay.model.runs import TaskReport
from labrelay.workflows.local.home import Attempt

TASK_BYTES = 1_000_000  # the end of a longer output is kept
ENGINE_BYTES = 20_000_000
PIECE_BYTES = 1 << 20
SHOWN_FIRST = ("timestamp", "levelno", "level", "source", "message")


class RunLog:
    """The log streams of one run; with logLevel OFF nothing is written."""

    def __init__(self, service: Service, run: Body, folder: Path) -> None:
        """Take whose logs they are.

        Args:
            service: Where the logs are.
            run: Its body.
            folder: The run's own; how far the engine's log was read is kept in it.
        """
        self._service, self._run = service, run
        self._on = run["logLevel"] != "OFF"
        self._place = folder / "logged"
        self._offsets = self._read_offsets()
        self.run_stream = f"run/{run['id']}"
        self.engine_stream = f"{self.run_stream}/engine"

    def say(self, name: str, message: str) -> None:
        """Write an event of the run."""
        event = {"eventTime": timestamp(), "name": name, "runId": self._run["id"], "logMessage": message}
        self._append(self.run_stream, [(_now(), json.dumps(event))])

    def follow(self, attempt: Attempt) -> bool:
        """Pass on what the engine's log has more than the last time, at most 1 MB; tell whether there was anything."""
        offset = self._offsets.get(attempt.token, 0)
        try:
            with attempt.log_file.open("rb") as file:
                file.seek(offset)
                piece = file.read(PIECE_BYTES)
        except FileNotFoundError:
            return False
        end = piece.rfind(b"\n") + 1
        if not end and len(piece) == PIECE_BYTES:
            end = PIECE_BYTES  # a line that no piece holds is passed on in parts
        if not end:
            return False
        whole = piece[:end]
        self._append(self.engine_stream, [engine_line(line) for line in whole.splitlines()])
        self._offsets[attempt.token] = offset + end
        # After a kill some lines may be told again, and none is lost.
        self._place.write_text(json.dumps(self._offsets), encoding="ascii")
        return True

    def task_ended(self, row: Body, report: TaskReport, said: Iterable[Path]) -> None:
        """Write that a task ended, and what it said into the files `said`."""
        self.say("TASK_" + str(row["status"]), f"Task {row['taskId']} ({row['name']}) is {row['status']}")
        if not report.cached:
            self._append(str(row["_stream"]), list(_lines(said)))

    def engine_text(self, attempt: Attempt) -> bytes:
        """Return the engine's log for people, at most its last 20 MB."""
        try:
            with attempt.log_file.open("rb") as file:
                file.seek(max(0, attempt.log_file.stat().st_size - ENGINE_BYTES))
                lines = [engine_line(line)[1] for line in file.read().splitlines()]
        except FileNotFoundError:
            return b"The engine was not started.\n"
        return "".join(f"{line}\n" for line in lines).encode()

    def finish(self, run: Body, tasks: list[Body], attempt: Attempt) -> None:
        """Write the run's last event and the manifest, once."""
        if self._offsets.get("finished"):
            return
        while self.follow(attempt):
            pass
        self.say("RUN_" + str(run["status"]), f"Run {run['id']} is {run['status']}")
        lines = [(_now(), line) for line in manifest_lines(self._service, run, tasks, disk_bytes(attempt.work))]
        self._append(f"manifest/run/{run['id']}/{run['uuid']}", lines)
        self._offsets["finished"] = 1
        self._place.write_text(json.dumps(self._offsets), encoding="ascii")

    def _append(self, stream: str, messages: list[tuple[int, str]]) -> None:
        if self._on and messages:
            logs.append(self._service, stream, messages)

    def _read_offsets(self) -> dict[str, int]:
        try:
            found = json.loads(self._place.read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def engine_line(line: bytes) -> tuple[int, str]:
    """Return a line of the engine's log as its time in milliseconds since 1970 and its words."""
    text = line.decode(errors="replace")
    try:
        entry = json.loads(text)
        moment = datetime.fromtimestamp(entry["timestamp"], UTC)
        rest = {key: value for key, value in entry.items() if key not in SHOWN_FIRST}
        words = [moment.isoformat(timespec="milliseconds"), *(str(entry.get(key, "")) for key in SHOWN_FIRST[2:])]
        more = [json.dumps(rest, ensure_ascii=False)] if rest else []
        return int(entry["timestamp"] * 1000), " ".join(words + more)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return _now(), text


def _lines(said: Iterable[Path]) -> Iterator[tuple[int, str]]:
    for path in said:
        with suppress(OSError), path.open("rb") as file:
            size = path.stat().st_size
            file.seek(max(0, size - TASK_BYTES))
            moment = int(path.stat().st_mtime * 1000)
            for line in file.read().decode(errors="replace").splitlines():
                yield moment, line


def disk_bytes(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _now() -> int:
    return int(time.time() * 1000)
