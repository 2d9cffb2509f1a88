"""Workflow runs of a batch as rows for people: whose, how it went, the numbers that were judged, and why not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.model.problem import Frozen
from labrelay.model.qc import Verdict
from labrelay.model.states import RunState
from labrelay.records.schema import MetricRow, SampleRow, WorkflowRunRow, WorkflowRunSampleRow, WorkflowVersionRow

# SQLite takes 32,766 values in one statement; a batch of runs is asked for in parts of this.
PART = 1000


class RunRow(Frozen):
    """A workflow run in one line.

    Attributes:
        run_id: `run_…`.
        subject: The sample's name, or the cohort's size.
        workflow: Name and version.
        metrics: Judged metrics with units, such as `mean depth 812 x`.
        reason: Why it failed, why it is stale, or nothing.
        result_path: Below `results/` in the home.
        recorded: Whether its end is on record.
    """

    run_id: str
    subject: str
    workflow: str
    state: RunState
    verdict: Verdict
    metrics: tuple[str, ...] = ()
    reason: str = ""
    result_path: str
    recorded: bool

    @property
    def failed(self) -> bool:
        """Whether it ended without a result."""
        return self.state.terminal and self.state is not RunState.COMPLETE


def run_rows(session: Session, run_ids: Sequence[str]) -> list[RunRow]:
    """Return the rows of workflow runs in the order of their subjects. Cost: three queries per thousand runs."""
    rows: list[RunRow] = []
    for start in range(0, len(run_ids), PART):
        rows += _part(session, run_ids[start : start + PART])
    return sorted(rows, key=lambda row: (row.subject, row.workflow, row.run_id))


def _part(session: Session, ids: Sequence[str]) -> Iterable[RunRow]:
    names: dict[str, list[str]] = defaultdict(list)
    of_samples = select(WorkflowRunSampleRow.run_id, SampleRow.name).join(
        SampleRow, SampleRow.id == WorkflowRunSampleRow.sample_id
    )
    for run_id, name in session.execute(of_samples.where(WorkflowRunSampleRow.run_id.in_(ids))):
        names[run_id].append(name)
    judged: dict[str, list[str]] = defaultdict(list)
    metrics = select(MetricRow).where(MetricRow.owner_id.in_(ids), MetricRow.verdict != Verdict.NONE.value)
    for metric in session.scalars(metrics.order_by(MetricRow.name)):
        judged[metric.owner_id].append(_metric(metric))
    query = select(WorkflowRunRow, WorkflowVersionRow).join(
        WorkflowVersionRow, WorkflowVersionRow.digest == WorkflowRunRow.workflow_digest
    )
    for run, version in session.execute(query.where(WorkflowRunRow.id.in_(ids))):
        who = names[run.id]
        yield RunRow(
            run_id=run.id,
            subject=who[0] if len(who) == 1 else f"{len(who)} samples",
            workflow=f"{version.name} {version.version}",
            state=RunState(run.state),
            verdict=Verdict(run.verdict),
            metrics=tuple(judged[run.id]),
            reason=run.failure or run.stale or "",
            result_path=run.result_path,
            recorded=run.recorded_at is not None,
        )


def _metric(row: MetricRow) -> str:
    name = row.name.replace("_", " ")
    if row.value is None:
        return f"{name} missing"
    unit = {"percent": " %", "count": ""}.get(row.unit, f" {row.unit}" if row.unit else "")
    return f"{name.removesuffix(' percent')} {row.value:,.4g}{unit}"
