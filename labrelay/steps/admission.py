"""Which runs of a plan may be submitted now, and when the plan has to stop. Pure decisions, no IO.

New conditions (workflow, reference, parameters) are tried on two runs before any of them has succeeded.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from labrelay.records.plans import Bounds, Step

OVER = "the budget is used up"
FIRST = 2  # runs under new conditions before any of them has succeeded


@dataclass
class Decision:
    """What is to be done with a plan now.

    Attributes:
        submit: The runs that may go, in order.
        waits: Those that may not, each with the reason.
        hold: Why a person has to look before anything more is submitted.
        ended: Nothing is left to do.
    """

    submit: list[str] = field(default_factory=list)
    waits: list[tuple[str, str]] = field(default_factory=list)
    hold: str | None = None
    ended: bool = False


@dataclass(frozen=True)
class Known:
    """What counts besides the plan's own items.

    Attributes:
        succeeded: Conditions under which a run has succeeded before.
        live: Live runs under each of the conditions, whosever they are.
        usd: What ended runs of the plan have really cost, by run.
        resumed_at: Failures that ended before it do not count any more.
    """

    succeeded: AbstractSet[str] = frozenset()
    live: Mapping[str, int] = field(default_factory=dict)
    usd: Mapping[str, float] = field(default_factory=dict)
    resumed_at: str | None = None


def decide(bounds: Bounds, steps: Sequence[Step], known: Known) -> Decision:
    """Return what may be submitted of a plan now, or why it has to stop."""
    waiting = [step for step in steps if step.state == "planned"]
    live = sum(step.state == "submitted" for step in steps)
    if not waiting and not live:
        return Decision(ended=True)
    failed = equal_failures(steps, known.resumed_at)
    if waiting and len(failed) >= bounds.stop_after:
        return Decision(
            hold=_failed_sentence(failed), waits=[(step.run_id, _failed_sentence(failed)) for step in waiting]
        )
    decision = _admitted(bounds, waiting, live, _used(steps, known.usd), known)
    over = next((why for _run_id, why in decision.waits if why.startswith(OVER)), None)
    if over and not live and not decision.submit:  # while some are under way they may yet cost less
        decision.hold = over
    return decision


def _admitted(bounds: Bounds, waiting: Sequence[Step], live: int, used: float, known: Known) -> Decision:
    decision, started = Decision(), Counter(known.live)
    for step in waiting:
        cost = step.usd or 0.0
        if bounds.usd is not None and used + cost > bounds.usd * (1 + 1e-9):
            told = f"${used:.2f} of ${bounds.usd:.2f} are spent or under way, the next run costs about ${cost:.2f}"
            decision.waits.append((step.run_id, f"{OVER}: {told}; give more with --budget"))
        elif step.conditions not in known.succeeded and started[step.conditions] >= FIRST:
            why = f"it waits for the first result of {step.workflow} under these conditions"
            decision.waits.append((step.run_id, why))
        elif live + len(decision.submit) >= bounds.at_once:
            decision.waits.append((step.run_id, f"{bounds.at_once} runs of the plan are under way, which is its limit"))
        else:
            started[step.conditions] += 1
            used += cost
            decision.submit.append(step.run_id)
    return decision


def _used(steps: Sequence[Step], really: Mapping[str, float]) -> float:
    """Return what runs have cost, and those under way are expected to."""
    return sum(really.get(step.run_id, step.usd or 0.0) for step in steps if step.state not in ("planned", "skipped"))


def equal_failures(steps: Sequence[Step], since: str | None = None) -> list[Step]:
    """Return the failures that ended last, one after the other without a success between them, and failed alike."""
    ended = sorted((s for s in steps if s.state in ("done", "failed") and s.at > (since or "")), key=lambda s: s.at)
    streak: list[Step] = []
    for step in reversed(ended):
        same = not streak or _class(step) == _class(streak[0])
        if step.state != "failed" or not same:
            break
        streak.append(step)
    return streak


def _class(step: Step) -> tuple[str, str]:
    return step.workflow_digest, alike(step.failure or "")


def alike(failure: str) -> str:
    """Return a failure's text without what differs between runs that fail alike: paths, ids and numbers."""
    return re.sub(r"\S*/\S*|\b[0-9a-z]{3}_[0-9a-f]{16}\b|[0-9a-f]{8,}|\d+", "#", failure)


def _failed_sentence(failed: Sequence[Step]) -> str:
    names = ", ".join(sorted(step.run_id for step in failed)[:2])
    return (
        f"{len(failed)} reruns failed alike ({names}): look at their logs, then mend the workflow or rule, or retry "
        "one of them"
    )
