"""Nextflow's own log, followed while it grows: which tasks were begun, which have ended, and where."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

BEGUN = re.compile(rb" - \[([0-9a-f]{2}/[0-9a-f]{6})\] (Submitted|Re-submitted|Cached) process > (.+)$")
ENDED = re.compile(rb"Task completed > TaskHandler\[id: \d+; name: (.+); status: \w+; exit: (\S+); .*workDir: (.+)\]$")
PIECE = 1 << 20


@dataclass
class Begun:
    """A task that Nextflow has begun, or taken from an earlier attempt.

    Attributes:
        hash: Such as `ab/cdef12`: the beginning of its work folder's path.
        name: The process with its tag: `ALIGN (sample)`.
        cached: Whether an earlier attempt's result was taken.
        number: Which try of the task it is, from 1.
        exit_code: None while it runs.
    """

    hash: str
    name: str
    cached: bool
    number: int = 1
    exit_code: int | None = None


class Follower:
    """Reads the log a piece at a time; memory grows with the number of tasks."""

    def __init__(self, log: Path) -> None:
        self._log, self._offset, self._rest = log, 0, b""
        self.tasks: dict[str, Begun] = {}
        self.started = self.done = 0

    def update(self) -> bool:
        """Read what was added since the last time; tell whether a count has changed."""
        before = (self.started, self.done)
        try:
            with self._log.open("rb") as handle:
                handle.seek(self._offset)
                while piece := handle.read(PIECE):
                    self._offset += len(piece)
                    *lines, self._rest = (self._rest + piece).split(b"\n")
                    for line in lines:
                        self._note(line)
        except FileNotFoundError:
            return False
        return before != (self.started, self.done)

    def _note(self, line: bytes) -> None:
        if b" process > " in line and (begun := BEGUN.search(line)):
            place, how, name = begun[1].decode(), begun[2], begun[3].decode(errors="replace").strip()
            again = sum(task.name == name for task in self.tasks.values()) if how == b"Re-submitted" else 0
            self.tasks[place] = Begun(place, name, how == b"Cached", again + 1)
            # A task that is tried again is the same task.
            self.started += how != b"Re-submitted"
            self.done += how == b"Cached"
        elif b"Task completed > " in line and (ended := ENDED.search(line)):
            self._end("/".join(ended[3].decode(errors="replace").split("/")[-2:])[:9], ended[2])

    def _end(self, place: str, code: bytes) -> None:
        task = self.tasks.get(place)
        if task is not None and task.exit_code is None:
            task.exit_code = int(code) if code.isdigit() else -1
            self.done += task.exit_code == 0
