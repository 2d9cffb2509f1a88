"""Which files went into each task of a pipeline and came out of it, by what lies in the tasks' work folders.

Nextflow stages inputs as links, so what a task read is where its links lead. What a task gave is what the pipeline has
published of it or another task has staged; the rest of its folder is scratch.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from labrelay.model.runs import OutputFile, TaskReport
from labrelay.workflows.nextflow.trace import Traced, named

STAGED, MADE = "staged", "made"  # a folder does not say what the definition calls its files
DEEPEST = 3  # folders that a process stages its inputs into


def with_files(
    tasks: Sequence[TaskReport], rows: Sequence[Traced], files: Sequence[OutputFile]
) -> tuple[TaskReport, ...]:
    """Return the reports with each task's files; cost: one walk of each work folder, not into what is linked.

    Args:
        tasks: Of `task_reports` for the same rows.
        rows: Of the trace.
        files: What was published, each with its task. A file that was published as a copy is the copy to every task.
    """
    folders = {name: row.folder.resolve() for name, row in named(rows).items()}
    staged = {name: tuple(_links(folder)) for name, folder in folders.items()}
    published: dict[str, list[str]] = defaultdict(list)
    copies: dict[str, str] = {}
    for file in files:
        if file.task in folders:
            published[file.task].append(file.path)
            copies |= {str(path): file.path for path in _originals(folders[file.task], Path(file.path))}
    passed = {path for paths in staged.values() for path in paths}
    return tuple(
        task.model_copy(
            update={
                "inputs": _one(STAGED, (copies.get(path, path) for path in staged.get(task.name, ()))),
                "outputs": _one(MADE, [*published[task.name], *_given(folders.get(task.name), passed, copies)]),
            }
        )
        for task in tasks
    )


def _one(name: str, paths: Iterator[str] | list[str]) -> dict[str, list[str]]:
    found = sorted(set(paths))
    return {name: found} if found else {}


def _links(folder: Path, depth: int = DEEPEST) -> Iterator[str]:
    """Yield where the links of a work folder lead; Nextflow's own files begin with a dot."""
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda e: e.name)
    except OSError:
        return
    for entry in found:
        if entry.is_symlink():
            yield os.path.realpath(entry.path)
        elif depth > 1 and entry.is_dir():
            yield from _links(Path(entry.path), depth - 1)


def _originals(folder: Path, copy: Path) -> Iterator[Path]:
    """Yield what a published copy was made of: the files of its name and size in its task's folder, if it is one."""
    if copy.is_relative_to(folder) or not copy.is_file():
        return
    size = copy.stat().st_size
    for path in folder.rglob("*") if folder.is_dir() else ():  # a name may hold what is a pattern
        if path.name == copy.name and not path.is_symlink() and path.is_file() and path.stat().st_size == size:
            yield path


def _given(folder: Path | None, passed: set[str], copies: Mapping[str, str]) -> list[str]:
    """Return what other tasks took from a task's folder and was not published from it."""
    if folder is None:
        return []
    return [path for path in passed if path not in copies and Path(path).is_relative_to(folder)]
