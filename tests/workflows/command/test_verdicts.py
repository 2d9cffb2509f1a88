"""What the end of a command means, from the files that are left: complete is only what nobody had a hand in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labrelay.model.states import RunState
from labrelay.workflows.command.failure import judge
from labrelay.workflows.command.task import Folders, Task
from labrelay.workflows.specs import OutputSpec

USED = {"started": 1.0, "seconds": 1.0, "cpu_seconds": 0.1, "peak_memory_bytes": 1}


def left(root: Path, exit_code: int | None, stopped: str | None = None) -> Folders:
    """Write what an attempt leaves behind, with its output made in any case; no exit code means: nobody saw the end."""
    folders = Folders(root)
    folders.work.mkdir()
    (folders.work / "made.txt").write_text("x")
    folders.stderr.write_text("so it ends\n")
    outputs = {"made": OutputSpec(path="made.txt")}
    task = Task(name="tiny", argv=("x",), outputs=outputs, ran_in="here", cpus=1, memory_bytes=1, minutes=2)
    folders.task_file.write_text(task.model_dump_json())
    if exit_code is not None:
        folders.usage_file.write_text(json.dumps({"exit_code": exit_code, "stopped": stopped, **USED}))
    return folders


@pytest.mark.parametrize(
    ("code", "exit_code", "stopped", "cancelled", "state"),
    [
        (0, 0, None, False, RunState.COMPLETE),
        (0, 0, None, True, RunState.COMPLETE),
        (0, 0, "request", True, RunState.CANCELED),
        (0, 0, "request", False, RunState.SYSTEM_ERROR),
        (0, 0, "limit", False, RunState.EXECUTOR_ERROR),
        (0, None, None, False, RunState.SYSTEM_ERROR),
        (137, None, None, True, RunState.CANCELED),
        (137, 0, None, False, RunState.SYSTEM_ERROR),
        (0, 3, None, False, RunState.SYSTEM_ERROR),
        (3, 3, None, False, RunState.EXECUTOR_ERROR),
        (3, 3, None, True, RunState.CANCELED),
        (137, 137, None, False, RunState.EXECUTOR_ERROR),
    ],
)
def test_each_end_has_its_state(
    tmp_path: Path, code: int, exit_code: int | None, stopped: str | None, cancelled: bool, state: RunState
) -> None:
    verdict = judge(left(tmp_path, exit_code, stopped), tmp_path / "engine.log", code, cancelled)
    assert verdict.state is state
    assert (verdict.message is None) is (state is RunState.COMPLETE)


def test_an_attempt_that_was_not_prepared_is_the_machines_fault(tmp_path: Path) -> None:
    assert judge(Folders(tmp_path), tmp_path / "engine.log", 1, cancelled=False).state is RunState.SYSTEM_ERROR


def test_what_was_written_in_halves_is_read_as_nothing(tmp_path: Path) -> None:
    folders = left(tmp_path, 0)
    folders.usage_file.write_text(folders.usage_file.read_text()[:20])
    assert folders.usage() is None
    assert judge(folders, tmp_path / "engine.log", 0, cancelled=False).state is RunState.SYSTEM_ERROR
