"""Which result a person means: by a run's id, a sample's name, a file's id, or a path as a shell has it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.model.errors import UsageError
from labrelay.records.lineage import resolve
from labrelay.records.schema import CrateRow, FileRow, RunIORow, WorkflowRunRow
from labrelay.steps.home import Home
from labrelay.steps.listing import find_run
from labrelay.steps.results import run_of_sample

RESULTS = "results"


def find_result(home: Home, session: Session, text: str) -> tuple[WorkflowRunRow, str | None]:
    """Return the run that is meant, and the id of the file by which it was asked for.

    Args:
        home: Where.
        session: Of its records.
        text: A workflow run's id (or the beginning of one), a sample's name, `SAMPLE/WORKFLOW` where it has several
            results, the id of a file that a run made, or the path of a result's folder or of a file in it: from where
            the command is given, or below `results/`.

    Raises:
        NotFound: There is no such thing.
        UsageError: It could mean several results, or it is no result.
    """
    if text.startswith("run_"):
        return find_run(session, text), None
    if text.startswith("fil_"):
        file = resolve(session, text)
        return _maker(session, file), file
    for below in _below_results(home, text):
        above = [str(each) for each in (below, *below.parents)]
        run = session.scalars(select(WorkflowRunRow).where(WorkflowRunRow.result_path.in_(above)).limit(1)).first()
        if run is not None:
            key = select(FileRow.id).where(FileRow.storage == home.results.name, FileRow.key == str(below))
            return run, session.scalars(key).first()
    return run_of_sample(session, text), None


def _below_results(home: Home, text: str) -> list[PurePosixPath]:
    """Return what a path may be below `results/`; nothing for what is none."""
    root = (home.path / RESULTS).resolve()
    from_here = Path(text).absolute().resolve() if "\0" not in text else root
    found = [PurePosixPath(text.removeprefix(f"{RESULTS}/").strip("/"))]
    if from_here.is_relative_to(root):
        found.insert(0, PurePosixPath(from_here.relative_to(root).as_posix()))
    return [each for each in found if each.parts]


def _maker(session: Session, file: str) -> WorkflowRunRow:
    made = select(RunIORow.run_id).where(RunIORow.file_id == file, RunIORow.direction == "out")
    crates = select(CrateRow.run_id).where(CrateRow.file_id == file)
    query = select(WorkflowRunRow).where(WorkflowRunRow.id.in_(made.union(crates)))
    run = session.scalars(query.order_by(WorkflowRunRow.created_at).limit(1)).first()
    if run is None:
        raise UsageError(f"no workflow run made {file}, so it is no result: `labrelay lineage {file}` says what it is")
    return run
