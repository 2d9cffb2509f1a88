"""A lab that goes back to what it did before has exactly one result that counts, whatever was under way meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from changing_lab import Engine, Lab

from labrelay.steps.home import Home
from labrelay.steps.reprocess import plan
from labrelay.steps.reprocess_plans import make
from labrelay.steps.reprocess_run import start, work


@pytest.fixture
def lab(make_home: Callable[[str], Home], tmp_path: Path) -> Lab:
    """Return a lab with results of two samples that a newer workflow has made old."""
    home = make_home("")
    home.engine = Engine()
    made = Lab(home, tmp_path)
    made.announce("A", "B")
    made.submit(made.take_in("fc-1", "A", "B"))
    made.end()
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
