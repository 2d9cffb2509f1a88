"""How runs are executed here: `runs.toml` in the data folder, all of it optional.

concurrency = 4            # runs at one time; the others stay PENDING
sandbox = "auto"           # what holds tasks, as in labrelay.toml
tool_path = ["/opt/bin"]   # where tasks search for programs first
staged_gib = 100           # inputs that are kept for later runs; beyond it, those go that were not used for longest
reuse_run_ids = false      # give ids of deleted runs to new runs, as HealthOmics may

[images]                   # container images and what starts them; "local": commands of this machine
"*" = "local"
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from labrelay.model.errors import UsageError
from labrelay.model.problem import Frozen
from labrelay.workflows.local.sandbox import Setting

FILE_NAME = "runs.toml"


class RunSettings(Frozen):
    """The settings of `runs.toml`.

    Attributes:
        concurrency: Runs at one time.
        sandbox: What holds tasks.
        tool_path: Folders that tasks search for programs first.
        staged_gib: GiB of inputs that are kept for later runs; looked at when no run is under way.
        reuse_run_ids: Whether new runs get the ids of deleted ones.
        images: What starts a task's container image, by pattern; an image that fits none cannot be started.
    """

    concurrency: int = Field(default=max(2, os.cpu_count() or 2), ge=1, le=1_000)
    sandbox: Setting = "auto"
    tool_path: tuple[str, ...] = ()
    staged_gib: float = Field(default=100, ge=0)
    reuse_run_ids: bool = False
    images: dict[str, Literal["local"]] = {"*": "local"}


def load_settings(folder: Path) -> RunSettings:
    """Read the settings of a data folder; without a file they are the defaults.

    Raises:
        UsageError: The file says something that cannot be.
    """
    path = folder / FILE_NAME
    try:
        return RunSettings.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return RunSettings()
    except (ValueError, ValidationError) as error:
        raise UsageError(f"The settings {path} cannot be used: {error}") from None
