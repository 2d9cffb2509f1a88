"""Gathering one workflow run with everything that explains it, from the records and the stores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.model.errors import NotFound, StorageFailed
from labrelay.model.experiment import Experiment, Sample
from labrelay.model.files import FileRef, FileRole
from labrelay.model.qc import QCMetric, Verdict
from labrelay.model.runs import RunReport, TaskReport, WorkflowVersion
from labrelay.model.states import RunState
from labrelay.records import experiments, intake, overrides, runs
from labrelay.records.explain import OF_THE_RUN
from labrelay.records.result import InstrumentSource, ReferenceUsed, Result, ResultFile
from labrelay.records.schema import (
    DatasetFileRow,
    DatasetRow,
    ExperimentRow,
    FileRow,
    InstrumentRunRow,
    MetricRow,
    RunIORow,
    TaskRow,
    WorkflowRunRow,
    WorkflowRunSampleRow,
    WorkflowVersionRow,
)
from labrelay.records.superseded import superseded_by
from labrelay.steps.bundles import definition_of
from labrelay.steps.home import Home
from labrelay.workflows.definition import Definition
from labrelay.workflows.metrics import in_order


def gather(
    home: Home,
    session: Session,
    run: WorkflowRunRow,
    report: RunReport,
    outputs: Sequence[ResultFile],
    metrics: Sequence[QCMetric],
    verdicts: dict[str, Verdict],
    verdict: Verdict,
) -> Result:
    """Return the result of an ended run. Cost: eight queries, whatever its size."""
    definition = definition_of(home, run.workflow_digest)
    version = session.get_one(WorkflowVersionRow, run.workflow_digest)
    attempt = runs.last_attempt(session, run.id)
    inputs = _inputs(home, session, run.id, attempt.request.get("read_sets", ()))
    superseded = superseded_by(session, run)
    ended = report.ended or datetime.fromisoformat(run.ended_at or run.state_at)
    return Result(
        run_id=run.id,
        key=run.key,
        attempt=attempt.number,
        experiment=_experiment(session, run),
        samples=_samples(session, run.id),
        instrument_runs=_instrument_runs(session, run.id),
        workflow=WorkflowVersion.model_validate({n: getattr(version, n) for n in WorkflowVersion.model_fields}),
        workflow_title=definition.title,
        definition=definition.folder,
        parameters=run.parameters.get("parameters", {}),
        reference=_reference(home, run, inputs),
        inputs=tuple(f for f in inputs if f.role is not FileRole.REFERENCE),
        outputs=tuple(outputs),
        metrics=tuple(metrics),
        thresholds=tuple(definition.thresholds.values()),
        labels=labels_of(definition),
        output_labels={name: spec.label for name, spec in definition.outputs.items() if spec.label},
        verdict=verdict,
        override=overrides.of_runs(session, [run.id]).get(run.id),
        verdicts=verdicts,
        report=report,
        started=report.started or datetime.fromisoformat(attempt.created_at),
        ended=ended,
        started_by=run.created_by,
        replaces=superseded.replaces,
        because=superseded.because,
        rule=run.rule,
    )


def recorded_result(home: Home, session: Session, run_id: str) -> Result:
    """Return the result of a recorded, complete run from the records alone.

    Raises:
        NotFound: There is no such run, or it has no result.
    """
    run = session.get(WorkflowRunRow, run_id)
    if run is None or run.state != RunState.COMPLETE.value or run.recorded_at is None:
        raise NotFound(f"{run_id} has no recorded result: `labrelay runs show {run_id}` says how it stands")
    attempt = runs.last_attempt(session, run_id)
    rows = session.scalars(select(TaskRow).where(TaskRow.token == attempt.token).order_by(TaskRow.started_at))
    report = RunReport.model_validate({**(attempt.report or {}), "tasks": [_task(row) for row in rows]})
    metrics = session.scalars(select(MetricRow).where(MetricRow.owner_id == run_id)).all()
    definition = definition_of(home, run.workflow_digest)
    stored = [QCMetric.model_validate({n: getattr(m, n) for n in QCMetric.model_fields}) for m in metrics]
    return gather(
        home,
        session,
        run,
        report,
        _outputs(home, session, run_id, definition),
        in_order(definition, stored),
        {m.name: Verdict(m.verdict) for m in metrics if m.name in definition.thresholds},
        Verdict(run.verdict),
    )


def recorded_runs(session: Session, experiment_id: str) -> list[str]:
    """Return the ids of the experiment's complete, recorded, not replaced runs, oldest first."""
    query = (
        select(WorkflowRunRow.id)
        .where(WorkflowRunRow.experiment_id == experiment_id, WorkflowRunRow.state == RunState.COMPLETE.value)
        .where(WorkflowRunRow.recorded_at.is_not(None), WorkflowRunRow.replaced_by.is_(None))
        .order_by(WorkflowRunRow.result_path)
    )
    return list(session.scalars(query))


def labels_of(definition: Definition) -> dict[str, str]:
    """Return the headings of a definition's metrics."""
    return {name: spec.label for name, spec in definition.metrics.items() if spec.label}


