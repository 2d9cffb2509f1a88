"""The first part of an attempt with inputs on AWS: a process of its own brings them here, then the engine starts.

runs/<token>/bring.json    whence and whither, by `submit`, which waits for no byte
runs/<token>/brought.json  the inputs as local paths, or why they are not here, by that process (`workflows.bringing`)

This side of it knows nothing of AWS: a home that has nothing there pays for no client of it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from labrelay.model.errors import MissingTool
from labrelay.model.problem import Frozen
from labrelay.model.runs import Parameters, RunReport
from labrelay.model.states import RunState
from labrelay.stores.durable import write_json_atomic
from labrelay.workflows.local.home import Attempt
from labrelay.workflows.local.program import Launch
from labrelay.workflows.report_paths import with_paths
from labrelay.workflows.verdict import Verdict, died

SCHEMES = ("s3://", "omics://")
CANCELLED = "Cancelled on request while its inputs were brought here; a new attempt goes on with what has come."


class Bring(Frozen):
    """Where inputs come from and go to; the fields are those of `stores.aws.Aws`.

    Attributes:
        folder: What is brought lies there for all runs.
    """

    folder: str
    region: str | None = None
    endpoint_url: str | None = None
    profile: str | None = None


class Brought(Frozen):
    """What came of it.

    Attributes:
        inputs: With local paths.
        origins: By local path, the URI that was asked for.
        state, message: How the attempt ends, if the inputs could not be had.
    """

    inputs: Parameters = {}
    origins: dict[str, str] = {}
    state: RunState | None = None
    message: str | None = None


def bring_file(attempt: Attempt) -> Path:
    """Return the file that says that inputs have to be brought; without it there is nothing to bring."""
    return attempt.folder / "bring.json"


def ask_for(attempt: Attempt, inputs: Parameters, bring: Bring) -> None:
    """Note that the inputs have to be brought, if any of them is on AWS.

    Raises:
        MissingTool: What asks AWS is not installed.
        StorageFailed: The disk did not take the note.
    """
    if not _on_aws(inputs):
        return
    if importlib.util.find_spec("boto3") is None:
        raise MissingTool("inputs on AWS need boto3: pip install 'labrelay[aws]'")
    write_json_atomic(bring_file(attempt), bring.model_dump(mode="json"))


def brought(attempt: Attempt) -> Brought | None:
    """Return what came of it, None when nothing has yet."""
    try:
        return Brought.model_validate_json((attempt.folder / "brought.json").read_bytes())
    except (OSError, ValidationError):
        return None


def write_brought(attempt: Attempt, content: Brought) -> None:
    """Write what came of it."""
    write_json_atomic(attempt.folder / "brought.json", content.model_dump(mode="json"))


def with_origins(attempt: Attempt, report: RunReport) -> RunReport:
    """Return the report with its inputs under the names that were asked for."""
    told = brought(attempt) if bring_file(attempt).exists() else None
    return report if told is None else with_paths(report, told.origins)


class Nothing:
    """No tasks, as long as inputs come."""

    started = done = 0

    def update(self) -> bool:
        """Tell that no count has changed."""
        return False


class Bringing:
    """What the runner starts before the engine program, and judges like one."""

    def launch(self, attempt: Attempt) -> Launch:
        """Say how it is started: with the whole environment, where credentials may be; no task has a part in it."""
        argv = [sys.executable, "-P", "-m", "labrelay.workflows.bringing", str(attempt.home.root), attempt.token]
        return Launch(argv=argv, env=dict(os.environ), folder=attempt.folder, sandbox="")

    def progress(self, attempt: Attempt) -> Nothing:  # noqa: ARG002 (as programs have it)
        """Return a counter that stays at nothing."""
        return Nothing()

    def judge(self, attempt: Attempt, code: int, cancelled: bool) -> Verdict:
        """Return what its end means when the inputs are not here."""
        if cancelled:
            return Verdict(RunState.CANCELED, CANCELLED)
        told = brought(attempt)
        if told is None or told.state is None:
            return Verdict(RunState.SYSTEM_ERROR, died(attempt.log_file, code))
        return Verdict(told.state, told.message)


def _on_aws(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_on_aws(each) for each in value.values())
    if isinstance(value, list | tuple):
        return any(_on_aws(each) for each in value)
    return isinstance(value, str) and value.startswith(SCHEMES)
