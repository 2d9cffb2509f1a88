"""Workflow runs as people list them: one line a run, whatever their number in a constant number of queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import Session

from labrelay.model.errors import NotFound, UsageError
from labrelay.model.problem import Frozen
from labrelay.model.qc import Verdict
from labrelay.model.states import RunState
from labrelay.records.schema import (
    AttemptRow,
    ExperimentRow,
    SampleRow,
    WorkflowRunRow,
    WorkflowRunSampleRow,
    WorkflowVersionRow,
)
from labrelay.steps.assign import find_experiment
from labrelay.steps.home import Home


class RunLine(Frozen):
    """A workflow run in one line.

    Attributes:
        run: `run_…`.
        sample: The sample's name, `N samples` of a cohort, or the result's folder of a run without samples.
        workflow: Name and version.
        engine: The kind of the engine that it is on.
        state: As the records have it; an engine may be ahead of them until the next collect.
        attempts: How many tries there were.
        asked: When it was asked for, UTC.
        ended: Its end; None while it lives.
        seconds: Of its newest attempt, from being asked for to its end, or until now.
        reason: Why it failed; None when it did not.
        stale: Why its result is out of date; None when it is not.
        replaced_by: The run whose newer result has taken the place of this one's.
        recorded: Whether its end is on record.
    """

    run: str
    experiment: str
    sample: str
    workflow: str
    engine: str
    state: RunState
    verdict: Verdict
    attempts: int
    asked: datetime
    ended: datetime | None
    seconds: float
    reason: str | None = None
    stale: str | None = None
    replaced_by: str | None = None
    recorded: bool
    result_path: str

    @property
    def failed(self) -> bool:
        """Whether it ended without a result, and nobody wanted that."""
        return self.state in (RunState.EXECUTOR_ERROR, RunState.SYSTEM_ERROR)


def runs(
    home: Home,
    *,
    states: Sequence[RunState] = (),
    workflow: str | None = None,
    sample: str | None = None,
    experiment: str | None = None,
    limit: int | None = 50,
    after: tuple[str, str] | None = None,
) -> list[RunLine]:
    """Return workflow runs, the newest first. Cost: three queries, whatever their number.

    Args:
        home: Where.
        states: Only those in one of these states; none means all.
        workflow: Only those of the workflow of this name.
        sample: Only those about this sample (name or id).
        experiment: Only those of this experiment (name or id).
        limit: At most so many; None for all.
        after: Only those older than the run that was asked for then (as the records have the time) and has this id.

    Raises:
        NotFound: There is no such sample or experiment.
    """
    wanted: list[ColumnElement[bool]] = []
    with home.records.read() as session:
        if states:
            wanted.append(WorkflowRunRow.state.in_([state.value for state in states]))
        if workflow is not None:
            wanted.append(WorkflowVersionRow.name == workflow)
        if sample is not None:
            wanted.append(of_sample(session, sample))
        if experiment is not None:
            wanted.append(WorkflowRunRow.experiment_id == find_experiment(session, experiment).id)
        if after is not None:
            wanted.append(older_than(*after))
        newest = select(WorkflowRunRow.id).order_by(WorkflowRunRow.created_at.desc(), WorkflowRunRow.id.desc())
        joined = newest.join(WorkflowVersionRow, WorkflowVersionRow.digest == WorkflowRunRow.workflow_digest)
        lines = run_lines(session, joined.where(*wanted).limit(limit))
    return sorted(lines, key=lambda line: (line.asked, line.run), reverse=True)


def older_than(created_at: str, run_id: str) -> ColumnElement[bool]:
    """Return the condition that a run comes after this one in a list of the newest first."""
    earlier, same = WorkflowRunRow.created_at < created_at, WorkflowRunRow.created_at == created_at
    return or_(earlier, and_(same, WorkflowRunRow.id < run_id))


def lines_of(home: Home, run_ids: Sequence[str]) -> list[RunLine]:
    """Return the lines of these runs, by sample. Cost: three queries."""
    with home.records.read() as session:
        lines = run_lines(session, select(WorkflowRunRow.id).where(WorkflowRunRow.id.in_(run_ids)))
    return sorted(lines, key=lambda line: (line.sample, line.workflow, line.run))


def of_sample(session: Session, text: str) -> ColumnElement[bool]:
    """Return the condition that a run is about the sample of this name or id.

    Raises:
        NotFound: There is no such sample.
    """
    ids = samples_called(session, text)
    if not ids:
        raise NotFound(f"there is no sample {text}: `labrelay search {text}` looks for it everywhere")
    return WorkflowRunRow.id.in_(select(WorkflowRunSampleRow.run_id).where(WorkflowRunSampleRow.sample_id.in_(ids)))


def samples_called(session: Session, text: str) -> Sequence[str]:
    """Return the ids of the samples of this name or id; experiments may use a name alike."""
    return session.scalars(select(SampleRow.id).where(or_(SampleRow.name == text, SampleRow.id == text))).all()


def run_lines(session: Session, ids: Select[str]) -> list[RunLine]:
    """Return the lines of the runs whose ids a query selects, in no order. Cost: three queries."""
    subjects: dict[str, list[str]] = defaultdict(list)
    names = select(WorkflowRunSampleRow.run_id, SampleRow.name).join(
        SampleRow, SampleRow.id == WorkflowRunSampleRow.sample_id
    )
    for run_id, name in session.execute(names.where(WorkflowRunSampleRow.run_id.in_(ids))):
        subjects[run_id].append(name)
    tries = select(AttemptRow.run_id, func.count(), func.max(AttemptRow.created_at)).group_by(AttemptRow.run_id)
    attempts = {row[0]: (row[1], row[2]) for row in session.execute(tries.where(AttemptRow.run_id.in_(ids)))}
    query = (
        # Columns instead of rows: parameters and inputs are large and not shown.
        select(
            WorkflowRunRow.id,
            WorkflowRunRow.state,
            WorkflowRunRow.verdict,
            WorkflowRunRow.created_at,
            WorkflowRunRow.ended_at,
            WorkflowRunRow.failure,
            WorkflowRunRow.stale,
            WorkflowRunRow.replaced_by,
            WorkflowRunRow.recorded_at,
            WorkflowRunRow.result_path,
            WorkflowRunRow.engine,
            ExperimentRow.name.label("experiment"),
            WorkflowVersionRow.name.label("workflow"),
            WorkflowVersionRow.version,
        )
        .join(ExperimentRow, ExperimentRow.id == WorkflowRunRow.experiment_id)
        .join(WorkflowVersionRow, WorkflowVersionRow.digest == WorkflowRunRow.workflow_digest)
    )
    rows = session.execute(query.where(WorkflowRunRow.id.in_(ids))).all()
    return [_line(row, subjects[row.id], *attempts.get(row.id, (0, None))) for row in rows]


def _line(row: Any, names: list[str], attempts: int, tried: str | None) -> RunLine:
    asked = datetime.fromisoformat(row.created_at)
    ended = datetime.fromisoformat(row.ended_at) if row.ended_at else None
    begun = datetime.fromisoformat(tried) if tried else asked
    state = RunState(row.state)
    return RunLine(
        run=row.id,
        experiment=row.experiment,
        sample=subject(names, row.result_path),
        workflow=f"{row.workflow} {row.version}",
        engine=row.engine,
        state=state,
        verdict=Verdict(row.verdict),
        attempts=attempts,
        asked=asked,
        ended=ended,
        seconds=max(0.0, ((ended or datetime.now(UTC)) - begun).total_seconds()),
        reason=row.failure if state is not RunState.COMPLETE else None,
        stale=row.stale,
        replaced_by=row.replaced_by,
        recorded=row.recorded_at is not None,
        result_path=row.result_path,
    )


def subject(names: list[str], result_path: str) -> str:
    """Return what a run is about, for people, from its samples' names and its result's path."""
    if len(names) == 1:
        return names[0]
    return f"{len(names)} samples" if names else result_path.split("/")[1]


def find_run(session: Session, text: str) -> WorkflowRunRow:
    """Return the workflow run of this id, or of the beginning of one that only one run has.

    Raises:
        NotFound: There is none.
        UsageError: Several runs' ids begin so.
    """
    begins = text if text.startswith("run_") else f"run_{text}"
    query = select(WorkflowRunRow).where(WorkflowRunRow.id.startswith(begins, autoescape=True)).limit(2)
    found = session.scalars(query).all()
    if not found or begins == "run_":
        raise NotFound(f"there is no workflow run {text}: `labrelay runs list` shows those that there are")
    if len(found) > 1:
        raise UsageError(f"several workflow runs begin with {text}: give more digits of the id")
    return found[0]
