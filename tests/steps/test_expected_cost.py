"""What runs will cost is the median of what their like has cost, said with how it was got; a guess is never made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest
import seed

from labrelay.model.experiment import Experiment, Sample
from labrelay.model.runs import EngineStatus, WorkflowVersion, attempt_token
from labrelay.model.states import RunState
from labrelay.records import experiments, runs
from labrelay.records.database import now
from labrelay.records.runs import Intent
from labrelay.records.schema import CostRow, WorkflowRunRow
from labrelay.steps.expected_cost import cost_sentence, expected_costs
from labrelay.steps.home import Home

EXPERIMENT = Experiment(name="exp")
Amounts = Sequence[float | None]


@pytest.fixture
def home(make_home: Callable[[], Home]) -> Home:
    return make_home()


def intent(name: str, digest: str = "a", workflow: str = "align", engine: str = "healthomics") -> Intent:
    made = seed.intent_of(EXPERIMENT, Sample(experiment_id=EXPERIMENT.id, name=name), [])
    version = WorkflowVersion(name=workflow, version="1", digest=digest * 64, language="WDL", main="main.wdl")
    key = f"{name}{workflow}{digest}{engine}".encode().hex().ljust(64, "0")[:64]
    return made.model_copy(update={"workflow": version, "engine": engine, "key": key})


def ran(home: Home, asked: Intent, amounts: Amounts, state: RunState = RunState.COMPLETE) -> None:
    """Write a run that ended so, with a price for each of these items (None: no price is known)."""
    with home.records.write() as session:
        sample = Sample(experiment_id=EXPERIMENT.id, name=asked.key[:10])
        experiments.announce(session, EXPERIMENT, [sample], correct=False)
        runs.publish(session, asked.workflow, "x", {})
        runs.intend(session, asked.model_copy(update={"samples": ()}))
        runs.apply_event(session, attempt_token(asked.key, 1), EngineStatus(state=state, at=datetime.now(UTC)))
        session.get_one(WorkflowRunRow, asked.run_id).recorded_at = now()
        rows = [("cpu", None, None), *((f"task {n}", usd, "USD") for n, usd in enumerate(amounts))]
        for item, usd, currency in rows:
            session.add(CostRow(run_id=asked.run_id, item=item, quantity=1, unit="h", amount=usd, currency=currency))


def expected(home: Home, asked: Sequence[Intent]) -> str:
    with home.records.read() as session:
        return cost_sentence(expected_costs(session, asked), len(asked))


def test_the_median_of_all_that_a_run_was_billed_for_is_taken(home: Home) -> None:
    for name, amounts in {"A": (1.0, 0.5), "B": (2.0,), "C": (100.0,)}.items():
        ran(home, intent(name), amounts)
    asked = [intent("D"), intent("E")]
    assert expected(home, asked) == "about $4.00 (2 × $2.00, the median of 3 runs of align on healthomics)"


def test_runs_that_failed_or_have_items_without_a_price_say_nothing(home: Home) -> None:
    ran(home, intent("A"), (50.0,), RunState.EXECUTOR_ERROR)
    ran(home, intent("B"), (50.0, None))
    ran(home, intent("C"), ())
    assert expected(home, [intent("D")]) == ""
    assert expected(home, []) == ""


def test_runs_of_the_same_version_count_before_those_of_earlier_ones(home: Home) -> None:
    ran(home, intent("A"), (8.0,))
    asked = [intent("D", digest="b")]
    assert "1 × $8.00, the median of 1 run of align on healthomics, of earlier versions" in expected(home, asked)
    ran(home, intent("B", digest="b"), (2.0,))
    assert expected(home, asked) == "about $2.00 (1 × $2.00, the median of 1 run of align on healthomics)"


def test_workflows_and_engines_are_apart_and_what_is_not_known_is_said(home: Home) -> None:
    ran(home, intent("A"), (1.0,))
    ran(home, intent("A", workflow="count", digest="c"), (3.0,))
    asked = [intent("D"), intent("D", workflow="count", digest="c"), intent("D", engine="local")]
    said = expected(home, asked)
    assert said.startswith("about $4.00 (1 × $1.00, the median of 1 run of align on healthomics; 1 × $3.00, ")
    assert said.endswith("; what 1 other run will cost is not known)")
