"""What a command has left in its work folder, as outputs: by the definition's patterns, and by nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from labrelay.model.runs import OutputFile
from labrelay.workflows.command.task import Task
from labrelay.workflows.patterns import fits
from labrelay.workflows.verdict import read_json

VERSIONS = "tool_versions"  # an output of this name, a flat JSON object, says what ran


def read_outputs(work: Path, task: Task) -> tuple[tuple[OutputFile, ...], dict[str, Any]]:
    """Return the files that the outputs name, and the values among them.

    Args:
        work: The work folder of a command that has ended well.
        task: The first of its outputs whose `path` fits a file has it.

    Returns:
        Files in the order of their paths, numbered within an output; and `tool_versions` when it was made.
    """
    files: list[OutputFile] = []
    values: dict[str, Any] = {}
    counts: dict[str, int] = {}
    for path in _made(work):
        relative = PurePosixPath(path.relative_to(work))
        name = next((name for name, spec in task.outputs.items() if spec.path and fits(relative, spec.path)), None)
        if name is None:
            continue
        told = read_json(path) if name == VERSIONS else None
        if isinstance(told, dict):
            values[VERSIONS] = told
            continue
        index = counts.get(name, 0)
        counts[name] = index + 1
        files.append(OutputFile(output=name, index=index, path=str(path), task=task.name))
    return tuple(files), values


def missing_outputs(work: Path, task: Task) -> list[str]:
    """Return the names of the outputs that have to be there and are not."""
    files, values = read_outputs(work, task)
    there = {file.output for file in files} | values.keys()
    return [name for name, spec in task.outputs.items() if not spec.optional and name not in there]


def _made(work: Path) -> Iterator[Path]:
    """Yield the files below the work folder in order of their paths, but for names that are no text (UTF-8).

    A link counts when it leads to a file of the work folder. One that leads out of it does not: the command may have
    made it where no such file was to be seen.
    """
    root = work.resolve()
    found = [Path(place, name) for place, _, files in os.walk(work) for name in files]
    for path in sorted(path for path in found if _is_text(path)):
        if path.is_file() and path.resolve().is_relative_to(root):
            yield path


def _is_text(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
