"""Which results a new one takes the place of, and why there is a new one; old results stay, marked and readable."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.model.problem import Frozen
from labrelay.model.states import RunState
from labrelay.records import audit, runs, stale
from labrelay.records.schema import WorkflowRunRow
from labrelay.records.schema_reruns import ReprocessItemRow

AGAIN = "it was asked for again"


class Superseded(Frozen):
    """What a result takes the place of.

    Attributes:
        replaces: Ids of the workflow runs with the older results, `run_…`.
        because: Why there is a new result, one sentence; None where nothing is replaced.
    """

    replaces: tuple[str, ...] = ()
    because: str | None = None


def superseded_by(session: Session, run: WorkflowRunRow) -> Superseded:
    """Return what a run's result takes, or has taken, the place of. Cost: two queries, three for a forced run."""
    marked = select(WorkflowRunRow.id, WorkflowRunRow.stale).where(WorkflowRunRow.replaced_by == run.id)
    replaced = {row.id: row.stale for row in session.execute(marked.order_by(WorkflowRunRow.created_at))}
    query = select(ReprocessItemRow.replaces, ReprocessItemRow.because).where(
        ReprocessItemRow.run_id == run.id, ReprocessItemRow.state != "skipped"
    )
    planned = session.execute(query.order_by(ReprocessItemRow.at.desc())).first()
    if planned is not None:
        ids = dict.fromkeys([*planned.replaces, *replaced])
        return Superseded(replaces=tuple(ids), because=planned.because)
    if run.generation:
        replaced |= {row.id: row.stale for row in runs.earlier(session, run)}
    if not replaced:
        return Superseded()
    told = dict.fromkeys(reason for reason in replaced.values() if reason)
    return Superseded(replaces=tuple(replaced), because="; ".join(told) or AGAIN)


def replace(session: Session, old: Sequence[str], new: str, *, again: bool = False) -> None:
    """Write that a result has taken the place of others; what was replaced before stays as it is.

    A result whose own place is taken takes none: two that replace each other would both be gone.

    Args:
        session: In a writing transaction.
        old: Ids of the runs with the older results.
        new: Of the run with the result that counts.
        again: The new one counts again where it was replaced, since the rules ask for it today.
    """
    counts = session.get_one(WorkflowRunRow, new)
    if again:
        counts.replaced_by = None
    elif counts.replaced_by is not None:
        return
    query = select(WorkflowRunRow).where(
        WorkflowRunRow.id.in_(old), WorkflowRunRow.id != new, WorkflowRunRow.replaced_by.is_(None)
    )
    for row in session.scalars(query):
        row.replaced_by = new
        audit.record(session, "workflow_run.replaced", row.id, by=new)


def count_again(
    session: Session, asked: Sequence[str], is_current: Callable[[WorkflowRunRow], bool]
) -> list[WorkflowRunRow]:
    """Let results count again that are asked for and were marked or replaced meanwhile, and return their runs.

    So it is with reads that were given to another sample and back. What is current itself stays in the place that it
    has taken, as the run that somebody forced.

    Args:
        session: In a writing transaction.
        asked: Ids of the runs that the rules ask for today.
        is_current: Tells whether a run is what they ask for, whatever its id.
    """
    again = []
    marked = WorkflowRunRow.stale.is_not(None) | WorkflowRunRow.replaced_by.is_not(None)
    for start in range(0, len(asked), stale.CHUNK):
        these = WorkflowRunRow.id.in_(asked[start : start + stale.CHUNK])
        ended = (WorkflowRunRow.state == RunState.COMPLETE.value) & WorkflowRunRow.recorded_at.is_not(None)
        for row in session.scalars(select(WorkflowRunRow).where(these, marked, ended)).all():
            if row.replaced_by is None or not is_current(session.get_one(WorkflowRunRow, row.replaced_by)):
                row.replaced_by = row.stale = None
                audit.record(session, "workflow_run.current", row.id, reason=None)
                again.append(row)
    stale.mark(session, {row.id: {} for row in again}, {})
    return again