def result_file(home: Home, name: str, index: int, ref: FileRef, role: FileRole, media_type: str | None) -> ResultFile:
    """Return a stored file as documents name it."""
    stores = {home.results.name: home.results, home.objects.name: home.objects}
    store = stores.get(ref.storage)  # the read store's own files are located by `_reference`
    path = (store.local_path(ref) if store else None) or Path(ref.key)
    return ResultFile(name=name, role=role, ref=ref, path=path, index=index, media_type=media_type)


def _io(session: Session, run_id: str, direction: str) -> list[tuple[RunIORow, FileRow]]:
    query = select(RunIORow, FileRow).join(FileRow, FileRow.id == RunIORow.file_id)
    query = query.where(RunIORow.run_id == run_id, RunIORow.direction == direction)
    return [(io, file) for io, file in session.execute(query.order_by(RunIORow.name, RunIORow.idx))]


def _inputs(home: Home, session: Session, run_id: str, read_sets: Sequence[str]) -> list[ResultFile]:
    files = []
    asked = _asked_as(home, read_sets)
    for io, file in _io(session, run_id, "in"):
        role = FileRole.REFERENCE if io.name.startswith("reference.") else FileRole(file.role)
        found = result_file(home, io.name, io.idx, intake.ref_of(file), role, None)
        files.append(found.model_copy(update={"asked_as": asked.get((io.name, io.idx))}))
    return files


def _asked_as(home: Home, read_sets: Sequence[str]) -> dict[tuple[str, int], str]:
    """Return what an engine reads in place of the files of reads, by role and index; nothing of what is gone."""
    found: dict[tuple[str, int], str] = {}
    for index, read_set in enumerate(read_sets):
        with suppress(NotFound, StorageFailed):
            places = home.reads.locations(read_set)
            found |= {(f"reads.r{mate}", index): place for mate, place in enumerate(places, 1)}
    return found


def _outputs(home: Home, session: Session, run_id: str, definition: Definition) -> list[ResultFile]:
    files = []
    for io, file in _io(session, run_id, "out"):
        spec = definition.outputs.get(io.name)
        media_type = spec.media_type if spec else None
        made = result_file(home, io.name, io.idx, intake.ref_of(file), FileRole(file.role), media_type)
        files.append(made.model_copy(update={"task": io.task}))
    return files


def _experiment(session: Session, run: WorkflowRunRow) -> Experiment:
    return experiments.experiment_of(session.get_one(ExperimentRow, run.experiment_id))


def _samples(session: Session, run_id: str) -> tuple[Sample, ...]:
    rows = session.scalars(select(WorkflowRunSampleRow).where(WorkflowRunSampleRow.run_id == run_id)).all()
    samples = experiments.samples_by_id(session, [row.sample_id for row in rows])
    used = [samples[row.sample_id].model_copy(update={"revision": row.revision}) for row in rows]
    return tuple(sorted(used, key=lambda s: s.name))


def _instrument_runs(session: Session, run_id: str) -> tuple[InstrumentSource, ...]:
    """Return the instrument runs whose files went into the run, in one query that leaves out their sheets."""
    columns = [InstrumentRunRow.content[name].as_string().label(name) for name in OF_THE_RUN]
    query = (
        select(DatasetRow.sample_id, DatasetFileRow.file_id, DatasetFileRow.lane.label("lane"), *columns)
        .join(DatasetRow, DatasetRow.instrument_run_id == InstrumentRunRow.id)
        .join(DatasetFileRow, DatasetFileRow.dataset_id == DatasetRow.id)
        .join(RunIORow, RunIORow.file_id == DatasetFileRow.file_id)
        .where(RunIORow.run_id == run_id, RunIORow.direction == "in")
    )
    found: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
    for row in session.execute(query).mappings():
        found[tuple(row[name] for name in OF_THE_RUN)].append(row)
    sources = [
        InstrumentSource(
            **dict(zip(OF_THE_RUN, told, strict=True)),
            lanes=tuple(sorted({row["lane"] for row in rows if row["lane"] is not None})),
            samples=tuple(sorted({row["sample_id"] for row in rows if row["sample_id"] is not None})),
            files=tuple(sorted({row["file_id"] for row in rows})),
        )
        for told, rows in found.items()
    ]
    return tuple(sorted(sources, key=lambda source: source.run_id))


def _reference(home: Home, run: WorkflowRunRow, inputs: Sequence[ResultFile]) -> ReferenceUsed | None:
    file = next((f for f in inputs if f.role is FileRole.REFERENCE), None)
    known = home.reads.reference(run.reference_id) if run.reference_id else None
    if file is None or known is None:
        return None
    path = home.reads.reference_path(known)
    annotation = None
    if known.annotation is not None:
        where = home.reads.reference_path(known, "annotation")
        annotation = ResultFile(name="annotation", role=FileRole.REFERENCE, ref=known.annotation, path=where)
    located = file.model_copy(update={"path": path})
    return ReferenceUsed(id=known.id, name=known.name, file=located, contigs=known.contigs, annotation=annotation)


def _task(row: TaskRow) -> TaskReport:
    values = {name: getattr(row, name) for name in TaskReport.model_fields if hasattr(row, name)}
    io = {"inputs": row.inputs or {}, "outputs": row.outputs or {}}  # none in rows of before revision 0009
    return TaskReport.model_validate(values | io | {"started": row.started_at, "ended": row.ended_at})
