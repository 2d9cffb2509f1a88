"""Exactly the results that are out of date are named, each with its reason, and only those run again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from changing_lab import EXPERIMENT, Lab, lab_with_results
from sqlalchemy import select

from labrelay.model.errors import UsageError
from labrelay.model.experiment import Sample
from labrelay.model.instrument import InstrumentRun
from labrelay.model.reads import ReadSource
from labrelay.model.states import RunState
from labrelay.records import audit
from labrelay.records.schema import CostRow, WorkflowRunRow
from labrelay.steps.admission import alike
from labrelay.steps.assign import assign
from labrelay.steps.collect import Collected
from labrelay.steps.home import Home
from labrelay.steps.imports import import_reads
from labrelay.steps.reprocess import Item, Plan, plan
from labrelay.steps.reprocess_run import reprocess
from labrelay.steps.route import reads_of, route


@pytest.fixture
def lab(make_home: Callable[[str], Home], tmp_path: Path) -> Lab:
    return lab_with_results(make_home(""), tmp_path, "A", "B")


def items(planned: Plan) -> dict[str, Item]:
    return {",".join(item.samples): item for item in planned.items}


def test_nothing_is_out_of_date_when_nothing_has_changed(lab: Lab) -> None:
    planned = plan(lab.home)
    assert (planned.items, planned.problems) == ([], [])
    assert reprocess(lab.home, planned).new == 0
    assert {row.stale for row in lab.rows()} == {None}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda lab: lab.definition(version="1.1"), "count 1.1 is asked for, it was made with count 1.0"),
        (lambda lab: lab.definition(n=2), "count 1.0 was changed without a new version"),
        (lambda lab: lab.reference("ACGTT"), "the reference virus has new content"),
        (lambda lab: lab.rule("[rule.parameters]\ndepth = 5\n"), "depth is 5, it was default"),
    ],
    ids=["a new version", "an unversioned change", "a new reference", "a parameter"],
)
def test_what_changes_for_all_makes_all_results_old_with_the_reason(
    lab: Lab, change: Callable[[Lab], None], reason: str
) -> None:
    change(lab)
    planned = plan(lab.home)
    assert set(items(planned)) == {"A", "B"}
    assert all(reason in item.reason and item.standing == "to run" for item in planned.items)
    assert all(reason in (row.stale or "") for row in lab.rows())
    assert reprocess(lab.home, planned).new == 2
    assert [item.standing for item in plan(lab.home).items] == ["running", "running"]


def test_a_pinned_version_is_not_replaced_by_a_newer_one(lab: Lab) -> None:
    lab.rule('version = "1.0"\n')
    lab.definition(version="1.1")
    assert plan(lab.home).items == []


def test_a_correction_makes_the_results_of_that_sample_old_and_no_others(lab: Lab) -> None:
    lab.announce("A", subject="patient 9")
    planned = plan(lab.home)
    assert set(items(planned)) == {"A"}
    assert "A was corrected (revision 1, now 2)" in items(planned)["A"].reason


def test_reads_that_are_another_samples_now_are_run_for_that_one(lab: Lab) -> None:
    lab.announce("C")
    assign(lab.home, "A", "C", "A")
    planned = plan(lab.home)
    assert "its reads belong to C now" in items(planned)["A"].reason
    assert items(planned)["A"].standing == "by hand"  # C's reads are not imported yet
    import_reads(lab.home, intake_id("fc-1"))
    planned = plan(lab.home)
    assert set(items(planned)) == {"A"}
    assert items(planned)["A"].standing == "to run"
    submitted = reprocess(lab.home, planned)
    assert lab.rows()[-1].result_path.startswith("exp/C/")
    assert submitted.new == 1


def test_reads_that_a_sample_has_are_given_to_another_one_only_when_it_is_named(lab: Lab) -> None:
    lab.announce("C")
    [mine] = [row.id for row in lab.rows() if row.result_path.startswith("exp/A/")]
    made = rf"A \(dat_\w+\) is A's since [-\d]+ [\d:]+ UTC \(by its id\), and of it were made count 1\.0 \({mine}\)"
    for wrong in (None, "B"):
        with pytest.raises(UsageError, match=made + r": only if its reads are C's, labrelay assign dat_\w+ C --from A"):
            assign(lab.home, "A", "C", wrong)
    assert plan(lab.home).items == []
    assert assign(lab.home, "A", "A").sample == "A", "it is so already"
    assert assign(lab.home, "A", "C", Sample(experiment_id=EXPERIMENT.id, name="A").id).sample == "C"


def intake_id(run_id: str) -> str:
    return InstrumentRun(run_id=run_id, folder_name=run_id, platform="illumina").id


@pytest.mark.parametrize(("merge", "old"), [("topups", {"A"}), ("lanes", set())])
def test_top_ups_make_a_result_old_only_where_the_rule_merges_them(lab: Lab, merge: str, old: set[str]) -> None:
    lab.rule(f'merge = "{merge}"\n')
    lab.take_in("fc-2", "A")
    planned = plan(lab.home)
    assert set(items(planned)) == old
    assert all("1 more file of reads" in item.reason for item in planned.items)


def test_a_sample_that_joins_a_cohort_makes_its_result_old(lab: Lab) -> None:
    lab.definition(version="2.0", scope="cohort")
    lab.rule('scope = "cohort"\n')
    instrument_run = intake_id("fc-1")
    lab.submit(instrument_run)
    lab.end()
    lab.announce("C")
    lab.take_in("fc-2", "C")
    assert any("C joined the cohort" in item.reason for item in plan(lab.home).items)


def test_a_rule_that_is_gone_makes_nothing_old(lab: Lab) -> None:
    (lab.home.path / "rules.toml").write_text("")
    assert plan(lab.home).items == []


def test_what_a_person_asked_for_is_not_measured_by_rules_but_by_corrections(lab: Lab) -> None:
    with lab.home.records.write() as session:
        for row in session.scalars(select(WorkflowRunRow)):
            row.rule = None
    lab.definition(version="1.1")
    assert plan(lab.home).items == []
    lab.announce("A", subject="patient 9")
    assert {name: item.standing for name, item in items(plan(lab.home)).items()} == {"A": "by hand"}


def test_a_replaced_result_names_what_replaced_it(lab: Lab) -> None:
    lab.definition(version="1.1")
    reprocess(lab.home, plan(lab.home))
    lab.end()
    planned = plan(lab.home)
    assert (planned.items, planned.replaced) == ([], 2)
    old, new = lab.rows()[:2], lab.rows()[2:]
    assert {row.replaced_by for row in old} == {row.id for row in new}
    assert all("count 1.1" in (row.stale or "") for row in old)
    assert plan(lab.home).replaced == 0


def test_a_rule_changed_and_changed_back_runs_nothing_and_the_first_result_is_current_again(lab: Lab) -> None:
    first = {row.id for row in lab.rows()}
    lab.rule("[rule.parameters]\ndepth = 5\n")
    reprocess(lab.home, plan(lab.home))
    lab.end()
    plan(lab.home)
    lab.rule()
    planned = plan(lab.home)
    assert (planned.to_run, planned.replaced) == ([], 2)
    current = {row.id for row in lab.rows() if row.replaced_by is None and row.stale is None}
    assert current == first


def test_a_mark_goes_when_the_change_is_taken_back_before_anything_ran(lab: Lab) -> None:
    lab.definition(version="1.1")
    plan(lab.home)
    lab.definition(version="1.0")
    assert plan(lab.home).items == []
    assert {row.stale for row in lab.rows()} == {None}


def test_new_conditions_are_tried_on_two_runs_before_the_rest(lab: Lab) -> None:
    lab.announce("C", "D")
    lab.submit(lab.take_in("fc-2", "C", "D"))
    lab.end()
    lab.definition(version="1.1")
    first = reprocess(lab.home, plan(lab.home))
    assert (first.new, len(first.held)) == (2, 2)
    assert "waits for the first result of count 1.1" in first.held[0][1]
    assert reprocess(lab.home, plan(lab.home)).new == 0
    lab.end()
    assert reprocess(lab.home, plan(lab.home)).new == 2


def test_waiting_goes_on_after_the_first_results_until_all_is_replaced(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    waves: list[int] = []

    def wait_for(home: Home, run_ids: Sequence[str], *, first: bool) -> Collected:
        waves.append(len(run_ids))
        lab.end()
        return Collected()

    monkeypatch.setattr("labrelay.steps.reprocess_run.wait_for", wait_for)
    lab.announce("C", "D", "E")
    lab.submit(lab.take_in("fc-2", "C", "D", "E"))
    lab.end()
    lab.definition(version="1.1")
    done = reprocess(lab.home, plan(lab.home), limit=4, wait=True)
    assert waves == [2, 2]
    assert (done.new, [why for _run, why in done.held]) == (4, ["the limit of 4 runs is reached"])


def test_two_equal_failures_stop_the_workflow_and_other_results_stay(lab: Lab) -> None:
    lab.announce("C", "D")
    lab.submit(lab.take_in("fc-2", "C", "D"))
    lab.end()
    lab.definition(version="1.1")
    reprocess(lab.home, plan(lab.home))
    lab.end(RunState.EXECUTOR_ERROR, "task count failed")
    planned = plan(lab.home)
    assert sorted(item.standing for item in planned.items) == ["failed", "failed", "planned", "planned"]
    stopped = reprocess(lab.home, planned)
    assert stopped.new == 0
    assert len(stopped.held) == 2
    assert all("2 reruns failed alike" in why for _run, why in stopped.held)
    lab.definition(version="1.2")  # mended
    assert reprocess(lab.home, plan(lab.home)).new == 2


def test_failures_are_alike_whatever_the_paths_ids_and_numbers() -> None:
    one = "task count in /home/a/run-1/x.log: exit 137 of run_0123456789abcdef"
    other = "task count in /home/b/run-22/y.log: exit 1 of run_fedcba9876543210"
    assert alike(one) == alike(other)
    assert alike(one) != alike("task align in /home/a: exit 137")


def test_the_limit_bounds_what_is_submitted_now(lab: Lab) -> None:
    lab.definition(version="1.1")
    done = reprocess(lab.home, plan(lab.home), limit=1)
    assert (done.new, [why for _run, why in done.held]) == (1, ["the limit of 1 run is reached"])
    assert reprocess(lab.home, plan(lab.home), limit=0).new == 0


def test_a_failed_run_is_no_result_and_is_not_tried_again(lab: Lab) -> None:
    lab.announce("C")
    lab.submit(lab.take_in("fc-2", "C"))
    lab.end(RunState.EXECUTOR_ERROR, "bad")
    assert plan(lab.home).items == []


def test_what_cannot_be_composed_is_a_problem_of_the_plan_once(lab: Lab) -> None:
    lab.rule('[[rule]]\nname = "other"\nworkflow = "nowhere"\n')
    planned = plan(lab.home)
    assert len(planned.problems) == 2
    assert "nowhere" in planned.problems[0]
    assert planned.items == []


def test_every_mark_is_in_the_audit_trail_and_planning_again_adds_none(lab: Lab) -> None:
    lab.definition(version="1.1")
    plan(lab.home)
    with lab.home.records.read() as session:
        before = audit.count(session)
    plan(lab.home)
    with lab.home.records.read() as session:
        assert audit.count(session) == before


def test_reads_given_to_another_sample_while_they_were_imported_do_not_count_for_the_first(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported = lab.home.reads.import_reads

    def given_away_meanwhile(sources: Sequence[ReadSource], token: str) -> str:
        monkeypatch.undo()
        assign(lab.home, "C", "D", "C")
        return imported(sources, token)

    monkeypatch.setattr(lab.home.reads, "import_reads", given_away_meanwhile)
    lab.announce("C", "D")
    run = lab.take_in("given", "C")
    assert import_reads(lab.home, run).imported == 1
    assert [one.samples[0].sample.name for one in route(lab.home, run).planned] == ["D"]
    with lab.home.records.read() as session:
        reads = reads_of(session, [Sample(experiment_id=EXPERIMENT.id, name=name).id for name in ("C", "D")])
    assert [entry.sample.name for entry in reads] == ["D"]


def test_the_plan_tells_what_earlier_runs_have_cost_and_nothing_where_none_is_known(lab: Lab) -> None:
    lab.definition(version="1.1")
    assert "$" not in plan(lab.home).sentence
    with lab.home.records.write() as session:
        for usd, run in zip((1.0, 3.0), session.scalars(select(WorkflowRunRow)), strict=True):
            for item, amount, currency in (("task", usd, "USD"), ("cpu", None, None)):
                session.add(CostRow(run_id=run.id, item=item, quantity=1, unit="h", amount=amount, currency=currency))
    said = plan(lab.home).sentence
    assert said.endswith("about $4.00 (2 × $2.00, the median of 2 runs of count on local, of earlier versions)")
