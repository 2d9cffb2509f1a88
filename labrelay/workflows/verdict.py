"""What the end of an engine's process means, and the small readers that judge it from the files left behind."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from labrelay.model.states import RunState

NOT_FOUND = 127  # a shell's exit status when there is no such command
HINTS = {
    126: "the program is there but may not be executed",
    137: "the task was killed, most often because it ran out of memory: raise its memory",
    139: "the program crashed (segmentation fault)",
    143: "the task was asked to stop",
}
DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded")
STDERR_LINES = 5
TAIL_BYTES = 8192


@dataclass(frozen=True)
class Verdict:
    """What the end of an engine process means: the state and, unless all is well, a sentence."""

    state: RunState
    message: str | None = None


def task_failure(task: str, status: int, stderr: Path) -> str:
    """Return the sentence for a task whose command failed: which task, how, its last words, and a hint."""
    lines = last_lines(stderr)
    sentence = f"Task {task} failed with exit status {status}"
    if status == NOT_FOUND:
        missing = next((line for line in reversed(lines) if "not found" in line or "No such file" in line), "")
        sentence += f": a command was not found ({missing.strip()})" if missing else ": a command was not found"
        return sentence + "; install it, or add its folder to PATH."
    if status in HINTS:
        sentence += f": {HINTS[status]}"
    said = " | ".join(line.strip() for line in lines if line.strip())
    return f"{sentence}; it last said: {said}" if said else f"{sentence} and said nothing on standard error."


def disk_is_full(stderr: Path) -> bool:
    """Tell whether a task's last words are about a full disk, which is no fault of the workflow."""
    return any(DISK_FULL.search(line) for line in last_lines(stderr))


def died(log: Path, code: int) -> str:
    """Return the sentence for an engine that ended without saying why."""
    how = f"was killed by signal {code - 128}" if code > 128 else f"ended with exit code {code}"
    said = " | ".join(line[:300] for line in last_lines(log, 2))
    return f"The engine {how} without saying why; its log ends: {said or 'nothing'}. A new attempt may succeed."


def last_lines(path: Path, count: int = STDERR_LINES) -> list[str]:
    """Return the last lines of a text file, or nothing if it cannot be read. Reads 8 KB at most."""
    try:
        with path.open("rb") as handle:
            handle.seek(max(0, path.stat().st_size - TAIL_BYTES))
            return handle.read().decode(errors="replace").splitlines()[-count:]
    except OSError:
        return []


def read_json(path: Path) -> Any:
    """Return the parsed file, or None if it is not there or no JSON."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def moment(seconds: float) -> datetime:
    """Return seconds since 1970 as a zone-aware time."""
    return datetime.fromtimestamp(seconds).astimezone()
