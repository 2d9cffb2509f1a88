"""How long runs will take: what runs of the same workflow on the same engine have taken, and how many go at once."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from statistics import median

from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.model.states import RunState
from labrelay.records.runs import Intent
from labrelay.records.schema import AttemptRow, WorkflowRunRow, WorkflowVersionRow

NEWEST = 1_000  # runs of the past that are looked at
By = tuple[str, str]  # workflow name, engine


def expected_seconds(session: Session, intents: Sequence[Intent]) -> dict[By, float]:
    """Return the median time of a run by workflow and engine; nothing of those whose like has not run yet.

    Cost: one query, over the newest runs of these workflows.
    """
    names = {intent.workflow.name for intent in intents}
    query = (
        select(
            WorkflowVersionRow.name,
            WorkflowRunRow.engine,
            AttemptRow.report["started"].as_string(),
            AttemptRow.report["ended"].as_string(),
        )
        .join(WorkflowRunRow, WorkflowRunRow.workflow_digest == WorkflowVersionRow.digest)
        .join(AttemptRow, AttemptRow.run_id == WorkflowRunRow.id)
        .where(
            WorkflowVersionRow.name.in_(names),
            WorkflowRunRow.state == RunState.COMPLETE.value,
            AttemptRow.state == RunState.COMPLETE.value,
        )
        .order_by(WorkflowRunRow.created_at.desc())
        .limit(NEWEST)
    )
    took: dict[By, list[float]] = defaultdict(list)
    for name, engine, started, ended in session.execute(query) if names else ():
        if started and ended:
            took[name, engine].append((datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds())
    return {by: median(seconds) for by, seconds in took.items()}


def wall_seconds(seconds: Iterable[float], at_once: int) -> float:
    """Return how long runs take together when so many go at one time, each beginning as soon as another has ended."""
    busy: list[float] = []
    for each in seconds:
        heapq.heappush(busy, each + (heapq.heappop(busy) if len(busy) >= at_once else 0.0))
    return max(busy, default=0.0)
