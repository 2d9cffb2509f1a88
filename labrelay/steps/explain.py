"""Explaining a result: what a person calls it is found, and the records say everything about it."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.model.errors import NotFound, UsageError
from labrelay.model.names import printable
from labrelay.records import explain as explaining
from labrelay.records.explanation import Explanation
from labrelay.records.lineage import resolve
from labrelay.records.schema import CrateRow, RunIORow, WorkflowRunRow
from labrelay.steps.home import Home
from labrelay.steps.listing import find_run
from labrelay.steps.results import run_of_sample


def explain(home: Home, text: str, metric: str | None = None) -> Explanation:
    """Return what explains a result, read from one consistent state. Cost: some twenty queries, whatever its size.

    Args:
        home: Where.
        text: A workflow run's id (or the beginning of one), a sample's name, the path of a result below `results/`, or
            the id of a file that a run made.
        metric: One of the result's numbers that is asked about in particular.

    Raises:
        NotFound: There is no such thing, or the result has no such number.
        UsageError: It could mean several results, or it is no result.
    """
    with home.records.read() as session:
        run, file = _find(session, text)
        told = explaining.explain(session, run)
    known = home.reads.reference(told.reference.id) if told.reference and told.reference.id else None
    if told.reference is not None and known is not None:
        told = told.model_copy(update={"reference": told.reference.model_copy(update={"name": known.name})})
    return _about(told, file, metric)


def _find(session: Session, text: str) -> tuple[WorkflowRunRow, str | None]:
    """Return the run that is meant, and the id of the file by which it was asked for."""
    if text.startswith("run_"):
        return find_run(session, text), None
    if text.startswith("fil_"):
        file = resolve(session, text)
        return _maker(session, file), file
    by_path = session.scalars(select(WorkflowRunRow).where(WorkflowRunRow.result_path == text.strip("/"))).first()
    return by_path or run_of_sample(session, text), None


def _maker(session: Session, file: str) -> WorkflowRunRow:
    made = select(RunIORow.run_id).where(RunIORow.file_id == file, RunIORow.direction == "out")
    crates = select(CrateRow.run_id).where(CrateRow.file_id == file)
    query = select(WorkflowRunRow).where(WorkflowRunRow.id.in_(made.union(crates)))
    run = session.scalars(query.order_by(WorkflowRunRow.created_at).limit(1)).first()
    if run is None:
        raise UsageError(f"no workflow run made {file}, so it is no result: `labrelay lineage {file}` says what it is")
    return run


def _about(told: Explanation, file: str | None, metric: str | None) -> Explanation:
    if metric is not None and metric not in {each.name for each in told.metrics}:
        names = ", ".join(dict.fromkeys(each.name for each in told.metrics)) or "none"
        raise NotFound(f"{told.run_id} has no number {printable(metric)}; it has {names}")
    output = next((each for each in told.outputs if each.id == file), None)
    return told.model_copy(update={"file": output, "metric": metric})
