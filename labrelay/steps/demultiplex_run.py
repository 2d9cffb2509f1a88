"""The workflow that converts a run's base calls, started and waited for on this machine's engine."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

from labrelay.model.errors import EngineFailed
from labrelay.model.instrument import InstrumentRun
from labrelay.model.names import printable
from labrelay.model.runs import RunReport, RunRequest, WorkflowVersion, attempt_token, run_id_of
from labrelay.model.states import RunState
from labrelay.model.words import counted
from labrelay.steps.demultiplex_plan import Plan
from labrelay.steps.home import Home
from labrelay.stores.durable import write_atomic
from labrelay.workflows.definition import Definition
from labrelay.workflows.local.engine import LocalEngine
from labrelay.workflows.local.sandbox import BACKENDS, NAMES

WORKFLOW = "demultiplex"
POLL_SECONDS = 0.3
HOST = NAMES[BACKENDS["host"]]


@dataclass(frozen=True)
class Bundled:
    """The workflow that converts: its definition, the version that it has here, and the bundle of that."""

    definition: Definition
    version: WorkflowVersion
    bundle: Path


@dataclass(frozen=True)
class Asked:
    """What is to be done: run, plan, the sheet's bytes, and `key`, the digest of all that decides the result."""

    source: Path
    run: InstrumentRun
    plan: Plan
    sheet: bytes
    converter: str
    workflow: Bundled
    key: str


def scratch_of(home: Home, key: str) -> Path:
    """Return the folder in which a run is converted: an engine's home of its own, so that nothing of it is left behind.

    It is scratch: `clean` removes it when nobody has written to it for a day.
    """
    return home.scratch / f"demultiplex-{key[:16]}"


def convert(home: Home, engine: LocalEngine, asked: Asked) -> RunReport:
    """Run the workflow, or wait for it where it runs already; return what it made.

    An attempt that failed is followed by another one, which goes on from its finished lanes.

    Raises:
        EngineFailed: The converter failed; the sentence has its last words.
    """
    request = _request(home, engine, asked)
    token = _attempt(engine, asked.key)
    if token not in engine.poll([token]):
        engine.submit(request.model_copy(update={"token": token}))
    while True:
        status = engine.poll([token]).get(token)
        if status is not None and status.state.terminal:
            break
        if status is not None:
            home.progress.now(f"{status.tasks_done} of {counted(status.tasks_started, 'task')} done")
        time.sleep(POLL_SECONDS)
    report = engine.report(token)
    if report.state is not RunState.COMPLETE:
        why = printable(report.failure or status.message or str(report.state.value), 400)
        log = report.logs[0] if report.logs else scratch_of(home, asked.key) / "runs" / token
        raise EngineFailed(f"{asked.run.run_id} could not be converted: {why} (log: {log})")
    return report


def _attempt(engine: LocalEngine, key: str) -> str:
    """Return the token of the first attempt that has not failed, whether it is there or not."""
    number = 1
    while True:
        token = attempt_token(key, number)
        status = engine.poll([token]).get(token)
        if status is None or not status.state.terminal or status.state is RunState.COMPLETE:
            return token
        number += 1


def _request(home: Home, engine: LocalEngine, asked: Asked) -> RunRequest:
    scratch = scratch_of(home, asked.key)
    files = {"plan.json": json.dumps(asked.plan.document, indent=1).encode(), "SampleSheet.csv": asked.sheet}
    for name, content in files.items():
        # Written once: finished tasks count for the next attempt only while their inputs rest.
        if not (scratch / name).is_file() or (scratch / name).read_bytes() != content:
            write_atomic(scratch / name, content)
    # Without a sandbox a task gets a copy of a folder that is its input, which may have terabytes.
    values = {
        "folder" if engine.sandbox == HOST else "run": str(asked.source),
        "plan": str(scratch / "plan.json"),
        "sheet": str(scratch / "SampleSheet.csv"),
        "lanes": list(asked.plan.lanes),
        "converter": asked.converter,
    }
    return RunRequest(
        token=attempt_token(asked.key, 1),
        key=asked.key,
        run_id=run_id_of(asked.key),
        workflow=asked.workflow.version,
        bundle=str(asked.workflow.bundle),
        inputs={asked.workflow.definition.qualified(name): value for name, value in values.items()},
        labels={"instrument_run": asked.run.run_id},
    )
