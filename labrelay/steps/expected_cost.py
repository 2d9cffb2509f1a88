"""What runs will cost, by what runs of the same workflow have cost: a median, with how it was got, or nothing.

A guess from the past, never a price: other inputs, another version or other prices change it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import median

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from labrelay.model.problem import Frozen
from labrelay.model.states import RunState
from labrelay.model.words import counted
from labrelay.records.runs import Intent
from labrelay.records.schema import CostRow, WorkflowRunRow, WorkflowVersionRow

CURRENCY = "USD"


class ExpectedCost(Frozen):
    """What the runs of one workflow on one engine will cost.

    Attributes:
        workflow, engine: Whose.
        runs: How many are meant.
        median: USD of one, the median of what those of the past have cost.
        known: How many runs of the past that is the median of.
        digest: Of the workflow version that is to run.
        same_version: Whether they were of the very version that is to run; else of earlier ones.
    """

    workflow: str
    engine: str
    runs: int
    median: float
    known: int
    same_version: bool
    digest: str = ""

    @property
    def usd(self) -> float:
        """All of them together."""
        return self.runs * self.median

    @property
    def sentence(self) -> str:
        """How it was got: `3 × $4.10, the median of 7 runs of viral_variants on healthomics`."""
        version = "" if self.same_version else ", of earlier versions"
        past = f"{counted(self.known, 'run')} of {self.workflow} on {self.engine}{version}"
        return f"{self.runs} × ${self.median:.2f}, the median of {past}"


def expected_costs(session: Session, intents: Sequence[Intent]) -> list[ExpectedCost]:
    """Return what runs will cost, a workflow each; nothing of those whose like has no cost on record.

    A run of the past counts when it has a result and a price for all that it used. Cost: one query.
    """
    asked = Counter((intent.workflow.name, intent.workflow.digest, intent.engine) for intent in intents)
    past: dict[tuple[str, str], list[tuple[str, float]]] = defaultdict(list)
    query = (
        select(WorkflowVersionRow.name, WorkflowRunRow.engine, WorkflowRunRow.workflow_digest, func.sum(CostRow.amount))
        .join(WorkflowRunRow, WorkflowRunRow.workflow_digest == WorkflowVersionRow.digest)
        .join(CostRow, CostRow.run_id == WorkflowRunRow.id)
        .where(
            WorkflowVersionRow.name.in_([name for name, *_rest in asked]),
            WorkflowRunRow.state == RunState.COMPLETE.value,
            WorkflowRunRow.recorded_at.is_not(None),
            CostRow.currency == CURRENCY,  # what is measured and not billed, such as processor time, has none
        )
        .group_by(WorkflowRunRow.id, WorkflowVersionRow.name, WorkflowRunRow.engine, WorkflowRunRow.workflow_digest)
        .having(func.count() == func.count(CostRow.amount))
    )
    for name, engine, digest, usd in session.execute(query) if asked else ():
        past[name, engine].append((digest, usd or 0.0))
    found = []
    for (name, digest, engine), runs in sorted(asked.items()):
        of_version = [usd for each, usd in past[name, engine] if each == digest]
        known = of_version or [usd for _digest, usd in past[name, engine]]
        if known:
            found.append(
                ExpectedCost(
                    workflow=name,
                    engine=engine,
                    runs=runs,
                    median=median(known),
                    known=len(known),
                    same_version=bool(of_version),
                    digest=digest,
                )
            )
    return found


def cost_sentence(costs: Sequence[ExpectedCost], runs: int) -> str:
    """Return what so many runs will cost and how that was got; empty when nothing is known.

    Args:
        costs: From `expected_costs`.
        runs: How many are meant in all; of some nothing may be known.
    """
    if not costs:
        return ""
    total = sum(each.usd for each in costs)
    unknown = runs - sum(each.runs for each in costs)
    more = f"; what {counted(unknown, 'other run')} will cost is not known" if unknown > 0 else ""
    return f"about ${total:.2f} ({'; '.join(each.sentence for each in costs)}{more})"
