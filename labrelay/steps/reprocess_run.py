"""Plans of reruns at work: started, moved on as their runs end, held when a person has to look, resumed, dropped.

Any number of workers may try to move a plan on; the one that holds its lease does. A run of the plan is submitted in
the transaction that says so, and each is compared with what the rules ask for at that moment: what has gone out of date
since the plan was shown is not run.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.model.errors import Busy, Conflict, UsageError
from labrelay.model.faults import faultpoint
from labrelay.model.states import RunState
from labrelay.model.words import counted
from labrelay.records import lease, plans
from labrelay.records.database import now
from labrelay.records.lease import Lease
from labrelay.records.plans import Bounds, Step
from labrelay.records.schema import WorkflowRunRow
from labrelay.records.schema_reruns import ReprocessPlanRow
from labrelay.records.stale import Wanted
from labrelay.steps.admission import Decision, Known, decide
from labrelay.steps.collect import wait_for
from labrelay.steps.home import Home
from labrelay.steps.notices import notify
from labrelay.steps.plan_changes import asked_now, changed_since, changes_of, told_of
from labrelay.steps.reprocess import Plan
from labrelay.steps.reprocess_plans import Made, bounds_of, conditions, make, see_prices
from labrelay.steps.submit import Submitted, commit_intents

BUSY_SECONDS = 1.0


@dataclass
class Reprocessed(Submitted):
    """What was submitted, which runs are held back and why, and how the plan stands.

    Attributes:
        held: Runs that are not submitted yet, each with the reason.
        plan: The plan's id; None when there was nothing to run.
        state: `running`, `held` or `done`.
        reason: Why it is held, or how it ended.
        live: Runs of the plan that are under way.
    """

    held: list[tuple[str, str]] = field(default_factory=list)
    plan: str | None = None
    state: str | None = None
    reason: str | None = None
    live: list[str] = field(default_factory=list)


def reprocess(
    home: Home,
    planned: Plan,
    limit: int | None = None,
    *,
    wait: bool = False,
    bounds: Bounds | None = None,
    wanted: Wanted | None = None,
) -> Reprocessed:
    """Go on with the plans that are under way, then make a plan of what else is out of date and run it.

    Args:
        home: Where.
        planned: From `plan`.
        limit: Most runs of the new plan; the others stay for the next time.
        wait: Wait until the plans have ended or are held.
        bounds: Of the new plan.
        wanted: What `planned` was narrowed by.

    Raises:
        UsageError: A budget in money cannot hold, since no price is known.
    """
    within = bounds or Bounds()
    within = within.model_copy(update={"runs": limit if limit is not None else within.runs})
    ids, made = begin(home, planned, within, wanted)
    total = work_all(home, ids, wait=wait)
    total.held += made.held
    return total


def begin(home: Home, planned: Plan, bounds: Bounds, wanted: Wanted | None = None) -> tuple[list[str], Made]:
    """Make a plan of what is out of date and start it, beside those that are under way; nothing is submitted yet.

    Returns:
        The ids of the plans under way, the new one last, and the new one as it was made.

    Raises:
        UsageError: A budget in money cannot hold, since no price is known.
    """
    ids = under_way(home)
    made = make(home, planned, bounds, wanted)
    if made.id is not None:
        _begin(home, made.id)
        ids.append(made.id)
    return ids, made


def work_all(home: Home, plan_ids: Sequence[str], *, wait: bool = False) -> Reprocessed:
    """Move these plans on, one after the other; see `work`."""
    total = Reprocessed()
    for plan_id in plan_ids:
        done = work(home, plan_id, wait=wait)
        held = total.held + done.held
        _add(total, done)
        total.held = held
    return total


def start(home: Home, text: str) -> str:
    """Start a plan exactly as it was shown; return its id. One that is under way is left as it is.

    Raises:
        Conflict: It has gone out of date; the sentence says what changed.
        UsageError: It is held, or it has ended.
        NotFound: There is no such plan.
        Busy: A worker moves it on just now.
    """
    with _held(home, text) as plan_id:
        return _start(home, plan_id)


def _start(home: Home, plan_id: str) -> str:
    row, waiting = _waiting(home, plan_id)
    if row.state == "running":
        return row.id
    if row.state != "planned":
        raise UsageError(_not_started(row))
    changed = changed_since(home, row.id, waiting)
    if changed:
        raise Conflict(
            f"the plan {row.id} has gone out of date: {told_of(changed, waiting)}; make a new one with `labrelay "
            f"reprocess --plan`, or run what is left of this one with `labrelay reprocess --resume {row.id}`"
        )
    _begin(home, row.id)
    return row.id


def resume(home: Home, text: str, budget_usd: float | None = None) -> str:
    """Go on with a plan that is held, or out of date, without those of its runs that are not asked for any more.

    Raises:
        UsageError: It has ended, or a budget in money cannot hold, since no price is known.
        NotFound: There is no such plan.
        Busy: A worker moves it on just now.
    """
    with _held(home, text) as plan_id:
        return _resume(home, plan_id, budget_usd)


def _resume(home: Home, plan_id: str, budget_usd: float | None) -> str:
    row, waiting = _waiting(home, plan_id)
    if row.state in ("done", "dropped"):
        raise UsageError(_not_started(row))
    changed = changed_since(home, row.id, waiting)
    if budget_usd is not None:
        left = [step for step in waiting if step.run_id not in changed]
        see_prices(left, f"drop it with `labrelay reprocess --drop {row.id}` and make a new plan with --limit")
    with home.records.write() as session:
        row = session.get_one(ReprocessPlanRow, row.id)
        for run_id, why in changed.items():
            plans.set_items(session, row.id, [run_id], "skipped", failure=why)
        row.resumed_at = now()
        row.budget_usd = row.budget_usd if budget_usd is None else budget_usd
        plans.move(session, row, "running")
    faultpoint("reprocess.resumed")
    return row.id


def drop(home: Home, text: str) -> str:
    """End a plan: what it has not submitted is not run; what is under way goes on. Return its id.

    Raises:
        UsageError: It has ended.
        NotFound: There is no such plan.
        Busy: A worker moves it on just now.
    """
    with _held(home, text) as plan_id, home.records.write() as session:
        row = session.get_one(ReprocessPlanRow, plan_id)
        if row.state in ("done", "dropped"):
            raise UsageError(_not_started(row))
        left = [step.run_id for step in plans.steps(session, row.id) if step.state == "planned"]
        plans.set_items(session, row.id, left, "skipped", failure="the plan was dropped")
        plans.move(session, row, "dropped", f"{counted(len(left), 'run')} left out")
    return row.id


def _lease_of(plan_id: str) -> str:
    return f"the plan {plan_id}"


@contextmanager
def _held(home: Home, text: str) -> Iterator[str]:
    """Find a plan and keep workers from moving it on meanwhile."""
    with home.records.read() as session:
        plan_id = plans.find(session, text).id
    with lease.held(home.records, _lease_of(plan_id)):
        yield plan_id


def _waiting(home: Home, plan_id: str) -> tuple[ReprocessPlanRow, list[Step]]:
    """Return a plan and those of its runs that are not submitted yet."""
    with home.records.read() as session:
        steps = plans.steps(session, plan_id)
        return session.get_one(ReprocessPlanRow, plan_id), [step for step in steps if step.state == "planned"]


def work(home: Home, plan_id: str, *, wait: bool = False) -> Reprocessed:
    """Move a plan on, once, or with `wait` until it has ended or is held; safe to stop and to call again.

    Raises:
        Busy: Another worker moves it on just now (not with `wait`).
    """
    total = Reprocessed(plan=plan_id)
    while True:
        try:
            step = advance(home, plan_id)
        except Busy:
            if not wait:
                raise
            time.sleep(BUSY_SECONDS)
            continue
        _add(total, step)
        if not wait or step.state != "running" or not step.live:
            return total
        stuck = wait_for(home, step.live, first=True).stuck
        total.failed = stuck
        if {run_id for run_id, _why in stuck} >= set(step.live):
            return total


def under_way(home: Home) -> list[str]:
    """Return the ids of the plans that are being worked on, oldest first."""
    with home.records.read() as session:
        return plans.running(session)


def work_on_plans(home: Home) -> int:
    """Move on every plan under way that no other worker has in hand; return how many runs were submitted."""
    done = 0
    for plan_id in under_way(home):
        try:
            done += advance(home, plan_id).new
        except Busy:
            continue
    return done


def advance(home: Home, plan_id: str) -> Reprocessed:
    """Move a plan on by one step: settle what has ended, then submit what its bounds allow now, or hold or end it.

    Cost: five queries, one composed intent a run that the rules ask for after the instrument runs of those that are
    submitted; two transactions.

    Raises:
        Busy: Another worker moves it on just now.
    """
    with lease.held(home.records, _lease_of(plan_id)) as held:
        return _Advance(home, plan_id, held).run()


class _Advance:
    """One step of a plan under its lease."""

    def __init__(self, home: Home, plan_id: str, held: Lease) -> None:
        self.home, self.plan_id, self.lease = home, plan_id, held
        self.outcome = Reprocessed(plan=plan_id)

    def run(self) -> Reprocessed:
        decision, steps = self._settle()
        if decision is None:
            return self.outcome
        faultpoint("reprocess.settled")
        self.outcome.held = decision.waits
        self.outcome.live = [step.run_id for step in steps if step.state == "submitted"]
        if decision.submit:
            self._submit([step for step in steps if step.run_id in set(decision.submit)])
        return self.outcome

    def _settle(self) -> tuple[Decision | None, list[Step]]:
        with self.home.records.write() as session:
            lease.confirm(session, self.lease)
            row = session.get_one(ReprocessPlanRow, self.plan_id)
            plans.settle(session, self.plan_id)
            steps = plans.steps(session, self.plan_id)
            decision = None
            if row.state == "running":
                known = _known(session, row, steps)
                decision = decide(bounds_of(row), steps, known)
                if decision.ended:
                    self._move(session, row, "done", _ended_sentence(steps))
                elif decision.hold:
                    self._move(session, row, "held", decision.hold)
            self.outcome.state, self.outcome.reason = row.state, row.reason
        return decision, steps

    def _submit(self, steps: Sequence[Step]) -> None:
        asked, problems = asked_now(self.home, steps)
        changed = [step for step in steps if step.run_id not in asked]
        if changed:
            told = told_of(changes_of(self.home, self.plan_id, changed, list(asked.values()), problems), changed)
            with self.home.records.write() as session:
                lease.confirm(session, self.lease)
                row = session.get_one(ReprocessPlanRow, self.plan_id)
                self._move(session, row, "held", f"it has gone out of date: {told}")
            self.outcome.state, self.outcome.reason = row.state, row.reason
            self.outcome.held = [(step.run_id, row.reason or "") for step in changed]
            return
        run_ids = [step.run_id for step in steps]

        def submitted(session: Session) -> None:
            lease.confirm(session, self.lease)
            plans.take_items(session, self.plan_id, run_ids)

        commit_intents(self.home, [asked[run_id] for run_id in run_ids], self.outcome, submitted)
        self.outcome.live += run_ids

    def _move(self, session: Session, row: ReprocessPlanRow, state: plans.PlanState, reason: str) -> None:
        if row.state == state:
            return
        plans.move(session, row, state, reason)
        dedup = f"{row.id}:{row.resumed_at or ''}"
        notify(self.home, session, row.id, f"plan-{state}", dedup, plan=row.id, reason=reason)


def _known(session: Session, row: ReprocessPlanRow, steps: Sequence[Step]) -> Known:
    """Return what counts besides the plan: prices that were paid, and experience with conditions that are new to it."""
    succeeded = {step.conditions for step in steps if step.state == "done"}
    new = {step.workflow_digest for step in steps if step.state == "planned" and step.conditions not in succeeded}
    live: Counter[str] = Counter()
    columns = (WorkflowRunRow.workflow_digest, WorkflowRunRow.reference_id, WorkflowRunRow.parameters)
    query = select(WorkflowRunRow.state, *columns).where(WorkflowRunRow.workflow_digest.in_(new))
    for state, digest, reference, parameters in session.execute(query) if new else ():
        group = conditions(digest, reference, parameters)
        if state == RunState.COMPLETE.value:
            succeeded.add(group)
        elif not RunState(state).terminal:
            live[group] += 1
    return Known(succeeded, live, plans.spent(session, row.id), row.resumed_at)


def _begin(home: Home, plan_id: str) -> None:
    with home.records.write() as session:
        plans.move(session, session.get_one(ReprocessPlanRow, plan_id), "running")
    faultpoint("reprocess.begun")


def _not_started(row: ReprocessPlanRow) -> str:
    if row.state == "held":
        return f"the plan {row.id} is held: {row.reason}; go on with it by `labrelay reprocess --resume {row.id}`"
    return f"the plan {row.id} has ended ({row.state}): make a new one with `labrelay reprocess --plan`"


def _ended_sentence(steps: Sequence[Step]) -> str:
    counts = Counter(step.state for step in steps)
    told = [f"{counted(counts['done'], 'result')} replaced"]
    told += [f"{counts[state]} {state}" for state in ("failed", "skipped") if counts[state]]
    return ", ".join(told)


def _add(total: Reprocessed, step: Reprocessed) -> None:
    total.runs += [run_id for run_id in step.runs if run_id not in total.runs]
    total.new += step.new
    total.failed, total.held, total.live = total.failed + step.failed, step.held, step.live
    total.plan, total.state, total.reason = step.plan, step.state, step.reason
