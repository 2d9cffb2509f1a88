"""How runs are executed here: `runs.toml` in the data folder, all of it optional.

concurrency = 4            # runs at one time; the others stay PENDING
sandbox = "auto"           # what holds tasks, as in labrelay.toml
tool_path = ["/opt/bin"]   # where tasks search for programs first
staged_gib = 100           # inputs that are kept for later runs; beyond it, those go that were not used for longest
reuse_run_ids = false      # give ids of deleted runs to new runs, as HealthOmics may

[images]                   # container images and what starts them; "local": commands of this machine
"*" = "local"

[batch]                    # jobs of AWS Batch
vcpus = 4                  # that run at one time; else as many as `concurrency` says
sandbox = "auto"           # auto, bwrap or host; else as above, and auto where that names a container engine
grace_seconds = 30         # what a terminated job may take to stop, before it is killed
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


class BatchSettings(Frozen):
    """The table `[batch]`: how jobs of AWS Batch are executed.

    Attributes:
        vcpus: Of jobs at one time; None: as many as runs at one time.
        sandbox: What holds jobs; None: what holds tasks.
        grace_seconds: What a job may take to stop, when it is asked to, before it is killed.
    """

    vcpus: int | None = Field(default=None, ge=1, le=10_000)
    sandbox: Literal["auto", "bwrap", "host"] | None = None
    grace_seconds: float = Field(default=30, ge=0, le=3600)


class RunSettings(Frozen):
    """The settings of `runs.toml`.

    Attributes:
        concurrency: Runs at one time.
        sandbox: What holds tasks.
        tool_path: Folders that tasks search for programs first.
        staged_gib: GiB of inputs that are kept for later runs; looked at when no run is under way.
        reuse_run_ids: Whether new runs get the ids of deleted ones.
        images: What starts a task's container image, by pattern; an image that fits none cannot be started.
        batch: The same of jobs of AWS Batch.
    """

    concurrency: int = Field(default=max(2, os.cpu_count() or 2), ge=1, le=1_000)
    sandbox: Setting = "auto"
    tool_path: tuple[str, ...] = ()
    staged_gib: float = Field(default=100, ge=0)
    reuse_run_ids: bool = False
    images: dict[str, Literal["local"]] = {"*": "local"}
    batch: BatchSettings = BatchSettings()


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
