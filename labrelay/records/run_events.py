"""What an OpenLineage event of a workflow run is made of, read from the records, without a library of OpenLineage."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.records.runs import last_attempt
from labrelay.records.schema import (
    AttemptRow,
    DatasetFileRow,
    DatasetRow,
    ExperimentRow,
    FileRow,
    RunIORow,
    WorkflowRunRow,
    WorkflowVersionRow,
)

START, COMPLETE, FAIL, ABORT = "START", "COMPLETE", "FAIL", "ABORT"
_OURS = uuid5(NAMESPACE_URL, "https://labrelay.example/openlineage")


@dataclass(frozen=True)
class StoredFile:
    """A file that went in or came out."""

    name: str
    storage: str
    key: str
    version: str
    sha256: str
    size: int


@dataclass(frozen=True)
class RunFacts:
    """One attempt of a workflow run as events tell it; nothing in it names a person or a sample.

    Attributes:
        run_id: `run_…`.
        token: The attempt's.
        datasets: The datasets (`dat_…`) whose files went in.
        started, ended: ISO 8601; `ended` is None while it lives.
    """

    run_id: str
    token: str
    experiment_id: str
    experiment: str
    workflow: str
    version: str
    digest: str
    language: str
    title: str
    engine: str
    started: str
    ended: str | None
    failure: str | None
    inputs: tuple[StoredFile, ...]
    outputs: tuple[StoredFile, ...]
    datasets: tuple[str, ...]


def facts_of(session: Session, run_id: str, token: str) -> RunFacts:
    """Return what is known of an attempt. Cost: five queries, whatever the number of files."""
    run = session.get_one(WorkflowRunRow, run_id)
    attempt = session.get_one(AttemptRow, token)
    version = session.get_one(WorkflowVersionRow, run.workflow_digest)
    experiment = session.get_one(ExperimentRow, run.experiment_id)
    files = _files(session, run_id)
    # What the run says of its end is said of its last attempt.
    last = last_attempt(session, run_id).token == token
    return RunFacts(
        run_id=run_id,
        token=token,
        experiment_id=experiment.id,
        experiment=experiment.name,
        workflow=version.name,
        version=version.version,
        digest=version.digest,
        language=version.language,
        title=str(version.content.get("title") or version.name),
        engine=attempt.engine,
        started=attempt.created_at,
        ended=run.ended_at if last else attempt.state_at,
        failure=(run.failure if last else None) or attempt.message,
        inputs=tuple(file for direction, file in files if direction == "in"),
        outputs=tuple(file for direction, file in files if direction == "out"),
        datasets=_datasets(session, run_id),
    )


def event_run_id(token: str) -> UUID:
    """Return the run id of an attempt in events, or of an experiment as the parent of its runs."""
    return uuid5(_OURS, token)


def _files(session: Session, run_id: str) -> list[tuple[str, StoredFile]]:
    columns = (FileRow.storage, FileRow.key, FileRow.version, FileRow.sha256, FileRow.size)
    query = select(RunIORow.direction, RunIORow.name, *columns).join(FileRow, FileRow.id == RunIORow.file_id)
    query = query.where(RunIORow.run_id == run_id).order_by(RunIORow.direction, RunIORow.name, RunIORow.idx)
    return [(row[0], StoredFile(*row[1:])) for row in session.execute(query)]


def _datasets(session: Session, run_id: str) -> tuple[str, ...]:
    query = (
        select(DatasetRow.id)
        .join(DatasetFileRow, DatasetFileRow.dataset_id == DatasetRow.id)
        .join(RunIORow, RunIORow.file_id == DatasetFileRow.file_id)
        .where(RunIORow.run_id == run_id, RunIORow.direction == "in")
    )
    return tuple(sorted(session.scalars(query.distinct())))
