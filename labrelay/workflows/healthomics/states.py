"""HealthOmics' run states as ours, and the time that a state is said to be of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from labrelay.model.states import RunState

LIVE = ("RUNNING", "PENDING", "STARTING", "STOPPING")
STATES = {
    "PENDING": RunState.QUEUED,
    "STARTING": RunState.INITIALIZING,
    "RUNNING": RunState.RUNNING,
    # Machines are given back, after success and failure alike: not an end yet.
    "STOPPING": RunState.RUNNING,
    "COMPLETED": RunState.COMPLETE,
    "CANCELLED": RunState.CANCELED,
}
ENDED = frozenset({"COMPLETED", "CANCELLED", "FAILED"})
ORDER = {"PENDING": 0, "STARTING": 1, "RUNNING": 2, "STOPPING": 3, "COMPLETED": 4, "CANCELLED": 4, "FAILED": 4}


def state_time(run: Mapping[str, Any]) -> datetime:
    """Return when a run (of ListRuns or GetRun) entered its state, as far as HealthOmics says it.

    It depends on nothing but the answer, so that two looks, or an event and a look, say the same.
    """
    entered = {"RUNNING": ["startTime"], "STOPPING": ["startTime"]}
    ended = ["stopTime", "startTime"] if run.get("status") in ENDED else []
    names = [*ended, *entered.get(str(run.get("status")), []), "creationTime"]
    for name in names:
        value = run.get(name)
        if isinstance(value, datetime):
            return value.astimezone(UTC)
    return datetime.now(UTC)
