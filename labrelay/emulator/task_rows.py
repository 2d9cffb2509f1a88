"""The tasks of a run as ListRunTasks shows them, kept in step with what the engine says of them while it runs."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from labrelay.emulator.instances import whole_cpus, whole_gib
from labrelay.emulator.run_states import ENDED, announce_task
from labrelay.emulator.service import Service, timestamp
from labrelay.emulator.state import Body
from labrelay.model.runs import TaskReport
from labrelay.model.states import RunState
from labrelay.workflows.healthomics.pricing import smallest_instance

FIRST_ID = 5_000_001
NAME_CHARS = 128
STATES = {
    RunState.INITIALIZING: "STARTING",
    RunState.RUNNING: "RUNNING",
    RunState.COMPLETE: "COMPLETED",
    RunState.EXECUTOR_ERROR: "FAILED",
    RunState.CANCELED: "CANCELLED",
}


class TaskRows:
    """The rows of one run, by the name of the call."""

    def __init__(self, service: Service, run: Body) -> None:
        self._service, self._run = service, run
        with service.state.read() as state:
            self._rows = {body["name"]: body for body in state.each("task", run["id"])}

    @property
    def rows(self) -> list[Body]:
        """The rows in the order of their making."""
        return list(self._rows.values())

    def update(self, tasks: Iterable[TaskReport]) -> list[tuple[Body, TaskReport]]:
        """Write what has changed, and return the rows that have ended by it, each with the engine's report."""
        changed: list[tuple[Body, TaskReport]] = []
        for task in tasks:
            row = self._rows.get(task.name[:NAME_CHARS])
            # What has ended stays as it is: a later attempt finds it in the cache, which is no news.
            if row is not None and row["status"] in ENDED and row["status"] != "CANCELLED":
                continue
            wanted = STATES.get(task.state, "RUNNING")
            if row is None or row["status"] != wanted:
                changed.append((self._row(row, task, wanted), task))
        self._write(row for row, _ in changed)
        return [(row, task) for row, task in changed if row["status"] in ENDED]

    def end(self, status: str) -> None:
        """Give every task that has not ended the same end."""
        left = [row for row in self._rows.values() if row["status"] not in ENDED]
        for row in left:
            row |= {"status": status, "stopTime": timestamp()}
        self._write(left)

    def save(self, row: Body) -> None:
        """Write a row that was changed otherwise than in its state."""
        with self._service.state.write() as state:
            state.put("task", row["taskId"], row, self._run["id"])

    def _write(self, rows: Iterable[Body]) -> None:
        rows = list(rows)
        if not rows:
            return
        with self._service.state.write() as state:
            for row in rows:
                if "taskId" not in row:
                    row["taskId"] = str(state.next_number("task", FIRST_ID))
                    stream = f"run/{self._run['id']}/task/{row['taskId']}"
                    group = f"log-group:/aws/omics/WorkflowLog:log-stream:{stream}"
                    row["logStream"] = f"arn:aws:logs:{self._service.region}:{self._service.account}:{group}"
                    row["_stream"] = stream
                state.put("task", row["taskId"], row, self._run["id"])
                self._rows[row["name"]] = row
        for row in rows:
            announce_task(self._service, self._run, row)

    def _row(self, row: Body | None, task: TaskReport, status: str) -> Body:
        now = timestamp()
        cpus, memory = whole_cpus(task.cpus), whole_gib(task.memory_bytes)
        row = row or {"name": task.name[:NAME_CHARS], "uuid": str(uuid.uuid4()), "creationTime": now}
        started = _time(task.started)
        row |= {"status": status, "cpus": cpus, "memory": memory, "gpus": 0, "cacheHit": task.cached}
        instance = smallest_instance(cpus, memory, self._service.region)
        if instance is not None:
            row["instanceType"] = instance
        if task.declared_image:
            row["imageDetails"] = {"image": task.declared_image}
        if task.cached:
            # It did no work now: the times are of the moment in which its result was taken.
            row |= {"startTime": now, "stopTime": now}
            return row
        if started is not None:
            row["startTime"] = started
            row["creationTime"] = min(row["creationTime"], started)
        if status in ENDED:
            row.setdefault("startTime", row["creationTime"])
            row["stopTime"] = max(_time(task.ended) or now, row["startTime"])
        row["_metrics"] = measured(task)
        return row


def measured(task: TaskReport) -> dict[str, Any]:
    """Return what a task used, as far as it was measured: seconds of all processors, and bytes at the peak."""
    return {"cpu_seconds": task.cpu_seconds, "peak_memory_bytes": task.peak_memory_bytes}


def _time(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
