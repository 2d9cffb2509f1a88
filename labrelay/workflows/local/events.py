"""A task plugin of miniwdl that leaves beside each task what was declared for it, so that a report needs no log."""

from __future__ import annotations

import json
import logging
from collections.abc import Generator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

TASK_FILE = "labrelay-task.json"
USAGE_FILE = "labrelay-usage.json"


class ImageRefused(Exception):
    """A task names no container image, or one that it may not name here; miniwdl keeps this class's name and text."""


def check_image(cfg: Any, image: str | None) -> None:
    """Raise `ImageRefused` unless the image may be named; where no patterns are set, anything may, also none."""
    if not cfg.has_option("labrelay", "images"):
        return
    if image is None:
        raise ImageRefused("the task declares no container image in its runtime section")
    if not any(fnmatchcase(image, pattern) for pattern in json.loads(cfg["labrelay"]["images"])):
        raise ImageRefused(f"the container image {image} is none that can be started here")


def task_events(
    cfg: Any, _logger: logging.Logger, run_id: list[str], run_dir: str, task: Any, **recv: Any
) -> Generator[dict[str, Any], dict[str, Any], None]:
    """Write the task's name, image, cpus, memory and backend to `labrelay-task.json` in its folder.

    It does nothing in runs of miniwdl that Labrelay did not start. miniwdl asks for this shape: a generator that gets
    the inputs, then the command with its container, then the outputs, and passes each on.
    """
    recv = yield recv
    if cfg.has_option("labrelay", "sandbox"):
        values = recv["container"].runtime_values
        declared = bool({"container", "docker"} & set(task.runtime))
        check_image(cfg, values.get("docker") if declared else None)
        content = {
            "task": task.name,
            "call": run_id[-1],
            "declared_image": values.get("docker"),
            "cpus": values.get("cpu"),
            "memory_bytes": values.get("memory_reservation"),
            "ran_in": cfg["labrelay"]["sandbox"],
        }
        Path(run_dir, TASK_FILE).write_text(json.dumps(content), encoding="utf-8")
    recv = yield recv
    yield recv
