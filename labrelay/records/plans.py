"""Plans of reruns as they are kept: what was shown, within which bounds, and how each of its runs stands.

An item becomes `submitted` in the transaction that writes its workflow run, so that no kill loses one or makes two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from labrelay.model.canonical import digest
from labrelay.model.errors import Busy, NotFound
from labrelay.model.ids import derived_id
from labrelay.model.problem import Frozen
from labrelay.model.states import RunState
from labrelay.records import audit
from labrelay.records.database import actor, now
from labrelay.records.schema import CostRow, WorkflowRunRow
from labrelay.records.schema_reruns import ReprocessItemRow, ReprocessPlanRow
from labrelay.records.superseded import replace
from labrelay.records.upsert import insert_missing

PlanState = Literal["planned", "running", "held", "done", "dropped"]
ItemState = Literal["planned", "submitted", "done", "failed", "skipped"]
OPEN = ("running", "held")
CHUNK = 500


class Bounds(Frozen):
    """Within what a plan is run.

    Attributes:
        runs: At most so many runs; the others are left out of the plan.
        usd: At most so much money.
        at_once: At most so many of its runs live at one time.
        stop_after: So many equal failures in a row hold it.
    """

    runs: int | None = None
    usd: float | None = None
    at_once: int = 20
    stop_after: int = 2


class PlannedItem(Frozen):
    """One run of a plan as it was shown; see `ReprocessItemRow` for what the fields are."""

    run_id: str
    replaces: tuple[str, ...]
    causes: tuple[str, ...]
    because: str
    subject: str
    workflow: str
    workflow_digest: str
    conditions: str
    origin: str
    asked: dict[str, Any]
    usd: float | None = None


class Step(Frozen):
    """How one run of a plan stands, without what was asked."""

    run_id: str
    position: int
    state: ItemState
    subject: str
    workflow: str
    workflow_digest: str
    conditions: str
    causes: tuple[str, ...]
    because: str
    replaces: tuple[str, ...]
    origin: str
    usd: float | None
    failure: str | None
    at: str


def store(
    session: Session, items: Sequence[PlannedItem], bounds: Bounds, asked: dict[str, Any], expected: dict[str, Any]
) -> str:
    """Write a plan that nobody has started and return its id; shown again unchanged, it is the same plan."""
    moment = now()
    content = digest([[[item.run_id, *item.replaces] for item in items], bounds.model_dump(mode="json")])
    waiting = select(ReprocessPlanRow).where(ReprocessPlanRow.digest == content, ReprocessPlanRow.state == "planned")
    found = session.scalar(waiting)
    if found is not None:
        found.asked, found.expected = asked, expected
        session.execute(delete(ReprocessItemRow).where(ReprocessItemRow.plan_id == found.id))
        _add_items(session, found.id, items, moment)
        return found.id
    plan_id = derived_id("pln", content, moment)
    session.add(
        ReprocessPlanRow(
            id=plan_id,
            digest=content,
            state="planned",
            asked=asked,
            expected=expected,
            budget_usd=bounds.usd,
            at_once=bounds.at_once,
            stop_after=bounds.stop_after,
            created_at=moment,
            created_by=actor(),
        )
    )
    _add_items(session, plan_id, items, moment)
    return plan_id


def _add_items(session: Session, plan_id: str, items: Sequence[PlannedItem], moment: str) -> None:
    rows = [
        {**item.model_dump(mode="json"), "plan_id": plan_id, "position": place, "state": "planned", "at": moment}
        for place, item in enumerate(items)
    ]
    insert_missing(session, ReprocessItemRow, rows)


def find(session: Session, text: str) -> ReprocessPlanRow:
    """Return the plan of this id, or of the beginning of one.

    Raises:
        NotFound: There is none, or there are several.
    """
    query = select(ReprocessPlanRow).where(ReprocessPlanRow.id.startswith(text, autoescape=True)).limit(2)
    rows = session.scalars(query).all()
    if len(rows) != 1:
        several = "several plans begin so" if rows else "there is no such plan"
        raise NotFound(f"{text}: {several}; `labrelay reprocess status` lists them")
    return rows[0]


def newest(session: Session, limit: int, states: Sequence[str] = ()) -> list[ReprocessPlanRow]:
    """Return plans, the newest first, those in one of the states when some are named."""
    query = select(ReprocessPlanRow).order_by(ReprocessPlanRow.created_at.desc(), ReprocessPlanRow.id).limit(limit)
    return list(session.scalars(query.where(ReprocessPlanRow.state.in_(states)) if states else query))


def running(session: Session) -> list[str]:
    """Return the ids of the plans that are being worked on, oldest first."""
    query = select(ReprocessPlanRow.id).where(ReprocessPlanRow.state == "running")
    return list(session.scalars(query.order_by(ReprocessPlanRow.started_at, ReprocessPlanRow.id)))


def steps(session: Session, plan_id: str) -> list[Step]:
    """Return how the runs of a plan stand, in their order, in one query."""
    columns = [getattr(ReprocessItemRow, name) for name in Step.model_fields]
    query = select(*columns).where(ReprocessItemRow.plan_id == plan_id).order_by(ReprocessItemRow.position)
    return [Step.model_validate(dict(row)) for row in session.execute(query).mappings()]


def seen_steps(session: Session, plan_id: str) -> list[Step]:
    """Return how the runs of a plan stand now, also those that have ended since the plan was last worked on."""
    item, run = ReprocessItemRow, WorkflowRunRow
    query = (
        select(item.run_id, run.state, run.recorded_at, run.failure)
        .join(run, run.id == item.run_id)
        .where(item.plan_id == plan_id, item.state.in_(("submitted", "failed")))
    )
    moved = {row[0]: row[1:] for row in session.execute(query)}
    found = []
    for step in steps(session, plan_id):
        if step.run_id in moved:
            state, recorded, failure = moved[step.run_id]
            after = _after(RunState(state), recorded is not None)
            step = step.model_copy(update={"state": after, "failure": failure if after == "failed" else None})
        found.append(step)
    return found


def asked_of(session: Session, plan_id: str, run_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return what was asked for when these runs of a plan were shown, by run id."""
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(run_ids), CHUNK):
        these = ReprocessItemRow.run_id.in_(run_ids[start : start + CHUNK])
        query = select(ReprocessItemRow.run_id, ReprocessItemRow.asked)
        found |= {row[0]: row[1] for row in session.execute(query.where(ReprocessItemRow.plan_id == plan_id, these))}
    return found


