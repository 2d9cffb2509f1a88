"""A plan runs exactly what was shown, within its bounds, once, whoever works on it and whatever is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from changing_lab import Engine, Lab, lab_with_results
from sqlalchemy import func, select, update

from labrelay.model.errors import Busy, Conflict, NotFound, UsageError
from labrelay.model.runs import RunRequest
from labrelay.model.states import RunState
from labrelay.records import audit, lease, plans, stale
from labrelay.records.plans import Bounds
from labrelay.records.schema import AttemptRow, CostRow, LeaseRow, OutboxRow, WorkflowRunRow
from labrelay.records.schema_reruns import ReprocessItemRow
from labrelay.records.stale import Wanted
from labrelay.steps import reprocess_run
from labrelay.steps.home import Home, open_home
from labrelay.steps.overview import overview
from labrelay.steps.reprocess import plan
from labrelay.steps.reprocess_plans import Made, make, status
from labrelay.steps.reprocess_run import advance, drop, reprocess, resume, start, work, work_on_plans
from labrelay.steps.sweep import sweep

WEBHOOK = 'webhook_url = "http://127.0.0.1:9/hook"\n'


@pytest.fixture
def lab(make_home: Callable[[str], Home], tmp_path: Path) -> Lab:
    """Return a lab with results of four samples that a newer workflow has made old."""
    made = lab_with_results(make_home(WEBHOOK), tmp_path, "A", "B", "C", "D")
    made.definition(version="1.1")
    return made


def made(lab: Lab, bounds: Bounds | None = None) -> Made:
    return make(lab.home, plan(lab.home), bounds)


def begun(lab: Lab, **bounds: int | float) -> str:
    """Make a plan and start it; return its id."""
    shown = made(lab, Bounds.model_validate(bounds))
    assert shown.id is not None
    return start(lab.home, shown.id)


def priced(lab: Lab, usd: float) -> None:
    """Give each recorded run a price."""
    with lab.home.records.write() as session:
        known = set(session.scalars(select(CostRow.run_id).where(CostRow.item == "run")))
        for row in session.scalars(select(WorkflowRunRow).where(WorkflowRunRow.recorded_at.is_not(None))):
            if row.id not in known:
                price = {"item": "run", "quantity": 1, "unit": "h", "amount": usd, "currency": "USD"}
                session.add(CostRow(run_id=row.id, **price))


def counts(lab: Lab, plan_id: str) -> dict[str, int]:
    (line,) = status(lab.home, plan_id)
    return line.counts


def notices(lab: Lab, kind: str) -> list[str]:
    with lab.home.records.read() as session:
        rows = session.scalars(select(OutboxRow).where(OutboxRow.kind == kind, OutboxRow.channel == "notify-webhook"))
        return [row.payload["reason"] for row in rows]


def live(lab: Lab) -> int:
    ended = [state.value for state in RunState if state.terminal]
    return sum(row.state not in ended for row in lab.rows())


def test_a_plan_shows_count_cost_and_why_by_cause_and_shown_again_it_is_the_same(lab: Lab) -> None:
    priced(lab, 2.0)
    lab.announce("A", subject="patient 9")
    shown = made(lab)
    assert (shown.expected.runs, shown.expected.results, shown.expected.usd) == (4, 4, 8.0)
    by_causes = {group.causes: (group.results, group.usd, group.title) for group in shown.expected.groups}
    assert by_causes == {
        ("workflow",): (3, 6.0, "a new workflow version"),
        ("sample", "workflow"): (1, 2.0, "a corrected sample and a new workflow version"),
    }
    assert shown.expected.groups[0].reasons == (("count 1.1 is asked for, it was made with count 1.0", 3),)
    assert made(lab).id == shown.id
    assert live(lab) == 0


def test_what_is_not_known_of_cost_and_time_is_said_to_be_unknown(lab: Lab) -> None:
    shown = made(lab)
    assert (shown.expected.usd, shown.expected.unpriced, shown.expected.seconds) == (None, 4, None)
    with pytest.raises(UsageError, match="what 4 runs will cost is not known"):
        made(lab, Bounds(usd=5))


def test_time_by_the_clock_follows_from_earlier_runs_and_how_many_go_at_once(lab: Lab) -> None:
    report = {"started": "2026-11-28T10:00:00+00:00", "ended": "2026-11-28T10:10:00+00:00"}
    with lab.home.records.write() as session:
        session.execute(update(AttemptRow).values(report=report))
    assert made(lab, Bounds(at_once=3)).expected.seconds == 1200


def test_causes_are_filtered_in_the_records_and_in_a_plan(lab: Lab) -> None:
    lab.announce("A", subject="patient 9")
    plan(lab.home)
    with lab.home.records.read() as session:
        assert stale.by_cause(session) == {"workflow": 4, "sample": 1}
        (corrected,) = stale.stale(session, Wanted(cause="sample"))
        assert corrected.sentence == "sample A was corrected (revision 1, now 2)"
        assert stale.stale(session, Wanted(experiment="other")) == []
        assert stale.stale(session, Wanted(since="2999")) == []
        assert len(stale.stale(session, Wanted(workflow="count", experiment="exp", since="2020"))) == 5
    assert [item.samples for item in plan(lab.home, Wanted(cause="sample")).items] == [("A",)]
    with pytest.raises(NotFound, match="no result was made with a workflow other; there are results of: count"):
        plan(lab.home, Wanted(workflow="other"))
    assert len(plan(lab.home, Wanted(experiment="exp", since="2020")).items) == 4


def test_a_cause_that_is_taken_back_goes_and_one_that_stays_keeps_its_time(lab: Lab) -> None:
    plan(lab.home)
    with lab.home.records.read() as session:
        before = {each.run_id: each.since for each in stale.stale(session)}
    lab.announce("A", subject="patient 9")
    plan(lab.home)
    with lab.home.records.read() as session:
        assert {each.run_id: each.since for each in stale.stale(session, Wanted(cause="workflow"))} == before
    lab.definition(version="1.0")
    plan(lab.home)
    with lab.home.records.read() as session:
        assert stale.by_cause(session) == {"sample": 1}


def test_a_started_plan_runs_what_was_shown_and_nothing_that_came_after(lab: Lab) -> None:
    shown = made(lab)
    assert shown.id is not None
    lab.announce("E")
    lab.take_in("fc-2", "E")
    start(lab.home, shown.id)
    work(lab.home, shown.id)
    lab.end()
    work(lab.home, shown.id)
    lab.end()
    assert work(lab.home, shown.id).state == "done"
    assert counts(lab, shown.id) == {"done": 4}
    old, new = lab.rows()[:4], lab.rows()[4:]
    assert {row.replaced_by for row in old} == {row.id for row in new}
    assert notices(lab, "plan-done") == ["4 results replaced"]


def test_a_plan_that_has_gone_out_of_date_is_not_started_and_says_what_changed(lab: Lab) -> None:
    shown = made(lab)
    assert shown.id is not None
    lab.announce("A", subject="patient 9")
    with pytest.raises(Conflict, match=r"sample A was corrected \(revision 1, now 2\).* \(A\)"):
        start(lab.home, shown.id)
    assert live(lab) == 0
    resume(lab.home, shown.id)
    work(lab.home, shown.id)
    assert counts(lab, shown.id) == {"planned": 1, "skipped": 1, "submitted": 2}


def test_what_goes_out_of_date_while_a_plan_runs_holds_it_and_is_left_out_when_it_is_resumed(lab: Lab) -> None:
    plan_id = begun(lab)
    work(lab.home, plan_id)
    lab.end()
    lab.definition(version="1.2")
    held = work(lab.home, plan_id)
    assert (held.state, held.new) == ("held", 0)
    assert "count 1.2 is asked for, it was planned with count 1.1" in (held.reason or "")
    resume(lab.home, plan_id)
    assert work(lab.home, plan_id).state == "done"
    assert counts(lab, plan_id) == {"done": 2, "skipped": 2}


def test_never_more_runs_are_live_than_the_plan_allows(lab: Lab) -> None:
    plan_id = begun(lab, at_once=1)
    for _ in range(4):
        for _again in range(3):
            work(lab.home, plan_id)
            work_on_plans(lab.home)
        assert live(lab) == 1
        lab.end()
    assert work(lab.home, plan_id).state == "done"


def test_equal_failures_in_a_row_hold_the_plan_and_resuming_forgets_them(lab: Lab) -> None:
    plan_id = begun(lab, at_once=1, stop_after=2)
    for number in range(2):
        work(lab.home, plan_id)
        lab.end(RunState.EXECUTOR_ERROR, f"task count failed with exit code {number}")
    held = work(lab.home, plan_id)
    assert (held.state, held.new, len(held.held)) == ("held", 0, 2)
    assert "2 reruns failed alike" in (held.reason or "")
    assert [said.split(" (")[0] for said in notices(lab, "plan-held")] == ["2 reruns failed alike"]
    (waits,) = overview(lab.home).held_plans
    assert (waits.plan, waits.why) == (plan_id, held.reason)
    with pytest.raises(UsageError, match="is held: 2 reruns failed alike"):
        start(lab.home, plan_id)
    assert work(lab.home, plan_id).new == 0
    resume(lab.home, plan_id)
    assert overview(lab.home).held_plans == ()
    assert work(lab.home, plan_id).new == 1


def test_failures_of_other_kinds_or_with_a_success_between_do_not_hold_it(lab: Lab) -> None:
    plan_id = begun(lab, at_once=1, stop_after=2)
    ends = [(RunState.EXECUTOR_ERROR, "no memory"), (RunState.COMPLETE, None), (RunState.EXECUTOR_ERROR, "no memory")]
    for state, failure in [*ends, (RunState.EXECUTOR_ERROR, "no disk")]:
        assert work(lab.home, plan_id).new == 1
        lab.end(state, failure)
    done = work(lab.home, plan_id)
    assert (done.state, done.reason) == ("done", "1 result replaced, 3 failed")


def test_a_budget_in_money_bounds_the_plan_and_what_runs_really_cost_holds_it(lab: Lab) -> None:
    priced(lab, 2.0)
    shown = made(lab, Bounds(usd=7))
    assert (shown.expected.runs, shown.expected.left_out) == (3, 1)
    assert shown.expected.left_out_why == "the budget of $7.00 is reached"
    assert shown.id is not None
    start(lab.home, shown.id)
    assert work(lab.home, shown.id).new == 2
    lab.end()
    priced(lab, 3.0)
    held = work(lab.home, shown.id)
    assert (held.new, held.state) == (0, "held")
    assert "$6.00 of $7.00 are spent or under way, the next run costs about $2.00" in (held.reason or "")
    resume(lab.home, shown.id, budget_usd=8)
    assert work(lab.home, shown.id).new == 1


def test_a_dropped_plan_submits_nothing_more_and_cannot_be_run(lab: Lab) -> None:
    plan_id = begun(lab, at_once=1)
    work(lab.home, plan_id)
    drop(lab.home, plan_id)
    lab.end()
    assert work(lab.home, plan_id).new == 0
    assert len(lab.rows()) == 5
    with pytest.raises(UsageError, match="has ended"):
        resume(lab.home, plan_id)


def test_what_a_plan_will_run_is_not_planned_once_more(lab: Lab) -> None:
    plan_id = begun(lab)
    planned = plan(lab.home)
    assert {item.plan for item in planned.items} == {plan_id}
    assert planned.to_run == []
    assert reprocess(lab.home, planned).new == 2
    with lab.home.records.read() as session:
        assert [row.id for row in plans.newest(session, 9)] == [plan_id]


def test_a_failed_rerun_that_is_tried_again_and_succeeds_counts_as_done(lab: Lab) -> None:
    from labrelay.records import runs

    plan_id = begun(lab, at_once=1, stop_after=9)
    work(lab.home, plan_id)
    lab.end(RunState.EXECUTOR_ERROR, "bad")
    work(lab.home, plan_id)
    assert counts(lab, plan_id) == {"failed": 1, "planned": 2, "submitted": 1}
    with lab.home.records.write() as session:
        failed = session.scalar(select(WorkflowRunRow).where(WorkflowRunRow.failure == "bad"))
        assert failed is not None
        runs.retry(session, failed)
    work(lab.home, plan_id)
    assert counts(lab, plan_id) == {"planned": 2, "submitted": 2}
    lab.end()
    assert counts(lab, plan_id) == {"done": 2, "planned": 2}


def test_the_sweep_moves_plans_on(lab: Lab) -> None:
    begun(lab)
    assert sweep(lab.home).reruns == 2
    assert sweep(lab.home).reruns == 0


def test_two_workers_do_not_move_one_plan_on_at_the_same_time(lab: Lab) -> None:
    plan_id = begun(lab)
    with lease.held(lab.home.records, f"the plan {plan_id}"):
        with pytest.raises(Busy, match="is being worked on by"):
            advance(lab.home, plan_id)
        assert work_on_plans(lab.home) == 0
    assert live(lab) == 0


def test_a_worker_that_slept_past_its_lease_submits_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    plan_id = begun(lab)
    woken: list[int] = []

    def asleep(point: str) -> None:
        if point == "reprocess.settled" and not woken:
            woken.append(1)
            with lab.home.records.write() as session:
                session.execute(update(LeaseRow).values(until="2000"))
            woken.append(advance(lab.home, plan_id).new)

    monkeypatch.setattr(reprocess_run, "faultpoint", asleep)
    with pytest.raises(Busy, match="was taken over by another worker"):
        advance(lab.home, plan_id)
    assert woken[1] == 2
    assert live(lab) == 2


class Ledger(Engine):
    """Writes each start down outside the process, as a service would."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def submit(self, request: RunRequest) -> str:
        with self.file.open("a") as out:
            out.write(request.token + "\n")
        return request.token


