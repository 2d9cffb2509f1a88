"""What a pipeline has published, as outputs: by the definition's patterns, and else by its path."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from labrelay.model.canonical import digest
from labrelay.model.names import slug
from labrelay.model.runs import OutputFile, RunReport
from labrelay.model.states import RunState
from labrelay.stores.durable import storage_errors
from labrelay.workflows.definition import OutputSpec
from labrelay.workflows.nextflow.trace import Traced, named
from labrelay.workflows.patterns import fits
from labrelay.workflows.verdict import read_json

VERSIONS = "tool_versions"  # an output of this name, a flat JSON object, says what ran


def published_files(folder: Path) -> Iterator[Path]:
    """Yield the files below the publish folder in order of their paths.

    Nextflow publishes by links unless it is told otherwise, to files and to whole folders, so links are followed; a
    folder that is met again inside itself is not.
    """
    found: list[Path] = []
    above: dict[str, frozenset[str]] = {str(folder): frozenset({os.path.realpath(folder)})}
    for place, folders, files in os.walk(folder, followlinks=True):
        kept = []
        for name in folders:
            real = os.path.realpath(os.path.join(place, name))  # noqa: PTH118
            if real not in above[place]:
                above[os.path.join(place, name)] = above[place] | {real}  # noqa: PTH118
                kept.append(name)
        folders[:] = kept
        found += [Path(place, name) for name in files]
    yield from sorted(path for path in found if path.is_file())


def read_outputs(
    folder: Path, specs: Mapping[str, OutputSpec], rows: Sequence[Traced]
) -> tuple[tuple[OutputFile, ...], dict[str, Any]]:
    """Return the published files, each with the task that made it, and the values among them.

    Args:
        folder: The publish folder.
        specs: Outputs of the definition; the first whose `path` fits a file names it. A file that fits none is named
            by its path below the folder.
        rows: Of the trace.

    Raises:
        StorageFailed: The disk did not take the copy of a file that is published by a link to outside.

    Returns:
        Files in the order of their paths, numbered within an output; and `tool_versions` when it was published.
    """
    makers = _Makers(rows)
    files: list[OutputFile] = []
    values: dict[str, Any] = {}
    counts: dict[str, int] = {}
    for path in published_files(folder):
        relative = PurePosixPath(path.relative_to(folder))
        name = _name_of(relative, specs)
        told = read_json(path) if name == VERSIONS else None
        if isinstance(told, dict):
            values[VERSIONS] = told
            continue
        index = counts.get(name, 0)
        counts[name] = index + 1
        task = makers.of(path)
        files.append(OutputFile(output=name, index=index, path=str(_own(path, folder.parent)), task=task))
    return tuple(files), values


def named_report(report: RunReport, specs: Mapping[str, OutputSpec]) -> RunReport:
    """Return the report of a pipeline whose engine knew no definition, its files named as `read_outputs` does.

    Args:
        report: Its files are named by their paths below the publish folder; those named otherwise stay.
        specs: Outputs of the definition.
    """
    files: list[OutputFile] = []
    values, counts = dict(report.values), dict[str, int]()
    for file in report.files:
        name = file.output if file.output in specs else _name_of(PurePosixPath(file.output), specs)
        told = read_json(Path(file.path)) if name == VERSIONS else None
        if isinstance(told, dict):
            values[VERSIONS] = told
            continue
        index = counts.get(name, 0)
        counts[name] = index + 1
        files.append(file.model_copy(update={"output": name, "index": file.index if name == file.output else index}))
    tools = report.tools or {str(tool): str(version) for tool, version in values.get(VERSIONS, {}).items()}
    return report.model_copy(update={"files": tuple(files), "values": values, "tools": tools})


def _name_of(path: PurePosixPath, specs: Mapping[str, OutputSpec]) -> str:
    return next((name for name, spec in specs.items() if spec.path and fits(path, spec.path)), str(path))


def _own(path: Path, home: Path) -> Path:
    """Return where a published file really lies; a link to one outside of the run's folder is made a copy first.

    A process may hand an input on untouched, and what is published then is a link to where that lies.
    """
    real = path.resolve()
    if real.is_relative_to(home.parent.resolve()):
        return real
    copy = home / "copied" / digest(str(path)) / slug(path.name)
    if copy.is_file():
        return copy
    with storage_errors(f"copy the published file {path.name}", home):
        copy.parent.mkdir(parents=True, exist_ok=True)
        temp = copy.with_name(f".tmp-{secrets.token_hex(8)}")
        shutil.copyfile(real, temp)
        temp.replace(copy)
    return copy


class _Makers:
    """Which task made a published file: by where a link points, or by name and size in the tasks' work folders."""

    def __init__(self, rows: Sequence[Traced]) -> None:
        self._rows = {name: row for name, row in named(rows).items() if row.state is RunState.COMPLETE}
        self._folders = {row.folder.resolve(): name for name, row in self._rows.items()}
        self._files: dict[tuple[str, int], set[str]] | None = None

    def of(self, path: Path) -> str | None:
        """Return the task's name, None when it cannot be told or two could be meant."""
        real = path.resolve()
        linked = next((self._folders[parent] for parent in real.parents if parent in self._folders), None)
        if linked is not None:
            return linked
        if self._files is None:
            self._files = {}
            for name, row in self._rows.items():
                for made in _made(row.folder):
                    self._files.setdefault((made.name, made.stat().st_size), set()).add(name)
        found = self._files.get((path.name, path.stat().st_size), set())
        return next(iter(found)) if len(found) == 1 else None


def _made(folder: Path) -> Iterator[Path]:
    """Yield the files that a task made itself: inputs are links, and Nextflow's own begin with a dot."""
    for path in folder.rglob("*") if folder.is_dir() else ():
        if not path.is_symlink() and path.is_file() and not path.name.startswith(".command"):
            yield path
