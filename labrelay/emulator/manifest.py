"""The manifest of a run: what it was asked, what it used, and the same of each task, one JSON object an event.

Processors and memory are measured on the real processes. Their mean use and the peak of memory are known, the course
between is not: the highest use of processors is given as the mean, the mean of memory as its peak.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from labrelay.emulator.instances import GIB
from labrelay.emulator.service import Service
from labrelay.emulator.state import Body

RUN_MEMBERS = (
    "arn",
    "name",
    "uuid",
    "status",
    "workflowType",
    "digest",
    "roleArn",
    "startedBy",
    "outputUri",
    "runOutputUri",
    "parameters",
    "resourceDigests",
    "storageType",
    "storageCapacity",
    "failureReason",
    "statusMessage",
)
TASK_MEMBERS = ("name", "uuid", "status", "cpus", "gpus", "memory", "instanceType", "failureReason", "statusMessage")
TIMES = ("creationTime", "startTime", "stopTime")
DIGITS = 6


def manifest_lines(service: Service, run: Body, tasks: list[Body], disk_bytes: int) -> Iterator[str]:
    """Yield the run's object, then each task's.

    Args:
        service: For ARNs.
        run: A run that ends, its `stopTime` known.
        tasks: Its task rows.
        disk_bytes: What the run took on disk.
    """
    about = {name: run[name] for name in RUN_MEMBERS if name in run}
    about |= _times(run)
    definition = run["_definition"]
    about |= {
        "workflow": service.arn("workflow", run["workflowId"]),
        "engine": definition["engine"],
        "main": definition["main"],
        "metrics": _run_metrics(run, tasks, disk_bytes),
    }
    yield json.dumps(about)
    for task in tasks:
        yield json.dumps(_task(service, run, task))


def _task(service: Service, run: Body, task: Body) -> dict[str, Any]:
    about = {name: task[name] for name in TASK_MEMBERS if name in task}
    about |= _times(task)
    about |= {"arn": service.arn("task", task["taskId"]), "run": run["arn"], "cacheHit": task["cacheHit"]}
    if "imageDetails" in task:
        about["image"] = task["imageDetails"]["image"]
    return about | {"metrics": _task_metrics(task)}


def _task_metrics(task: Body) -> dict[str, float]:
    seconds = seconds_of(task)
    measured = task.get("_metrics", {})
    metrics: dict[str, float] = {
        "cpusReserved": task["cpus"],
        "gpusReserved": task["gpus"],
        "memoryReservedGiB": task["memory"],
        "runningSeconds": round(seconds, DIGITS),
    }
    if measured.get("cpu_seconds") is not None and seconds > 0:
        mean = round(measured["cpu_seconds"] / seconds, DIGITS)
        metrics |= {"cpusMaximum": mean, "cpusAverage": mean}
    if measured.get("peak_memory_bytes") is not None:
        peak = round(measured["peak_memory_bytes"] / GIB, DIGITS)
        metrics |= {"memoryMaximumGiB": peak, "memoryAverageGiB": peak}
    return metrics


def _run_metrics(run: Body, tasks: list[Body], disk_bytes: int) -> dict[str, float]:
    used = round(disk_bytes / GIB, DIGITS)
    metrics = {
        "runningSeconds": round(seconds_of(run), DIGITS),
        "cpusReserved": max((task["cpus"] for task in tasks), default=0),
        "gpusReserved": 0,
        "memoryReservedGiB": max((task["memory"] for task in tasks), default=0),
        "storageMaximumGiB": used,
        "storageAverageGiB": used,
    }
    return metrics | ({"storageReservedGiB": run["storageCapacity"]} if "storageCapacity" in run else {})


def seconds_of(body: Body) -> float:
    """Return the seconds from `startTime` to `stopTime`, 0 when it never started."""
    if "startTime" not in body or "stopTime" not in body:
        return 0.0
    began, ended = (datetime.fromisoformat(body[name]) for name in ("startTime", "stopTime"))
    return max(0.0, (ended - began).total_seconds())


def _times(body: Body) -> dict[str, str]:
    """Return the times with microseconds, the one format that AWS' own analyzer reads."""
    return {name: body[name].replace("Z", "000Z") for name in TIMES if name in body}