def open_items(session: Session) -> dict[str, str]:
    """Return which plan will submit which run: those that a plan under way, or held, has not submitted yet."""
    query = (
        select(ReprocessItemRow.run_id, ReprocessItemRow.plan_id)
        .join(ReprocessPlanRow, ReprocessPlanRow.id == ReprocessItemRow.plan_id)
        .where(ReprocessPlanRow.state.in_(OPEN), ReprocessItemRow.state == "planned")
    )
    return {row[0]: row[1] for row in session.execute(query)}


def settle(session: Session, plan_id: str) -> None:
    """Bring a plan's items to what has become of their runs; results that a new one replaces are marked so.

    A run that was tried again after its failure counts as submitted again. Cost: one query, a statement an item that
    has changed.
    """
    item, run = ReprocessItemRow, WorkflowRunRow
    query = (
        select(item.run_id, item.state, item.replaces, run.state, run.recorded_at, run.failure, run.ended_at)
        .join(run, run.id == item.run_id)
        .where(item.plan_id == plan_id, item.state.not_in(("skipped", "done")))
    )
    for run_id, before, replaces, state, recorded, failure, ended in session.execute(query).all():
        after = _after(RunState(state), recorded is not None)
        if after == before:
            continue
        why = (failure or state) if after == "failed" else None
        set_items(session, plan_id, [run_id], after, failure=why, at=ended or now())
        if after == "done":
            replace(session, replaces, run_id)


def _after(state: RunState, recorded: bool) -> ItemState:
    if not state.terminal or not recorded:
        return "submitted"
    return "done" if state is RunState.COMPLETE else "failed"


def set_items(session: Session, plan_id: str, run_ids: Sequence[str], state: ItemState, **values: Any) -> None:
    """Write the state of items, and why where that is given."""
    told = {"state": state, "at": now()} | values
    for start in range(0, len(run_ids), CHUNK):
        these = ReprocessItemRow.run_id.in_(run_ids[start : start + CHUNK])
        session.execute(update(ReprocessItemRow).where(ReprocessItemRow.plan_id == plan_id, these).values(**told))


def take_items(session: Session, plan_id: str, run_ids: Sequence[str]) -> None:
    """Write that these runs of a plan are submitted.

    Raises:
        Busy: The plan is not run any more, or has one of them no longer waiting; the transaction must not commit.
    """
    state = session.scalar(select(ReprocessPlanRow.state).where(ReprocessPlanRow.id == plan_id))
    mine, taken = (ReprocessItemRow.plan_id == plan_id, ReprocessItemRow.state == "planned"), 0
    for start in range(0, len(run_ids) if state == "running" else 0, CHUNK):
        these = ReprocessItemRow.run_id.in_(run_ids[start : start + CHUNK])
        statement = update(ReprocessItemRow).where(*mine, these).values(state="submitted", at=now())
        taken += getattr(session.execute(statement), "rowcount", 0)
    if taken != len(run_ids):
        raise Busy(f"the plan {plan_id} was changed meanwhile ({state}), so nothing of it was submitted: try again")


def move(session: Session, row: ReprocessPlanRow, state: PlanState, reason: str | None = None) -> None:
    """Write the state of a plan, with an audit row; the same state and reason again write nothing."""
    if (row.state, row.reason) == (state, reason):
        return
    row.state, row.reason = state, reason
    if state == "running":
        row.started_at = row.started_at or now()
    if state in ("done", "dropped"):
        row.ended_at = now()
    audit.record(session, f"reprocess.{state}", row.id, reason=reason)


def spent(session: Session, plan_id: str) -> dict[str, float]:
    """Return what the ended runs of a plan have cost in USD, by run; those without a known price are missing."""
    query = (
        select(CostRow.run_id, func.sum(CostRow.amount))
        .join(ReprocessItemRow, ReprocessItemRow.run_id == CostRow.run_id)
        .where(ReprocessItemRow.plan_id == plan_id, CostRow.currency == "USD")
        .group_by(CostRow.run_id)
        .having(func.count() == func.count(CostRow.amount))
    )
    return {row[0]: row[1] or 0.0 for row in session.execute(query)}
