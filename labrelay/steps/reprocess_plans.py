"""Plans of reruns: what would run, what it will cost and take, and why, kept under an id so that just that is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from labrelay.model.canonical import digest
from labrelay.model.errors import UsageError
from labrelay.model.faults import faultpoint
from labrelay.model.problem import Frozen
from labrelay.model.runs import RunInput, WorkflowVersion
from labrelay.model.words import counted
from labrelay.records import plans
from labrelay.records.plans import Bounds, ItemState, PlannedItem, Step
from labrelay.records.runs import Intent
from labrelay.records.schema_reruns import ReprocessPlanRow
from labrelay.records.stale import CAUSES, Cause, Wanted
from labrelay.steps.expected_time import wall_seconds
from labrelay.steps.home import Home
from labrelay.steps.reprocess import Item, Plan
from labrelay.steps.staleness import Recorded

REASONS = 3  # of a cause that are told


class Group(Frozen):
    """What of a plan has one cause, or the same causes together.

    Attributes:
        causes: `workflow`, `reference`, `rule`, `sample`, `reads`.
        results: How many results are out of date for it.
        runs: How many runs replace them.
        usd: What those will cost; None when that is not known of all.
        reasons: The most frequent sentences, each with the number of its results.
    """

    causes: tuple[Cause, ...]
    results: int
    runs: int
    usd: float | None
    reasons: tuple[tuple[str, int], ...]

    @property
    def title(self) -> str:
        """The causes in words: `a new workflow version and a new reference`."""
        return " and ".join(CAUSES[cause] for cause in self.causes)


class Expected(Frozen):
    """What a plan will cost and take, as it was shown.

    Attributes:
        runs, results: How many runs take the place of how many results.
        usd: What those runs will cost of which earlier ones tell it; None when no price is known.
        unpriced: Of how many runs no price is known.
        seconds: By the clock, with so many at one time as the plan allows; None when the time of some is not known.
        groups: By cause, the largest first.
        left_out: Runs that the bounds leave out.
        left_out_why: Which bound that was.
    """

    runs: int = 0
    results: int = 0
    usd: float | None = None
    unpriced: int = 0
    seconds: float | None = None
    groups: tuple[Group, ...] = ()
    left_out: int = 0
    left_out_why: str | None = None


@dataclass
class Made:
    """A plan as it was made; without an id when there is nothing to run."""

    id: str | None
    bounds: Bounds
    expected: Expected
    held: list[tuple[str, str]] = field(default_factory=list)


class PlanLine(Frozen):
    """How a plan stands.

    Attributes:
        state: `planned`, `running`, `held`, `done` or `dropped`.
        counts: Items by state: `planned`, `submitted`, `done`, `failed`, `skipped`.
        usd_spent: What its ended runs have cost, as far as that is known.
        reason: Why it is held, or how it ended.
    """

    id: str
    state: str
    counts: dict[str, int]
    expected: Expected
    asked: Wanted
    budget_usd: float | None
    at_once: int
    stop_after: int
    usd_spent: float | None
    reason: str | None
    created_at: str
    created_by: str
    items: tuple[Step, ...] = ()


def make(home: Home, planned: Plan, bounds: Bounds | None = None, wanted: Wanted | None = None) -> Made:
    """Keep what a comparison would run, within bounds, as a plan that can be started.

    Args:
        home: Where.
        planned: From `reprocess.plan`.
        bounds: How many runs, for how much money, how many at one time, and when to stop.
        wanted: What the comparison was narrowed by, for the record.

    Raises:
        UsageError: A budget in money is asked for, and of some runs nobody knows what they will cost.
    """
    bounds = bounds or Bounds()
    items = _items(planned)
    if bounds.usd is not None:
        see_prices(items, "bound the number of runs with --limit")
    taken, why = _within(items, bounds)
    left = items[len(taken) :]
    expected = _expected(planned, taken, bounds).model_copy(update={"left_out": len(left), "left_out_why": why})
    made = Made(None, bounds, expected, [(item.run_id, why or "") for item in left])
    if taken:
        asked = (wanted or Wanted()).model_dump(mode="json")
        with home.records.write() as session:
            made.id = plans.store(session, taken, bounds, asked, expected.model_dump(mode="json"))
        faultpoint("reprocess.planned")
    return made


def see_prices(items: Sequence[PlannedItem | Step], instead: str) -> None:
    """Refuse a budget in money where nobody knows what a run will cost.

    Raises:
        UsageError: No price was known of some of these when the plan was made; `instead` says what to do.
    """
    unknown = [item for item in items if item.usd is None]
    if unknown:
        raise UsageError(
            f"what {counted(len(unknown), 'run')} will cost is not known (no run of {unknown[0].workflow} had a price "
            f"on record when the plan was made), so no budget in money can hold: {instead}"
        )


def _within(items: Sequence[PlannedItem], bounds: Bounds) -> tuple[Sequence[PlannedItem], str | None]:
    """Return the first runs that fit into the bounds, and which bound leaves out the others."""
    used = 0.0
    for count, item in enumerate(items):
        if bounds.runs is not None and count >= bounds.runs:
            return items[:count], f"the limit of {counted(bounds.runs, 'run')} is reached"
        used += item.usd or 0.0
        if bounds.usd is not None and used > bounds.usd:
            return items[:count], f"the budget of ${bounds.usd:.2f} is reached"
    return items, None


def _items(planned: Plan) -> list[PlannedItem]:
    prices = {(cost.workflow, cost.engine, cost.digest): cost.median for cost in planned.costs}
    old: dict[str, list[Item]] = {run_id: [] for run_id in planned.to_run}
    for item in planned.items:
        if item.standing == "to run" and item.instead_id is not None:
            old[item.instead_id].append(item)
    return [_planned_item(planned, planned.intents[run_id], each, prices) for run_id, each in old.items()]


def _planned_item(
    planned: Plan, intent: Intent, old: Sequence[Item], prices: dict[tuple[str, str, str], float]
) -> PlannedItem:
    names = dict.fromkeys(name for item in old for name in item.samples)
    return PlannedItem(
        run_id=intent.run_id,
        replaces=tuple(item.run_id for item in old),
        causes=tuple(dict.fromkeys(cause for item in old for cause in item.causes)),
        because="; ".join(dict.fromkeys(item.reason for item in old)),
        subject=next(iter(names)) if len(names) == 1 else counted(len(names), "sample"),
        workflow=f"{intent.workflow.name} {intent.workflow.version}",
        workflow_digest=intent.workflow.digest,
        conditions=conditions(intent.workflow.digest, intent.reference_id, intent.parameters),
        origin=planned.origins[intent.run_id],
        asked=intent.model_dump(mode="json", include=set(ASKED)),
        usd=prices.get((intent.workflow.name, intent.engine, intent.workflow.digest)),
    )


ASKED = ("workflow", "parameters", "inputs", "samples", "reference_id", "rule")


def conditions(workflow_digest: str, reference_id: str | None, parameters: dict[str, Any]) -> str:
    """Return a digest of what runs have in common that succeed or fail together."""
    return digest([workflow_digest, reference_id, parameters.get("parameters")])


def as_planned(run_id: str, asked: dict[str, Any]) -> Recorded:
    """Return what a run of a plan was to be made with, in the form in which it is compared with today."""
    return Recorded(
        run_id=run_id,
        workflow=WorkflowVersion.model_validate(asked["workflow"]),
        parameters=asked["parameters"],
        inputs=tuple(RunInput.model_validate(each) for each in asked["inputs"]),
        samples=tuple((sample_id, revision) for sample_id, revision in asked["samples"]),
        names=(),
        reference_id=asked["reference_id"],
        rule=asked["rule"],
    )


def _expected(planned: Plan, items: Sequence[PlannedItem], bounds: Bounds) -> Expected:
    prices = [item.usd for item in items if item.usd is not None]
    intents = [planned.intents[item.run_id] for item in items]
    seconds = [planned.seconds.get((intent.workflow.name, intent.engine)) for intent in intents]
    known = [each for each in seconds if each is not None]
    return Expected(
        runs=len(items),
        results=sum(len(item.replaces) for item in items),
        usd=sum(prices) if prices else None,
        unpriced=len(items) - len(prices),
        seconds=wall_seconds(known, bounds.at_once) if items and len(known) == len(items) else None,
        groups=tuple(sorted(_groups(planned, items), key=lambda group: (-group.results, group.causes))),
    )


def _groups(planned: Plan, items: Sequence[PlannedItem]) -> list[Group]:
    reasons = {item.run_id: item.reason for item in planned.items}
    by_causes: dict[tuple[str, ...], list[PlannedItem]] = {}
    for item in items:
        by_causes.setdefault(item.causes, []).append(item)
    groups = []
    for causes, members in by_causes.items():
        told = Counter(reasons[run_id] for item in members for run_id in item.replaces)
        prices = [item.usd for item in members if item.usd is not None]
        groups.append(
            Group(
                causes=causes,
                results=told.total(),
                runs=len(members),
                usd=sum(prices) if len(prices) == len(members) else None,
                reasons=tuple(told.most_common(REASONS)),
            )
        )
    return groups


def bounds_of(row: ReprocessPlanRow) -> Bounds:
    """Return within what a kept plan is run."""
    return Bounds(usd=row.budget_usd, at_once=row.at_once, stop_after=row.stop_after)


def status(home: Home, text: str | None = None, limit: int = 20) -> list[PlanLine]:
    """Return how plans stand, the newest first; of one plan also each of its runs.

    A run that has ended since the plan was last worked on counts as ended already. Cost: three queries a plan shown.

    Raises:
        NotFound: There is no such plan.
    """
    with home.records.read() as session:
        rows = [plans.find(session, text)] if text else plans.newest(session, limit)
        return [
            _line(row, plans.seen_steps(session, row.id), plans.spent(session, row.id), detailed=text is not None)
            for row in rows
        ]


def _line(row: ReprocessPlanRow, steps: Sequence[Step], spent: dict[str, float], *, detailed: bool) -> PlanLine:
    counts: dict[ItemState, int] = Counter(step.state for step in steps)
    names = ("id", "state", "budget_usd", "at_once", "stop_after", "reason", "created_at", "created_by")
    return PlanLine(
        **{name: getattr(row, name) for name in names},
        counts={str(state): count for state, count in sorted(counts.items())},
        expected=Expected.model_validate(row.expected),
        asked=Wanted.model_validate(row.asked),
        usd_spent=sum(spent.values()) if spent else None,
        items=tuple(steps) if detailed else (),
    )
