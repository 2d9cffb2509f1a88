"""Workflow runs: what is asked of an engine and what it reports. Identity and tokens are made here, nowhere else."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from labrelay.model.canonical import JSONValue, digest
from labrelay.model.files import FileRole
from labrelay.model.ids import derived_id
from labrelay.model.problem import Frozen
from labrelay.model.states import RunState

Parameters = dict[str, Any]
Priority = Literal["low", "normal", "high"]


class WorkflowVersion(Frozen):
    """A workflow definition's bundle: name and version for people, the digest as its identity.

    Attributes:
        name: lower_snake.
        version: As `definition.toml` says.
        digest: SHA-256 of the reproducible bundle (zip).
        language: `WDL`, `NEXTFLOW` or `COMMAND`.
        main: The main file inside the bundle.
    """

    name: str
    version: str
    digest: str
    language: str
    main: str


class RunInput(Frozen):
    """One file that goes into a run: role and index as the workflow names it, and the file's identity."""

    role: str
    index: int = 0
    identity: tuple[str, str, str]


def run_key(
    engine: str,
    workflow_digest: str,
    parameters: JSONValue,
    inputs: tuple[RunInput, ...],
    generation: int = 0,
) -> str:
    """Return `WorkflowRun.key`: SHA-256 over what is computed, on which data, by which engine.

    Asking twice for the same key is the same workflow run. `parameters` is the canonical JSON of all parameters with
    the sample's id and revision; `generation` is raised by `--force` and by reprocessing.
    """
    ordered = sorted(inputs, key=lambda i: (i.role, i.index, i.identity))
    files: list[JSONValue] = [[i.role, i.index, *i.identity] for i in ordered]
    return digest([engine, workflow_digest, parameters, files, generation])


def run_id_of(key: str) -> str:
    """Return the id shown to people, `run_…`, of the workflow run with this key."""
    return derived_id("run", key)


def attempt_token(key: str, number: int) -> str:
    """Return the token of the attempt (from 1): 40 digits of the key and the number.

    It is HealthOmics' `requestId`, the Batch job's name suffix and the run folder's name.
    """
    return f"{key[:40]}-{number}"


class RunRequest(Frozen):
    """What an engine is asked to do; it is committed to the records before the engine sees it.

    Attributes:
        token: The attempt's token.
        key: The workflow run's key; work folder and call cache belong to it.
        run_id: For messages, `run_…`.
        workflow: Which bundle.
        bundle: Path or URI of the bundle (a zip).
        inputs: The engine's input JSON, complete and validated; files as local paths or URIs.
        labels: Ids and names for logs and tags; no personal data.
        published: The path that stands for a pipeline's publish folder among its inputs. None: the engine sets the
            parameter that the definition names.
        read_sets: Ids of the read sets that the inputs lead to; they have to be readable before the engine starts.
        priority: Before which others it shall go, where the engine can tell.
    """

    token: str
    key: str
    run_id: str
    workflow: WorkflowVersion
    bundle: str
    inputs: Parameters
    labels: dict[str, str] = {}
    published: str | None = None
    read_sets: tuple[str, ...] = ()
    priority: Priority = "normal"


class EngineStatus(Frozen):
    """An engine's word on one attempt: state, when it says so, and a sentence when it is not well.

    Attributes:
        under_way: The tasks that work now, each with its instance type where it has one: `align on omics.c.large`.
        usd: What the attempt has cost so far, None where it costs nothing by itself or nobody looked.
    """

    state: RunState
    at: datetime
    message: str | None = None
    tasks_done: int = 0
    tasks_started: int = 0
    tasks_total: int | None = None
    under_way: tuple[str, ...] = ()
    usd: float | None = None


class CostItem(Frozen):
    """One line of what an attempt cost.

    Attributes:
        what: What is billed, unique within the attempt: `task align (omics.c.large)`, `run storage`.
        quantity, unit: How much of it was used, such as 0.25 `h`.
        price: USD for one unit, None when no price is known.
        usd: What it costs, None when no price is known.
        source: Where the price is from and of when.
    """

    what: str
    quantity: float
    unit: str
    price: float | None = None
    usd: float | None = None
    source: str | None = None


class Advice(Frozen):
    """What a task, or the run's storage, reserved and hardly used.

    Attributes:
        task: The task's name, or `run storage`.
        resource: `cpu`, `memory` or `storage`.
        reserved, used: What was asked for and the measured maximum, in `unit`.
        unit: `vCPU` or `GiB`.
        suggestion: One sentence: what to ask for, and what that would save when it is known.
    """

    task: str
    resource: str
    reserved: float
    used: float
    unit: str
    suggestion: str


class TaskReport(Frozen):
    """One task of a run as it happened.

    Attributes:
        name: The call's name with its shard, as the engine gives it.
        state: COMPLETE, EXECUTOR_ERROR or CANCELED.
        cached: True when the engine took an earlier result.
        command: The rendered command, when the engine keeps it.
        declared_image: What the definition asks for.
        ran_in: What really ran it: `bubblewrap`, `host process`, an image digest …
        instance_type: What machine was billed for it, where machines are.
        cpus, memory_bytes: As scheduled.
        cpu_seconds, peak_memory_bytes: As measured, None when not measured.
    """

    name: str
    state: RunState
    started: datetime | None = None
    ended: datetime | None = None
    exit_code: int | None = None
    cached: bool = False
    command: str | None = None
    declared_image: str | None = None
    ran_in: str | None = None
    instance_type: str | None = None
    cpus: float | None = None
    memory_bytes: int | None = None
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None
    stderr_tail: str | None = None
    inputs: dict[str, Any] = {}
    outputs: dict[str, Any] = {}


class OutputFile(Frozen):
    """A file that the run produced: the output's name in the workflow, its index there, and where it is now."""

    output: str
    index: int = 0
    path: str
    task: str | None = None
    role: FileRole = FileRole.OUTPUT


class RunReport(Frozen):
    """What happened in an attempt, read from the engine after its end.

    Attributes:
        files: Output files, each with the workflow output that names it.
        values: Outputs that are not files.
        logs: Paths of the engine's own logs, the most useful first.
        failure: One sentence with the failing task and its last words, when it failed.
        engine: Name and version of what ran it, such as `miniwdl 1.16.0`.
        sandbox: What held the tasks: `bubblewrap` or `host processes`, docker …
        tools: Versions of the tools, when the run recorded them.
        costs: What it cost, where the engine bills.
        advice: What was reserved and hardly used.
    """

    state: RunState
    started: datetime | None = None
    ended: datetime | None = None
    engine: str
    sandbox: str | None = None
    files: tuple[OutputFile, ...] = ()
    values: dict[str, Any] = {}
    tasks: tuple[TaskReport, ...] = ()
    logs: tuple[str, ...] = ()
    failure: str | None = None
    exit_code: int | None = None
    tools: dict[str, str] = Field(default_factory=dict)
    costs: tuple[CostItem, ...] = ()
    advice: tuple[Advice, ...] = ()
