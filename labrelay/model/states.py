"""The states of a workflow run (GA4GH WES 1.1) and the one reducer that orders what engines report.

Events arrive late, twice and out of order. The reducer orders them by the event's own time and then by rank; a
terminal state locks, so no late word changes a verdict.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from labrelay.model.problem import Frozen


class RunState(StrEnum):
    """The GA4GH WES states that Labrelay uses; every engine maps onto these."""

    QUEUED = "QUEUED"
    INITIALIZING = "INITIALIZING"
    RUNNING = "RUNNING"
    CANCELING = "CANCELING"
    UNKNOWN = "UNKNOWN"
    COMPLETE = "COMPLETE"
    EXECUTOR_ERROR = "EXECUTOR_ERROR"
    SYSTEM_ERROR = "SYSTEM_ERROR"
    CANCELED = "CANCELED"

    @property
    def terminal(self) -> bool:
        """Whether nothing more can happen to the run; a positive list, so a new state is never taken as an end."""
        return self in TERMINAL


TERMINAL = frozenset({RunState.COMPLETE, RunState.EXECUTOR_ERROR, RunState.SYSTEM_ERROR, RunState.CANCELED})
RANK = {
    RunState.UNKNOWN: 0,
    RunState.QUEUED: 1,
    RunState.INITIALIZING: 2,
    RunState.RUNNING: 3,
    RunState.CANCELING: 4,
    RunState.CANCELED: 5,
    RunState.SYSTEM_ERROR: 6,
    RunState.EXECUTOR_ERROR: 7,
    RunState.COMPLETE: 8,
}


class StateEvent(Frozen):
    """What an engine said about an attempt, and when it says that it happened (zone-aware)."""

    state: RunState
    at: datetime


def reduce_state(current: StateEvent | None, event: StateEvent) -> StateEvent:
    """Return the state after `event`: the later one wins, rank breaks ties, a terminal state stays.

    Two different terminal reports about one attempt are settled by the earlier time, then the higher rank, so that
    every order of arrival gives the same answer.
    """
    if current is None:
        return event
    if current.state.terminal and event.state.terminal:
        return min((current, event), key=lambda e: (e.at, -RANK[e.state]))
    if current.state.terminal or event.state.terminal:
        return current if current.state.terminal else event
    return max((current, event), key=lambda e: (e.at, RANK[e.state]))