def in_child(home: Path, ledger: Path, plan_id: str, fault: str) -> int:
    """Start and work on a plan in a process of its own, armed; return how it ended."""
    pid = os.fork()
    if pid == 0:
        os.environ["LABRELAY_FAULT"] = fault
        opened = open_home(home)
        opened.engine = Ledger(ledger)
        start(opened, plan_id)
        work(opened, plan_id)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


POINTS = [
    *("reprocess.begun", "reprocess.settled", "submit.intended", "submit.started", "submit.attached"),
    *("records.commit", *(f"records.committed:{nth}" for nth in range(1, 8))),
]


def test_a_kill_at_any_point_loses_and_doubles_nothing(lab: Lab, tmp_path: Path) -> None:
    passed = 0
    for number, point in enumerate(POINTS, 1):
        lab.definition(version=f"1.{number}")
        shown = made(lab)
        assert shown.id is not None
        before = {row.id for row in lab.rows()}
        lab.home.records.engine.dispose()
        ledger = tmp_path / f"{number}.starts"
        name, _, nth = point.partition(":")
        passed += in_child(lab.home.path, ledger, shown.id, f"{name}:{nth or 1}:kill") == -signal.SIGKILL
        lab.home.engine = Ledger(ledger)
        start(lab.home, shown.id)
        work(lab.home, shown.id)
        sweep(lab.home)
        new = {row.id for row in lab.rows()} - before
        with lab.home.records.read() as session:
            item = ReprocessItemRow
            submitted = select(item.run_id).where(item.plan_id == shown.id, item.state == "submitted")
            assert set(session.scalars(submitted)) == new, point
            attempts = select(func.count()).select_from(AttemptRow).where(AttemptRow.run_id.in_(new))
            assert session.scalar(attempts) == len(new) == 2, point
        assert len(set(ledger.read_text().split())) == 2, point
        for _ in range(2):
            lab.end()
            work(lab.home, shown.id)
        assert counts(lab, shown.id) == {"done": 4}, point
    assert passed == len(POINTS)
    with lab.home.records.read() as session:
        assert list(audit.broken_links(session)) == []


def test_two_processes_on_one_plan_submit_each_run_once(lab: Lab, tmp_path: Path) -> None:
    shown = made(lab)
    assert shown.id is not None
    start(lab.home, shown.id)
    lab.home.records.engine.dispose()
    ledger = tmp_path / "starts"
    children = []
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            opened = open_home(lab.home.path)
            opened.engine = Ledger(ledger)
            for _again in range(5):
                work_on_plans(opened)
            os._exit(0)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0, 0, 0]
    assert live(lab) == 2
    assert len(set(ledger.read_text().split())) == 2
