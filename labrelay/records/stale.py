"""Results that are out of date, by cause: what was marked, found in one query however many there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

from sqlalchemy import ColumnElement, Select, delete, func, select
from sqlalchemy.orm import Session

from labrelay.model.problem import Frozen
from labrelay.model.states import RunState
from labrelay.records.database import now
from labrelay.records.schema import ExperimentRow, WorkflowRunRow, WorkflowVersionRow
from labrelay.records.schema_reruns import StaleCauseRow
from labrelay.records.upsert import insert_missing

Cause = Literal["workflow", "reference", "rule", "sample", "reads"]
CAUSES: dict[Cause, str] = dict(
    zip(
        get_args(Cause),
        ("a new workflow version", "a new reference", "a changed rule", "a corrected sample", "topped-up reads"),
        strict=True,
    )
)
CHUNK = 500
NEW = "9999"  # as a time: seen just now, later than any that a person asks for


class Wanted(Frozen):
    """Which results are looked for; what is None does not narrow.

    Attributes:
        cause: Out of date for this cause, maybe for others too.
        workflow: Made with the workflow of this name.
        experiment: Of the experiment of this id or name.
        since: Out of date since then or later: an ISO 8601 date, or time in UTC.
    """

    cause: Cause | None = None
    workflow: str | None = None
    experiment: str | None = None
    since: str | None = None

    def takes(self, cause: Cause, since: str) -> bool:
        """Tell whether a cause that was seen at this time is among them."""
        return (self.cause is None or cause == self.cause) and (self.since is None or since >= self.since)


class Stale(NamedTuple):
    """One cause for which one result is out of date."""

    run_id: str
    cause: Cause
    sentence: str
    since: str
    workflow: str
    version: str
    experiment: str
    result_path: str


def stale(session: Session, wanted: Wanted | None = None) -> list[Stale]:
    """Return the causes of the results that are out of date and that nothing has replaced, oldest first.

    Cost: one query, whatever their number.
    """
    rows = session.execute(
        _selected(wanted or Wanted()).add_columns(
            StaleCauseRow.run_id,
            StaleCauseRow.cause,
            StaleCauseRow.sentence,
            StaleCauseRow.since,
            WorkflowVersionRow.name,
            WorkflowVersionRow.version,
            ExperimentRow.name,
            WorkflowRunRow.result_path,
        )
    )
    return sorted((Stale._make(row) for row in rows), key=lambda each: (each.since, each.run_id, each.cause))


def by_cause(session: Session, wanted: Wanted | None = None) -> dict[Cause, int]:
    """Return how many results are out of date for each cause; one with two causes counts in both."""
    query = _selected(wanted or Wanted()).add_columns(StaleCauseRow.cause, func.count()).group_by(StaleCauseRow.cause)
    counts = {row[0]: row[1] for row in session.execute(query)}
    return {cause: counts[cause] for cause in CAUSES if cause in counts}


def _selected(wanted: Wanted) -> Select[()]:
    # A run that goes on may be marked already, and is no result before it is recorded.
    where: list[ColumnElement[bool]] = [
        WorkflowRunRow.replaced_by.is_(None),
        WorkflowRunRow.recorded_at.is_not(None),
        WorkflowRunRow.state == RunState.COMPLETE.value,
    ]
    if wanted.cause is not None:
        where.append(StaleCauseRow.cause == wanted.cause)
    if wanted.workflow is not None:
        where.append(WorkflowVersionRow.name == wanted.workflow)
    if wanted.experiment is not None:
        where.append((ExperimentRow.id == wanted.experiment) | (ExperimentRow.name == wanted.experiment))
    if wanted.since is not None:
        where.append(StaleCauseRow.since >= wanted.since)
    return (
        select()
        .select_from(StaleCauseRow)
        .join(WorkflowRunRow, WorkflowRunRow.id == StaleCauseRow.run_id)
        .join(WorkflowVersionRow, WorkflowVersionRow.digest == WorkflowRunRow.workflow_digest)
        .join(ExperimentRow, ExperimentRow.id == WorkflowRunRow.experiment_id)
        .where(*where)
    )


def known(session: Session) -> dict[str, dict[Cause, tuple[str, str]]]:
    """Return the marks of all results that nothing has replaced: by run, each cause with sentence and time."""
    found: dict[str, dict[Cause, tuple[str, str]]] = {}
    for each in stale(session):
        found.setdefault(each.run_id, {})[each.cause] = (each.sentence, each.since)
    return found


def mark(
    session: Session,
    marks: Mapping[str, Mapping[Cause, str]],
    before: Mapping[str, Mapping[Cause, tuple[str, str]]],
) -> None:
    """Write the causes of these results in place of those before; a cause that stays keeps its time.

    Args:
        session: In a writing transaction.
        marks: By run, each cause with its sentence; a run without causes is current again.
        before: From `known`.
    """
    moment = now()
    ids = list(marks)
    for start in range(0, len(ids), CHUNK):
        session.execute(delete(StaleCauseRow).where(StaleCauseRow.run_id.in_(ids[start : start + CHUNK])))
    insert_missing(
        session,
        StaleCauseRow,
        [
            {"run_id": run_id, "cause": cause, "sentence": sentence, "since": _since(before, run_id, cause, moment)}
            for run_id, causes in marks.items()
            for cause, sentence in causes.items()
        ],
    )


def _since(before: Mapping[str, Mapping[Cause, tuple[str, str]]], run_id: str, cause: Cause, moment: str) -> str:
    earlier = before.get(run_id, {}).get(cause)
    return moment if earlier is None else earlier[1]
