"""What a person says to a plan that is under way holds: a budget bounds it, and a dropped plan submits nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from changing_lab import Lab, lab_with_results

from labrelay.model.errors import Busy, UsageError
from labrelay.records import plans
from labrelay.records.plans import Step
from labrelay.records.schema_reruns import ReprocessPlanRow
from labrelay.steps import reprocess_run
from labrelay.steps.home import Home
from labrelay.steps.reprocess import plan
from labrelay.steps.reprocess_plans import make, status
from labrelay.steps.reprocess_run import advance, drop, resume, start


@pytest.fixture
def lab(make_home: Callable[[str], Home], tmp_path: Path) -> Lab:
    """Return a lab with results of two samples that a newer workflow has made old."""
    made = lab_with_results(make_home(""), tmp_path, "A", "B")
    made.definition(version="1.1")
    return made


def begun(lab: Lab) -> str:
    shown = make(lab.home, plan(lab.home))
    assert shown.id is not None
    return start(lab.home, shown.id)


def meanwhile(monkeypatch: pytest.MonkeyPatch, does: Callable[[], object]) -> None:
    """Let something happen when a plan's runs have been compared and are not submitted yet."""
    real = reprocess_run.asked_now

    def compared(home: Home, steps: Sequence[Step]) -> object:
        found = real(home, steps)
        monkeypatch.setattr(reprocess_run, "asked_now", real)
        does()
        return found

    monkeypatch.setattr(reprocess_run, "asked_now", compared)


def test_a_budget_that_cannot_hold_is_refused_when_a_plan_is_resumed(lab: Lab) -> None:
    plan_id = begun(lab)
    with pytest.raises(UsageError, match="what 2 runs will cost is not known"):
        resume(lab.home, plan_id, budget_usd=0.01)
    (line,) = status(lab.home, plan_id)
    assert line.budget_usd is None


def test_nobody_drops_starts_or_resumes_a_plan_that_a_worker_moves_on(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_id = begun(lab)
    refused = list[str]()

    def others() -> None:
        for each in (drop, start, resume):
            with pytest.raises(Busy, match="is being worked on"):
                each(lab.home, plan_id)
            refused.append(each.__name__)

    meanwhile(monkeypatch, others)
    assert advance(lab.home, plan_id).new == 2
    assert refused == ["drop", "start", "resume"]


@pytest.mark.parametrize("state", ["dropped", "running"])
def test_what_was_taken_out_of_a_plan_meanwhile_is_not_submitted(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, state: plans.PlanState
) -> None:
    plan_id = begun(lab)
    before = len(lab.rows())

    def taken_out() -> None:
        with lab.home.records.write() as session:
            first = plans.steps(session, plan_id)[0].run_id
            plans.set_items(session, plan_id, [first] if state == "running" else [], "skipped")
            plans.move(session, session.get_one(ReprocessPlanRow, plan_id), state)

    meanwhile(monkeypatch, taken_out)
    with pytest.raises(Busy, match="was changed meanwhile"):
        advance(lab.home, plan_id)
    assert len(lab.rows()) == before
