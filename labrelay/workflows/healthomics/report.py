"""What happened in a run of HealthOmics: its tasks, outputs, logs, failure, cost and what was reserved in vain."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labrelay.model.errors import LabrelayError
from labrelay.model.names import printable
from labrelay.model.runs import CostItem, RunReport, TaskReport
from labrelay.model.states import RunState
from labrelay.stores.aws import Aws, aws_errors
from labrelay.workflows.definition import READY2RUN
from labrelay.workflows.healthomics import failures, logs
from labrelay.workflows.healthomics.advice import advise, metrics_of, number
from labrelay.workflows.healthomics.listing import Item, run_tasks
from labrelay.workflows.healthomics.outputs import NOTHING, bring, bring_engine_log, read_outputs
from labrelay.workflows.healthomics.pricing import Prices
from labrelay.workflows.healthomics.states import STATES

log = logging.getLogger(__name__)
GIB = 1 << 30
DETAILED = 20  # failed tasks whose details and last words are asked for
TOOL_VERSIONS = "tool_versions"
ENGINE = "AWS HealthOmics"


@dataclass(frozen=True)
class _Task:
    """One task from all that is said of it: ListRunTasks, GetRunTask where it failed, the manifest."""

    name: str
    item: Item
    details: Item
    entry: Mapping[str, Any]
    tail: tuple[str, ...]


def report_of(aws: Aws, run: Item, folder: Path, prices: Prices) -> RunReport:
    """Return the report of an ended run, its output files brought to `folder`.

    Cost: a call per hundred tasks, one per failed task (twenty at most), two or three for logs, two an output file.

    Args:
        aws: Where.
        run: GetRun's answer.
        folder: For this attempt's files.
        prices: Of the run's Region.

    Raises:
        StorageFailed: Outputs could not be brought here; asking again goes on where it stopped.
    """
    state = state_of(run)
    entries = logs.manifest(aws, str(run["id"]), str(run["uuid"]))
    about = next((entry for entry in entries if ":run/" in str(entry.get("arn"))), {})
    tasks = _tasks(aws, run, entries)
    outputs = read_outputs(aws, str(run["runOutputUri"])) if state is RunState.COMPLETE else None
    if outputs is not None and not outputs:
        state, outputs = RunState.EXECUTOR_ERROR, None
    files, values = ((), {}) if outputs is None else (bring(aws, outputs, folder), outputs.values)
    versions = values.get(TOOL_VERSIONS)
    return RunReport(
        state=state,
        started=_moment(run.get("startTime")),
        ended=_moment(run.get("stopTime")),
        engine=_engine(aws, run),
        files=files,
        values=values,
        tasks=tuple(_task_report(task) for task in tasks),
        logs=_logs(aws, run, folder, tasks),
        failure=None if state is RunState.COMPLETE else _failure(aws, run, tasks),
        tools={str(k): str(v) for k, v in versions.items()} if isinstance(versions, dict) else {},
        costs=_costs(run, about, tasks, prices),
        advice=tuple(advise(about, [(t.name, t.entry) for t in tasks if t.entry and not _cached(t)], prices)),
    )


def _engine(aws: Aws, run: Mapping[str, Any]) -> str:
    """Return what ran it; whoever answers in AWS's place, such as the emulator, is named, as the result is theirs."""
    name = f"{ENGINE} {run.get('engineVersion') or ''}".strip()
    elsewhere = aws.endpoint("omics")
    return f"{name} (answered at {printable(elsewhere, 200)})" if elsewhere else name


def state_of(run: Mapping[str, Any]) -> RunState:
    """Return a run's state as ours; FAILED is told apart by its reason."""
    status = str(run.get("status"))
    if status == "FAILED":
        return failures.judge(run.get("failureReason")).state
    return STATES.get(status, RunState.UNKNOWN)


def run_costs(run: Mapping[str, Any], tasks: Sequence[Item], prices: Prices) -> tuple[CostItem, ...]:
    """Return what a run has cost so far, by its tasks; `run` and `tasks` as GetRun and ListRunTasks say."""
    return _costs(
        run, {}, [_Task(name, item, {}, {}, ()) for name, item in zip(_names(tasks), tasks, strict=True)], prices
    )


def _tasks(aws: Aws, run: Item, entries: Sequence[Mapping[str, Any]]) -> list[_Task]:
    items = run_tasks(aws, str(run["id"]))
    by_id = {str(entry.get("arn")).rpartition(":task/")[2]: entry for entry in entries}
    failed = [item["taskId"] for item in items if item.get("status") == "FAILED"][:DETAILED]
    found = []
    for name, item in zip(_names(items), items, strict=True):
        details = _details(aws, run, item["taskId"]) if item["taskId"] in failed else {}
        stream = details.get("logStream") or f"run/{run['id']}/task/{item['taskId']}"
        tail = logs.last_lines(aws, stream) if details else ()
        found.append(_Task(name, item, details, by_id.get(item["taskId"], {}), tail))
    return found


def _names(items: Sequence[Item]) -> list[str]:
    """Return a name for each task; each try of a task is a task of its own and gets its number behind the name."""
    seen: Counter[str] = Counter()
    names = []
    for item in items:
        name = printable(str(item.get("name") or item["taskId"]))
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}, try {seen[name]}")
    return names


