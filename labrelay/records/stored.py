"""What the records say of a run's stored files: outputs, crate and inputs, for looking whether they are still so."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.model.files import FileRef
from labrelay.model.problem import Frozen
from labrelay.model.states import RunState
from labrelay.records.intake import ref_of
from labrelay.records.schema import CrateRow, FileRow, RunIORow, WorkflowRunRow

PAGE = 500


class StoredRun(Frozen):
    """A recorded result: its identity, its folder below `results/`, and its crate."""

    id: str
    workflow_digest: str
    result_path: str
    crate: FileRef | None


class StoredFile(Frozen):
    """A file of a run: which output or input it is, and what was stored."""

    name: str
    ref: FileRef


def stored_run(session: Session, run: WorkflowRunRow) -> StoredRun:
    """Return a recorded result; its crate is the newest. Cost: one query."""
    query = select(FileRow).join(CrateRow, CrateRow.file_id == FileRow.id).where(CrateRow.run_id == run.id)
    row = session.scalars(query.order_by(CrateRow.created_at.desc(), CrateRow.id).limit(1)).first()
    crate = None if row is None else ref_of(row)
    return StoredRun(id=run.id, workflow_digest=run.workflow_digest, result_path=run.result_path, crate=crate)


def stored_files(session: Session, run_id: str, direction: str) -> list[StoredFile]:
    """Return what went into (`in`) or came out of (`out`) a run, by name. Cost: one query."""
    query = select(RunIORow.name, RunIORow.idx, FileRow).join(FileRow, FileRow.id == RunIORow.file_id)
    query = query.where(RunIORow.run_id == run_id, RunIORow.direction == direction)
    rows = session.execute(query.order_by(RunIORow.name, RunIORow.idx)).all()
    many = {name for name, index, _row in rows if index}
    return [StoredFile(name=f"{n} {i + 1}" if n in many else n, ref=ref_of(row)) for n, i, row in rows]


def recorded_page(session: Session, after: str = "", since: str | None = None) -> list[str]:
    """Return the next ids of recorded results, replaced ones too; from a time (ISO 8601, UTC) on. None is the end."""
    recorded = WorkflowRunRow.recorded_at.is_not(None) & (WorkflowRunRow.state == RunState.COMPLETE.value)
    if since is not None:
        recorded &= WorkflowRunRow.recorded_at >= since
    query = select(WorkflowRunRow.id).where(recorded, WorkflowRunRow.id > after)
    return list(session.scalars(query.order_by(WorkflowRunRow.id).limit(PAGE)))
