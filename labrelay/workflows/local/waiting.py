"""The attempts that have not ended, as the runner sees them: it looks at the folders, not at each attempt at each turn.

A queue may hold thousands. A turn costs two looks at the file system unless something was queued, ended or cancelled.
"""

from __future__ import annotations

import time
from pathlib import Path

from labrelay.workflows.local.home import Attempt, EngineHome

# A file system may give two changes within some milliseconds the same time: a look so soon after one is not the last.
SETTLED_NS = 2_000_000_000


class Waiting:
    """The queue of a home; `attempts` holds it as of the last look, in the order in which it came."""

    def __init__(self, home: EngineHome) -> None:
        self._home = home
        self._queue, self._cancels = _Mark(home.queue), _Mark(home.cancels)
        self.attempts: list[Attempt] = []

    def look(self) -> list[Attempt]:
        """Bring `attempts` up to date; return those that are new, or all after somebody has cancelled something."""
        new: list[Attempt] = []
        if self._queue.moved():
            left = self._home.queued_names()
            self.attempts = [attempt for attempt in self.attempts if attempt.token in left]
            new = self._home.queued(known={attempt.token for attempt in self.attempts})
            self.attempts += new
        return list(self.attempts) if self._cancels.moved() else new


class _Mark:
    """The time of a file or folder, and whether it has moved."""

    def __init__(self, path: Path) -> None:
        self._path, self._seen, self._settled = path, -1, False

    def moved(self) -> bool:
        try:
            now = self._path.stat().st_mtime_ns
        except FileNotFoundError:
            now = 0
        if now == self._seen and self._settled:
            return False
        self._seen, self._settled = now, time.time_ns() - now > SETTLED_NS
        return True
