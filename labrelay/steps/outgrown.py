"""Results that were made of an instrument run before it gained files, or before its reads changed hands.

They are marked, and of the former it is told what to do.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.model.names import printable
from labrelay.model.states import TERMINAL, RunState
from labrelay.records.schema import DatasetFileRow, DatasetRow, RunIORow, WorkflowRunRow
from labrelay.records.stale import Wanted
from labrelay.steps.home import Home
from labrelay.steps.reprocess import Item, Plan, compare, intents_of
from labrelay.steps.staleness import signature

FAILED = [state.value for state in TERMINAL if state is not RunState.COMPLETE]


def outgrown(home: Home, instrument_run: str, asked: Collection[str]) -> dict[str, Item]:
    """Mark the results that were made of fewer files of an instrument run than it has, and return them by their runs.

    Results of which reads were given to another sample are marked, and those count again that were given back.

    A run that goes on is marked as well, so that its result is known for what it is. One whose place a recorded result
    can take is replaced by that, and is not returned.

    Cost: one query where nothing else was made of it, else as `reprocess.plan` for this instrument run alone.

    Args:
        home: Where.
        instrument_run: Its id.
        asked: The runs that the rules ask for after it now, which are made of all.
    """
    with home.records.read() as session:
        older = _made_of(session, instrument_run) - set(asked)
        if not older and not _is_hidden(session, asked):
            return {}
    made = Plan()
    intents = intents_of(home, made, [instrument_run])
    current = {signature(each.workflow.digest, each.parameters, each.inputs) for each in intents}
    with home.records.write() as session:
        compare(home, session, made, current, Wanted(cause="reads"), older)
    return {item.run_id: item for item in made.items}


def replaced(home: Home, found: Mapping[str, Item]) -> dict[str, Item]:
    """Return those results of `found` whose place another one has taken since. Cost: one query."""
    if not found:
        return {}
    query = select(WorkflowRunRow.id, WorkflowRunRow.replaced_by)
    with home.records.read() as session:
        taken = session.execute(
            query.where(WorkflowRunRow.id.in_(found), WorkflowRunRow.replaced_by.is_not(None))
        ).all()
    return {run: found[run].model_copy(update={"standing": "replaced", "instead_id": by}) for run, by in taken}


def _made_of(session: Session, instrument_run: str) -> set[str]:
    """Return the runs that took files of an instrument run, have not failed, and are not replaced."""
    query = (
        select(RunIORow.run_id)
        .distinct()
        .join(DatasetFileRow, DatasetFileRow.file_id == RunIORow.file_id)
        .join(DatasetRow, DatasetRow.id == DatasetFileRow.dataset_id)
        .join(WorkflowRunRow, WorkflowRunRow.id == RunIORow.run_id)
        .where(DatasetRow.instrument_run_id == instrument_run, RunIORow.direction == "in")
        .where(WorkflowRunRow.replaced_by.is_(None), WorkflowRunRow.state.not_in(FAILED))
    )
    return set(session.scalars(query))


def _is_hidden(session: Session, asked: Collection[str]) -> bool:
    marked = WorkflowRunRow.replaced_by.is_not(None) | WorkflowRunRow.stale.is_not(None)
    return session.scalar(select(WorkflowRunRow.id).where(WorkflowRunRow.id.in_(asked), marked).limit(1)) is not None


def told(item: Item) -> str:
    """Return one sentence for a person: what was made of less, and how a result of all comes to count."""
    names = ", ".join(item.samples)
    what = f"{names}, {item.workflow} ({item.run_id}) was made before all files had come ({item.reason})"
    return f"{what}: {_again(item)}"


def _again(item: Item) -> str:
    if item.instead_id is None:
        return (
            f"make it again, labrelay submit {item.workflow.rpartition(' ')[0]} --sample {printable(item.samples[0])}"
        )
    if item.standing == "replaced":
        return f"{item.instead_id}, made of all, counts in its place"
    if item.standing in ("to run", "planned"):
        return "labrelay reprocess makes it again"
    if item.standing == "failed":
        return f"{item.instead_id}, made of all, has failed: labrelay runs retry {item.instead_id}"
    return f"{item.instead_id} is made of all: once it has ended, labrelay reprocess puts it in its place"