def _details(aws: Aws, run: Item, task_id: str) -> Item:
    try:
        with aws_errors(f"look at the task {task_id}"):
            found: Item = aws.client("omics").get_run_task(id=run["id"], taskId=task_id)
            return found
    except LabrelayError as error:
        log.warning("details of a failed task are missing: %s", error)
        return {}


def _task_report(task: _Task) -> TaskReport:
    item, values = task.item, metrics_of(task.entry)
    average, running = number(values, "cpusAverage"), number(values, "runningSeconds")
    peak = number(values, "memoryMaximumGiB")
    image = task.details.get("imageDetails") or {}
    memory = item.get("memory")
    return TaskReport(
        name=task.name,
        state=_task_state(str(item.get("status"))),
        started=_moment(item.get("startTime")),
        ended=_moment(item.get("stopTime")),
        cached=_cached(task),
        declared_image=image.get("sourceImage") or task.entry.get("image") or image.get("image"),
        ran_in=task.entry.get("imageDigest") or image.get("imageDigest"),
        instance_type=item.get("instanceType"),
        cpus=item.get("cpus"),
        memory_bytes=None if memory is None else int(memory * GIB),
        cpu_seconds=None if average is None or running is None else average * running,
        peak_memory_bytes=None if peak is None else int(peak * GIB),
        stderr_tail="\n".join(task.tail) or task.details.get("statusMessage"),
    )


def _task_state(status: str) -> RunState:
    return {"COMPLETED": RunState.COMPLETE, "FAILED": RunState.EXECUTOR_ERROR}.get(status, RunState.CANCELED)


def _cached(task: _Task) -> bool:
    return bool(task.item.get("cacheHit"))


def _logs(aws: Aws, run: Item, folder: Path, tasks: Sequence[_Task]) -> tuple[str, ...]:
    """Keep what explains a failure, and the engine's log, as files; a log that cannot be had is no reason to fail."""
    kept: list[Path] = []
    try:
        kept += [_keep(folder / "logs" / f"task-{task.item['taskId']}.log", task.tail) for task in tasks if task.tail]
        if run.get("runOutputUri"):
            engine = bring_engine_log(aws, str(run["runOutputUri"]), folder)
            kept += [engine] if engine else []
    except (LabrelayError, OSError) as error:
        log.warning("a log of the run %s was not kept: %s", run["id"], error)
    return tuple(str(path) for path in kept)


def _keep(path: Path, lines: Sequence[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _failure(aws: Aws, run: Item, tasks: Sequence[_Task]) -> str:
    if run.get("status") == "COMPLETED":
        return NOTHING
    if run.get("status") == "CANCELLED":
        return "the run was cancelled; a cancelled run of HealthOmics exports nothing"
    # A task that was tried again and then succeeded did not fail the run.
    failed = next((task for task in reversed(tasks) if task.item.get("status") == "FAILED"), None)
    if failed is not None:
        said = failed.details.get("statusMessage") or run.get("statusMessage")
        return failures.sentence(run.get("failureReason"), said, failed.name, failed.tail)
    stream = (run.get("logLocation") or {}).get("engineLogStream") or f"run/{run['id']}/engine"
    return failures.sentence(run.get("failureReason"), run.get("statusMessage"), None, logs.last_lines(aws, stream))


def _costs(
    run: Mapping[str, Any], about: Mapping[str, Any], tasks: Sequence[_Task], prices: Prices
) -> tuple[CostItem, ...]:
    """Return what a run cost: each task that ran on an instance, and the storage while it ran.

    A Ready2Run workflow has a price a run, which is in no table of ours.
    """
    if run.get("workflowType") == READY2RUN:
        return (CostItem(what=f"Ready2Run workflow {run.get('workflowId')}", quantity=1, unit="run"),)
    items = []
    for task in tasks:
        seconds, instance = _seconds(task.item), task.item.get("instanceType")
        if seconds is not None and instance and not _cached(task):
            items.append(prices.task(task.name, str(instance), seconds))
    seconds = _seconds(run)
    kind = str(run.get("storageType") or "STATIC")
    gib = run.get("storageCapacity") if kind == "STATIC" else number(metrics_of(about), "storageAverageGiB")
    if gib is None:
        # DYNAMIC without a manifest: the maximum is the only figure, and more than what is billed. STATIC: the least.
        gib = run.get("storageCapacity") or 0
    if seconds is not None and (gib or kind == "STATIC"):
        items.append(prices.run_storage(kind, float(gib), seconds))
    return tuple(items)


def _seconds(timed: Mapping[str, Any]) -> float | None:
    """Return how long a run or task was billed, up to now while it runs; None when it never started."""
    start, stop = timed.get("startTime"), timed.get("stopTime")
    if not isinstance(start, datetime):
        return None
    end = stop if isinstance(stop, datetime) else datetime.now(UTC)
    return max(0.0, (end - start).total_seconds())


def _moment(value: Any) -> datetime | None:
    return value.astimezone(UTC) if isinstance(value, datetime) else None
