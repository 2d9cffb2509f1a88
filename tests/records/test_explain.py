"""A result is explained from the records: what it was made from, how, by whom, how it was judged, and what changed."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hostile
import pytest
import seed
from sqlalchemy import delete, event, select
from sqlalchemy.orm import Session

from labrelay.model.experiment import Experiment, Sample
from labrelay.model.files import FileRef, FileRole
from labrelay.model.instrument import InstrumentRun, SheetSample
from labrelay.model.qc import QCMetric, Verdict
from labrelay.model.runs import EngineStatus, RunReport, TaskReport, WorkflowVersion, attempt_token
from labrelay.model.states import RunState
from labrelay.records import experiments, intake, overrides, runs
from labrelay.records.database import Database, now
from labrelay.records.explain import explain
from labrelay.records.explanation import Explanation
from labrelay.records.explanation_text import sentences, title
from labrelay.records.runs import Intent
from labrelay.records.schema import CostRow, SampleRow, WorkflowRunRow

START = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
TASK = TaskReport(
    name="align",
    state=RunState.COMPLETE,
    cached=True,
    declared_image="quay.io/a/minimap2:2.28",
    ran_in="bubblewrap",
    instance_type="omics.c.large",
)
CONTENT: dict[str, Any] = {
    "title": "Viral variants by mapping to a reference",
    "workflow": "viral",
    "inputs": {"min_depth": {"from": "parameter", "default": 10}, "label": {"from": "parameter"}},
    "metrics": {"mean_depth": {"output": "numbers", "pointer": "/depth", "unit": "x", "label": "Mean depth"}},
    "thresholds": {"mean_depth": {"metric": "mean_depth", "fail_below": 20, "warn_below": 50}},
}
NEWER = WorkflowVersion(name="viral_variants", version="1.1.0", digest="cd" * 32, language="WDL", main="main.wdl")


MakeLab = Callable[..., "Lab"]


class Lab:
    """One experiment whose samples have reads on as many instrument runs as are asked for."""

    def __init__(self, url: str, samples: int = 1, flow_cells: int = 1, name: str = "SMP") -> None:
        self.db = seed.open_database(url)
        self.experiment = Experiment(name="outbreak")
        self.samples = [
            Sample(experiment_id=self.experiment.id, name=f"{name}{n}" if samples > 1 else name) for n in range(samples)
        ]
        self.reads: dict[str, list[FileRef]] = {sample.id: [] for sample in self.samples}
        with self.db.write() as session:
            experiments.announce(session, self.experiment, self.samples, correct=False)
            runs.publish(session, seed.WORKFLOW, "bundles/1.zip", CONTENT)
            runs.publish(session, NEWER, "bundles/2.zip", {**CONTENT, "thresholds": {}})
            for number in range(flow_cells):
                self._measure(session, number)

    def _measure(self, session: Session, number: int) -> None:
        run = InstrumentRun(
            run_id=f"R{number}",
            folder_name="x",
            platform="illumina",
            instrument_model="MiSeq",
            instrument_serial="M1",
            flow_cell=f"FC{number}",
            started=START,
            samples=tuple(SheetSample(sample_id=sample.name) for sample in self.samples),
        )
        intake.see(session, run, f"/data/R{number}")
        for place, sample in enumerate(self.samples):
            refs = [seed.stored(f"raw/R{number}/{place}_L00{lane}.fastq.gz") for lane in (1, 2)]
            intake.add_files(session, [(ref, FileRole.READS.value, {"reads": 1000}) for ref in refs])
            intake.add_dataset(session, run.id, sample.name, "assigned", sample.id, "id")
            made = intake.dataset_id(run.id, sample.name)
            intake.link_files(session, made, [(ref.id, lane, 1) for lane, ref in enumerate(refs, 1)])
            self.reads[sample.id] += refs

    def run(
        self,
        workflow: WorkflowVersion = seed.WORKFLOW,
        parameters: dict[str, Any] | None = None,
        state: RunState = RunState.COMPLETE,
        tasks: tuple[TaskReport, ...] = (TASK,),
        depth: float | None = 30,
        **changes: Any,
    ) -> str:
        """Write a workflow run on all samples with all their reads, ended and recorded; return its id."""
        intent = self._intent(workflow, parameters or {}, changes)
        token = attempt_token(intent.key, 1)
        metrics = [QCMetric(name="mean_depth", value=depth, unit="x", scope="sample")]
        with self.db.write() as session:
            runs.intend(session, intent)
            runs.attach(session, token, token)
            ended = EngineStatus(state=state, at=datetime.now(UTC), message="task align failed with exit status 3")
            runs.apply_event(session, token, ended)
            report = RunReport(
                state=state,
                started=START,
                ended=START + timedelta(seconds=75),
                engine="miniwdl 1.16.0",
                sandbox="bubblewrap",
                tasks=tasks,
                tools={"samtools": "1.21" if workflow is seed.WORKFLOW else "1.22"},
            )
            runs.add_report(session, token, report)
            row = session.get_one(WorkflowRunRow, intent.run_id)
            row.recorded_at = now()
            if state is RunState.COMPLETE:
                verdict = Verdict.WARN if depth else Verdict.FAIL
                intake.add_metrics(session, row.id, metrics, {"mean_depth": verdict})
                row.verdict = verdict.value
        return intent.run_id

    def _intent(self, workflow: WorkflowVersion, parameters: dict[str, Any], changes: dict[str, Any]) -> Intent:
        reads = [ref for refs in self.reads.values() for ref in refs]
        samples = [[sample.id, sample.revision] for sample in self.samples]
        asked = {"parameters": parameters, "samples": samples}
        base = seed.intent_of(self.experiment, self.samples[0], reads, workflow, changes.get("generation", 0))
        fields = {
            "parameters": asked,
            "samples": tuple((sample.id, sample.revision) for sample in self.samples),
            "key": seed.hashlib.sha256(json.dumps([base.key, asked]).encode()).hexdigest(),
        }
        return base.model_copy(update=fields | changes)

    def explain(self, run_id: str) -> Explanation:
        with self.db.read() as session:
            return explain(session, session.get_one(WorkflowRunRow, run_id))


@pytest.fixture
def make_lab(new_url: Callable[[Path], str], tmp_path: Path) -> MakeLab:
    """Return a function that makes a lab with a store of its own."""
    numbers = itertools.count()

    def make(**asked: Any) -> Lab:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return Lab(new_url(folder), **asked)

    return make


def said(told: Explanation) -> str:
    return "\n".join(sentence for part in sentences(told) for sentence in part.sentences)


def part(told: Explanation, heading: str) -> str:
    return "\n".join(next((each.sentences for each in sentences(told) if each.heading == heading), ()))


def test_reads_are_told_by_instrument_run_flow_cell_lane_and_checksum_also_of_top_ups(make_lab: MakeLab) -> None:
    lab = make_lab(flow_cells=2)
    told = lab.explain(lab.run())
    assert [(s.run_id, s.flow_cell, s.lanes, s.reads) for s in told.sources] == [
        ("R0", "FC0", (1, 2), 2000),
        ("R1", "FC1", (1, 2), 2000),
    ]
    text = part(told, "Reads")
    where = "instrument run R1 of MiSeq M1, flow cell FC1, lanes 1, 2, begun 23 November 2026, 14:05 UTC."
    assert f"2 files with 2,000 reads from {where}" in text
    assert all(ref.sha256 in text for ref in lab.reads[lab.samples[0].id])


def test_who_asked_by_which_rule_where_in_what_and_what_it_took(make_lab: MakeLab) -> None:
    lab = make_lab()
    told = lab.explain(lab.run())
    assert "asked for it by the routing rule “measles genomes” on " in part(told, "Who and why")
    where = part(told, "Where, in what, and what it took")
    assert "It ran on this machine by miniwdl 1.16.0, held by bubblewrap." in where
    assert "1 task, in bubblewrap, on omics.c.large, of which 1 took an earlier result." in where
    assert "declares quay.io/a/minimap2:2.28; no container of it was started" in where
    assert "1 min 15 s by the clock, nothing that is billed" in where


def test_the_verdict_names_value_and_limits_and_a_person_who_set_another_one(make_lab: MakeLab) -> None:
    lab = make_lab()
    run_id = lab.run()
    text = part(lab.explain(run_id), "Verdict")
    assert text == "The verdict is warn.\nMean depth is 30× (warn: fail below 20×, warn below 50×)."
    with lab.db.write() as session:
        overrides.override(session, session.get_one(WorkflowRunRow, run_id), Verdict.PASS, "the dip is known")
    assert re.search(r"The verdict is pass, set by \S+ in place of warn: the dip is known\.", said(lab.explain(run_id)))


def test_only_parameters_that_differ_from_their_defaults_are_named(make_lab: MakeLab) -> None:
    lab = make_lab()
    told = lab.explain(lab.run(parameters={"viral.min_depth": 30, "label": "x"}))
    text = part(told, "Workflow")
    assert "min_depth was set to 30; the default is 10." in text
    assert "label was set to x; the definition states no default." in text
    assert f"viral_variants 1.0.0 (WDL), bundle {'ab' * 32}" in text
    plain = lab.explain(lab.run(parameters={"min_depth": 10}))
    assert "All parameters are the definition's defaults." in part(plain, "Workflow")


def test_a_failed_run_says_why_and_has_no_verdict(make_lab: MakeLab) -> None:
    lab = make_lab()
    failed = TASK.model_copy(update={"state": RunState.EXECUTOR_ERROR, "cached": False})
    told = lab.explain(lab.run(state=RunState.EXECUTOR_ERROR, tasks=(failed,)))
    reason = "There is no result: the run is EXECUTOR_ERROR: task align failed with exit status 3."
    assert part(told, "Verdict") == reason
    assert "Failed: align; see `labrelay runs logs run_" in said(told)


def test_a_run_without_tasks_says_so(make_lab: MakeLab) -> None:
    lab = make_lab()
    assert "Nothing is known of its tasks." in said(lab.explain(lab.run(tasks=())))


def test_a_run_that_was_never_started_is_explained_too(make_lab: MakeLab) -> None:
    lab = make_lab()
    intent = lab._intent(seed.WORKFLOW, {}, {})
    with lab.db.write() as session:
        runs.intend(session, intent)
    told = lab.explain(intent.run_id)
    assert "There is no result: the run is QUEUED." in said(told)
    assert told.took.seconds is None


@pytest.mark.parametrize(
    ("state", "ran", "compared"),
    [
        (RunState.QUEUED, "It is to run on this machine", "The reads are to be compared with ref_1"),
        (RunState.RUNNING, "It runs on this machine", "The reads are compared with ref_1"),
        (RunState.CANCELED, "It was to run on this machine", "The reads were to be compared with ref_1"),
        (RunState.COMPLETE, "It ran on this machine", "The reads were compared with ref_1"),
    ],
)
def test_what_is_still_to_come_is_not_told_as_done(make_lab: MakeLab, state: RunState, ran: str, compared: str) -> None:
    lab = make_lab()
    intent = lab._intent(seed.WORKFLOW, {}, {"reference_id": "ref_1"})
    with lab.db.write() as session:
        runs.intend(session, intent)
        session.get_one(WorkflowRunRow, intent.run_id).state = state.value
    text = said(lab.explain(intent.run_id))
    assert ran in text
    assert compared in text
    assert ("It took" in text) is state.terminal


def test_a_task_that_runs_or_waits_has_not_failed(make_lab: MakeLab) -> None:
    lab = make_lab()
    states = (RunState.RUNNING, RunState.QUEUED, RunState.UNKNOWN, RunState.SYSTEM_ERROR)
    tasks = tuple(TASK.model_copy(update={"name": state.value.lower(), "state": state}) for state in states)
    assert lab.explain(lab.run(tasks=tasks)).ran.failed == ("system_error",)


def test_a_sum_that_leaves_something_out_is_no_sum(make_lab: MakeLab) -> None:
    lab = make_lab()
    run_id = lab.run()
    for amount, currency, usd in ((0.5, "USD", 1.5), (None, None, None), (0.5, "EUR", None)):
        with lab.db.write() as session:
            session.execute(delete(CostRow))
            for item, price, of in (("a", 1.0, "USD"), ("b", amount, currency)):
                session.add(CostRow(run_id=run_id, item=item, quantity=1, unit="h", amount=price, currency=of))
        assert lab.explain(run_id).took.usd == usd


def test_what_changed_since_the_result_before_is_named_with_the_numbers_that_moved(make_lab: MakeLab) -> None:
    lab = make_lab()
    first = lab.run()
    lab.samples = [lab.samples[0].model_copy(update={"revision": 2})]
    with lab.db.write() as session:
        session.scalars(select(SampleRow)).one().revision = 2
        lab._measure(session, 1)
    second = lab.run(NEWER, {"min_depth": 5}, depth=45.5, rule=None, engine="batch", reference_id="ref_2", generation=1)
    told = lab.explain(second)
    assert told.before is not None
    assert told.before.run_id == first
    changed = {(change.what, change.phrase) for change in told.before.changes}
    assert changed == {
        ("workflow", "viral_variants is version 1.1.0, it was 1.0.0"),
        ("limits", "other limits are set for mean_depth"),
        ("parameters", "min_depth is 5, it was the default"),
        ("reference", "the reference is ref_2, it was none"),
        ("reads", "2 files came to its inputs"),
        ("sample", "sample SMP was corrected: revision 2, it was 1"),
        ("tools", "samtools is 1.22, it was 1.21"),
        ("place", "it ran on batch, the one before on local"),
        ("rule", "it was asked for by hand, the one before by the rule measles genomes"),
    }
    assert "Mean depth is 45.5×, it was 30× (+15.5)" in part(told, "Since the result before")
    assert "computed again on purpose" in part(told, "Who and why")
    # The first has nothing before it, and uses a revision that is not the newest any more.
    old = lab.explain(first)
    assert old.before is None
    assert "It used revision 1 of sample SMP, which is at 2 now." in said(old)


def test_a_run_that_was_only_computed_again_says_that_nothing_is_different(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.run()
    text = part(lab.explain(lab.run(generation=1)), "Since the result before")
    assert "nothing that went into it is different: it was computed again" in text
    assert "all its numbers are the same" in text


def test_the_result_before_a_cohorts_is_one_of_the_same_cohort(make_lab: MakeLab) -> None:
    lab = make_lab(samples=3)
    everyone = lab.run()
    whole, lab.samples = lab.samples, lab.samples[:1]
    alone = lab.run()
    lab.samples = whole
    again = lab.explain(lab.run(generation=1))
    assert again.before is not None
    assert again.before.run_id == everyone
    assert lab.explain(alone).before is None
    assert "on SMP0, SMP1, SMP2, experiment outbreak" in title(again)


def test_a_stale_and_replaced_result_says_why_and_what_counts_instead(make_lab: MakeLab) -> None:
    lab = make_lab()
    first, second = lab.run(), lab.run(generation=1)
    with lab.db.write() as session:
        row = session.get_one(WorkflowRunRow, first)
        row.stale, row.replaced_by = "sample SMP was corrected (revision 1, now 2)", second
    text = part(lab.explain(first), "Out of date")
    why = "since sample SMP was corrected (revision 1, now 2)"
    assert text == f"The result of {second} counts in its place, {why}: `labrelay explain {second}`."
    instead = f"It takes the place of {first}: sample SMP was corrected (revision 1, now 2)."
    assert instead in part(lab.explain(second), "Who and why")


def test_the_number_of_queries_does_not_grow_with_samples_files_and_tasks(make_lab: MakeLab) -> None:
    counts = []
    for size in (1, 40):
        lab = make_lab(samples=size)
        lab.run(tasks=tuple(TASK.model_copy(update={"name": f"t{n}"}) for n in range(size)))
        run_id = lab.run(generation=1)
        counts.append(queries_of(lab.db, lambda lab=lab, run_id=run_id: lab.explain(run_id)))
    assert counts[0] == counts[1] <= 18


def queries_of(db: Database, work: Any) -> int:
    seen: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("SELECT"):
            seen.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        work()
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
    return len(seen)


def test_long_lists_are_cut_in_the_text_and_whole_in_the_json(make_lab: MakeLab) -> None:
    lab = make_lab(samples=20)
    told = lab.explain(lab.run())
    assert "and 28 more files: see --json" in part(told, "Reads")
    assert len(Explanation.model_validate(json.loads(told.model_dump_json())).sources[0].files) == 40


@pytest.mark.parametrize("name", hostile.NAMES)
def test_hostile_names_are_printed_on_one_line_as_text(make_lab: MakeLab, name: str) -> None:
    lab = make_lab(name=name)
    told = lab.explain(lab.run(parameters={"label": name}, rule=name))
    lines: Iterator[str] = (sentence for each in sentences(told) for sentence in each.sentences)
    for line in (*lines, title(told)):
        assert line.isprintable()
