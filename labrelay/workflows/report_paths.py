"""The same report under other names of its files: what ran elsewhere called them by paths of that place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labrelay.model.runs import RunReport


def with_paths(report: RunReport, names: Mapping[str, str]) -> RunReport:
    """Return a report in which each path that is a key of `names` is what stands there; other texts stay."""
    return report.model_copy(
        update={
            "files": tuple(f.model_copy(update={"path": names.get(f.path, f.path)}) for f in report.files),
            "logs": tuple(names.get(path, path) for path in report.logs),
            "tasks": tuple(
                task.model_copy(
                    update={"inputs": _renamed(task.inputs, names), "outputs": _renamed(task.outputs, names)}
                )
                for task in report.tasks
            ),
        }
    )


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _renamed(each, names) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_renamed(each, names) for each in value]
    return names.get(value, value) if isinstance(value, str) else value
