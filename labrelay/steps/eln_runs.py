"""The workflow runs of an experiment with what their notebook entry says of them, in a constant number of queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.model.qc import Verdict
from labrelay.model.states import RunState
from labrelay.records import overrides
from labrelay.records.documents import heading
from labrelay.records.eln.port import Judgement, ResultRow, ResultsPart
from labrelay.records.schema import MetricRow, SampleRow, WorkflowRunRow, WorkflowRunSampleRow, WorkflowVersionRow


@dataclass(frozen=True)
class RunOf:
    """A workflow run as its entry names it; `labels` are the headings of its metrics, in the definition's order."""

    id: str
    sample: str
    workflow: str
    labels: Mapping[str, str]
    state: RunState
    state_at: str
    ended_at: str | None
    verdict: Verdict
    recorded: bool
    result_path: str
    failure: str | None
    stale: str | None
    replaced_by: str | None

    @property
    def has_result(self) -> bool:
        """Whether its result is on record."""
        return self.state is RunState.COMPLETE and self.recorded

    @property
    def counts(self) -> bool:
        """Whether its result is on record and no newer one took its place."""
        return self.has_result and self.replaced_by is None


def runs_of(session: Session, experiment_id: str) -> list[RunOf]:
    """Return the experiment's workflow runs, by sample and age. Cost: two queries."""
    samples: dict[str, list[str]] = defaultdict(list)
    named = (
        select(WorkflowRunSampleRow.run_id, SampleRow.name)
        .join(SampleRow, SampleRow.id == WorkflowRunSampleRow.sample_id)
        .join(WorkflowRunRow, WorkflowRunRow.id == WorkflowRunSampleRow.run_id)
        .where(WorkflowRunRow.experiment_id == experiment_id)
    )
    for run_id, name in session.execute(named):
        samples[run_id].append(name)
    query = (
        select(WorkflowRunRow, WorkflowVersionRow)
        .join(WorkflowVersionRow, WorkflowVersionRow.digest == WorkflowRunRow.workflow_digest)
        .where(WorkflowRunRow.experiment_id == experiment_id)
    )
    found = [_run_of(row, version, samples.get(row.id, [])) for row, version in session.execute(query)]
    return sorted(found, key=lambda run: (run.sample, run.workflow, run.state_at, run.id))


def _run_of(row: WorkflowRunRow, version: WorkflowVersionRow, samples: Sequence[str]) -> RunOf:
    one = samples[0] if len(samples) == 1 else f"{len(samples)} samples" if samples else row.result_path
    metrics = version.content.get("metrics") or {}
    return RunOf(
        id=row.id,
        sample=one,
        workflow=f"{version.name} {version.version}",
        labels={name: spec.get("label") or "" for name, spec in metrics.items()},
        state=RunState(row.state),
        state_at=row.state_at,
        ended_at=row.ended_at,
        verdict=Verdict(row.verdict),
        recorded=row.recorded_at is not None,
        result_path=row.result_path,
        failure=row.failure,
        stale=row.stale,
        replaced_by=row.replaced_by,
    )


def results_part(session: Session, runs: Sequence[RunOf]) -> ResultsPart:
    """Return the results table of the runs that count. Cost: two queries."""
    counting = [run for run in runs if run.counts]
    ids = [run.id for run in counting]
    set_by_people = overrides.of_runs(session, ids)
    metrics: dict[str, list[MetricRow]] = defaultdict(list)
    for row in session.scalars(select(MetricRow).where(MetricRow.owner_id.in_(ids)).order_by(MetricRow.name)):
        metrics[row.owner_id].append(row)
    judgements, rows = [], []
    for run in counting:
        override = set_by_people.get(run.id)
        judgements.append(
            Judgement(
                sample=run.sample,
                run=run.id,
                workflow=run.workflow,
                verdict=run.verdict,
                computed=override.computed if override else run.verdict,
                reason=override.reason if override else None,
                by=override.by if override else None,
            )
        )
        rows += [_row(run, metric) for metric in _ordered(run, metrics[run.id])]
    return ResultsPart(judgements=tuple(judgements), rows=tuple(rows))


def _ordered(run: RunOf, metrics: Sequence[MetricRow]) -> list[MetricRow]:
    order = {name: place for place, name in enumerate(run.labels)}
    return sorted(metrics, key=lambda metric: order.get(metric.name, len(order)))


def _row(run: RunOf, metric: MetricRow) -> ResultRow:
    labels = {name: label for name, label in run.labels.items() if label}
    return ResultRow(
        sample=run.sample,
        run=run.id,
        workflow=run.workflow,
        metric=metric.name,
        label=heading(metric.name, labels),
        value=metric.value,
        unit=metric.unit,
        verdict=Verdict(metric.verdict),
    )
