"""A lab that goes back to what it did before has exactly one result that counts, whatever was under way meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from changing_lab import Lab, lab_with_results
from sqlalchemy import select, update

from labrelay.records import plans, stale
from labrelay.records.schema import CostRow, OutboxRow, WorkflowRunRow
from labrelay.steps.home import Home
from labrelay.steps.reprocess import plan
from labrelay.steps.reprocess_plans import make
from labrelay.steps.reprocess_run import start, work


@pytest.fixture
def lab(make_home: Callable[[str], Home], tmp_path: Path) -> Lab:
    """Return a lab with results of two samples that a newer workflow has made old."""
    home = make_home('datazone_domain_id = "dzd_abc1"\ndatazone_project_id = "abc123"\n')
    made = lab_with_results(home, tmp_path, "A", "B")
    made.definition(version="1.1")
    return made


def begun(lab: Lab) -> str:
    """Make a plan, start it and submit its runs; return its id."""
    shown = make(lab.home, plan(lab.home))
    assert shown.id is not None
    work(lab.home, start(lab.home, shown.id))
    return shown.id


def counting(lab: Lab) -> set[str]:
    """Return the ends of the chains of replacements; one that comes back to itself is an error."""
    after = {row.id: row.replaced_by for row in lab.rows()}
    for first in after:
        seen, each = {first}, after[first]
        while each is not None:
            assert each not in seen, f"{first} is replaced in a circle"
            seen.add(each)
            each = after[each]
    return {run_id for run_id, by in after.items() if by is None}


def test_results_that_count_again_are_not_replaced_when_the_plan_is_settled_later(lab: Lab) -> None:
    before = {row.id for row in lab.rows()}
    plan_id = begun(lab)
    lab.end()
    lab.definition(version="1.0")
    assert plan(lab.home).replaced == 2
    assert work(lab.home, plan_id).state == "done"
    assert counting(lab) == before
    lab.definition(version="1.1")
    assert plan(lab.home).replaced == 2
    assert counting(lab) == {row.id for row in lab.rows()} - before


def told(lab: Lab) -> list[str]:
    """Return which results the catalogue is to be told of, and take them as told."""
    with lab.home.records.write() as session:
        rows = session.scalars(select(OutboxRow).where(OutboxRow.channel == "catalogue", OutboxRow.state == "pending"))
        ids = [row.entity_id for row in rows]
        session.execute(update(OutboxRow).values(state="confirmed"))
    return ids


def test_the_catalogue_is_told_each_time_that_results_count_again(lab: Lab) -> None:
    plan_id = begun(lab)
    lab.end()
    work(lab.home, plan_id)
    told(lab)
    for version in ("1.0", "1.1", "1.0"):
        lab.definition(version=version)
        assert plan(lab.home).replaced == 2
        assert set(told(lab)) == {row.id for row in lab.rows()}
        assert plan(lab.home).replaced == 0
        assert told(lab) == []


def test_results_that_count_again_have_no_causes_left(lab: Lab) -> None:
    plan_id = begun(lab)
    lab.end()
    work(lab.home, plan_id)
    lab.definition(version="1.0")
    plan(lab.home)
    with lab.home.records.read() as session:
        assert stale.by_cause(session) == {}


def test_a_plan_that_is_shown_again_has_the_prices_that_it_shows(lab: Lab) -> None:
    for usd in (2.0, 9.0):
        with lab.home.records.write() as session:
            for row in session.scalars(select(WorkflowRunRow)):
                price = {"item": "run", "quantity": 1, "unit": "h", "amount": usd, "currency": "USD"}
                session.merge(CostRow(run_id=row.id, **price))
        shown = make(lab.home, plan(lab.home))
        assert shown.id is not None
        with lab.home.records.read() as session:
            assert [step.usd for step in plans.steps(session, shown.id)] == [usd, usd]
            assert len(plans.newest(session, 9)) == 1
