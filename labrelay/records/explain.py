"""Gathering what explains one workflow run: the rows of the records, read once each, as an `Explanation`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from labrelay.model.qc import Threshold, Verdict
from labrelay.model.runs import RunInput
from labrelay.model.states import RunState
from labrelay.records import overrides
from labrelay.records.arrivals import PLATE
from labrelay.records.explain_before import Earlier, changes, earlier_result
from labrelay.records.explanation import (
    Asked,
    Before,
    Explanation,
    Judged,
    Output,
    ParameterUsed,
    Ran,
    ReadsFile,
    ReadsSource,
    ReferenceRead,
    SampleUsed,
    Took,
    WorkflowUsed,
)
from labrelay.records.runs import last_attempt
from labrelay.records.schema import (
    AttemptRow,
    CostRow,
    DatasetFileRow,
    DatasetRow,
    ExperimentRow,
    FileRow,
    InstrumentRunRow,
    MetricRow,
    RunIORow,
    SampleRow,
    TaskRow,
    WorkflowRunRow,
    WorkflowRunSampleRow,
    WorkflowVersionRow,
)
from labrelay.records.superseded import superseded_by

REFERENCE = "reference."
OF_THE_RUN = ("run_id", "platform", "instrument_model", "instrument_serial", "flow_cell", "started")


def explain(session: Session, run: WorkflowRunRow) -> Explanation:
    """Return what explains a run, of any state. Cost: seventeen queries, whatever its size.

    Args:
        session: One consistent state of the store is read.
        run: The run.
    """
    version = session.get_one(WorkflowVersionRow, run.workflow_digest)
    experiment = session.scalars(select(ExperimentRow.name).where(ExperimentRow.id == run.experiment_id)).one()
    attempt = last_attempt(session, run.id)
    samples = _samples(session, run.id)
    sources, others, reference = _inputs(session, run)
    earlier = earlier_result(session, run, version, [sample.id for sample in samples])
    measured = _metrics(session, run.id, earlier, version.content)
    ran, superseded = _ran(session, attempt), superseded_by(session, run)
    return Explanation(
        run_id=run.id,
        experiment=experiment,
        state=RunState(run.state),
        verdict=Verdict(run.verdict),
        overruled=overrides.of_runs(session, [run.id]).get(run.id),
        failure=run.failure,
        stale=run.stale,
        replaced_by=run.replaced_by,
        replaces=superseded.replaces,
        because=superseded.because,
        samples=samples,
        sources=sources,
        others=others,
        reference=reference,
        workflow=_workflow(version),
        parameters=_parameters(run, version.content),
        asked=Asked(
            by=run.created_by,
            at=datetime.fromisoformat(run.created_at),
            rule=run.rule,
            generation=run.generation,
            attempt=attempt.number,
        ),
        ran=ran,
        took=_took(session, run.id, attempt.report or {}),
        metrics=measured,
        outputs=_outputs(session, run.id),
        before=_before(run, version, samples, ran, earlier),
    )


def _samples(session: Session, run_id: str) -> tuple[SampleUsed, ...]:
    query = (
        select(SampleRow.id, SampleRow.name, WorkflowRunSampleRow.revision, SampleRow.revision.label("newest"))
        .join(WorkflowRunSampleRow, WorkflowRunSampleRow.sample_id == SampleRow.id)
        .where(WorkflowRunSampleRow.run_id == run_id)
    )
    rows = session.execute(query.order_by(SampleRow.name, SampleRow.id)).mappings()
    return tuple(SampleUsed.model_validate(dict(row)) for row in rows)


def _inputs(
    session: Session, run: WorkflowRunRow
) -> tuple[tuple[ReadsSource, ...], tuple[ReadsFile, ...], ReferenceRead | None]:
    """Return the files that went in, in one query: by instrument run, those of none, and the reference."""
    columns = [InstrumentRunRow.content[name].as_string().label(f"of_{name}") for name in OF_THE_RUN]
    query = (
        select(RunIORow, FileRow, DatasetFileRow.lane, DatasetFileRow.read, SampleRow.name.label("sample"))
        .add_columns(InstrumentRunRow.id.label("of_id"), PLATE.label("of_plate"), *columns)
        .join(FileRow, FileRow.id == RunIORow.file_id)
        .outerjoin(DatasetFileRow, DatasetFileRow.file_id == FileRow.id)
        .outerjoin(DatasetRow, DatasetRow.id == DatasetFileRow.dataset_id)
        .outerjoin(SampleRow, SampleRow.id == DatasetRow.sample_id)
        .outerjoin(InstrumentRunRow, InstrumentRunRow.id == DatasetRow.instrument_run_id)
        .where(RunIORow.run_id == run.id, RunIORow.direction == "in")
        .order_by(RunIORow.idx, RunIORow.name)
    )
    known: dict[str, list[Any]] = defaultdict(list)
    others: dict[str, ReadsFile] = {}
    reference = ReferenceRead(id=run.reference_id) if run.reference_id else None
    for row in session.execute(query):
        file = _read_file(row)
        if row.RunIORow.name.startswith(REFERENCE):
            reference = ReferenceRead(id=run.reference_id, file=file)
        elif row.of_id is not None:
            known[row.of_id].append((row, file))
        else:
            others.setdefault(file.id, file)
    sources = [_source(rows[0][0], [file for _row, file in rows]) for rows in known.values()]
    return tuple(sorted(sources, key=lambda s: s.run_id or "")), tuple(others.values()), reference


def _read_file(row: Row[Any]) -> ReadsFile:
    file, counted = row.FileRow, (row.FileRow.stats or {}).get("reads")
    return ReadsFile(
        id=file.id,
        name=file.key.rsplit("/", 1)[-1],
        role=row.RunIORow.name,
        sha256=file.sha256,
        size=file.size,
        reads=counted,
        lane=row.lane,
        mate=row.read,
        sample=row.sample,
    )


def _source(row: Row[Any], files: Sequence[ReadsFile]) -> ReadsSource:
    unique = {file.id: file for file in files}
    return ReadsSource(
        id=row.of_id,
        run_id=row.of_run_id,
        platform=row.of_platform,
        model=row.of_instrument_model,
        serial=row.of_instrument_serial,
        flow_cell=row.of_flow_cell,
        plate=row.of_plate,
        started=datetime.fromisoformat(row.of_started) if row.of_started else None,
        files=tuple(unique.values()),
    )


def _workflow(version: WorkflowVersionRow) -> WorkflowUsed:
    return WorkflowUsed(
        name=version.name,
        version=version.version,
        title=str(version.content.get("title") or version.name),
        digest=version.digest,
        language=version.language,
    )


def _parameters(run: WorkflowRunRow, content: Mapping[str, Any]) -> tuple[ParameterUsed, ...]:
    """Return what was set, by a rule or a person, with the definition's defaults; files are told as inputs."""
    asked: Mapping[str, Any] = run.parameters.get("parameters", {})
    prefix = f"{content.get('workflow')}."
    specs = content.get("inputs") or {}
    files = {RunInput.model_validate(each).role for each in run.inputs}
    values = {name.removeprefix(prefix): value for name, value in asked.items()}
    return tuple(
        ParameterUsed(name=name, value=value, default=(specs.get(name) or {}).get("default"))
        for name, value in sorted(values.items())
        if name not in files
    )


def _ran(session: Session, attempt: AttemptRow) -> Ran:
    columns = (TaskRow.name, TaskRow.state, TaskRow.cached, TaskRow.ran_in, TaskRow.declared_image)
    query = select(*columns, TaskRow.instance_type).where(TaskRow.token == attempt.token)
    tasks = session.execute(query.order_by(TaskRow.started_at, TaskRow.name)).all()
    report: Mapping[str, Any] = attempt.report or {}
    bad = (RunState.EXECUTOR_ERROR.value, RunState.SYSTEM_ERROR.value)
    return Ran(
        place=attempt.engine,
        engine=report.get("engine"),
        sandbox=report.get("sandbox"),
        tools=report.get("tools") or {},
        tasks=len(tasks),
        cached=sum(task.cached for task in tasks),
        failed=tuple(task.name for task in tasks if task.state in bad),
        held_by=_each([task.ran_in for task in tasks]),
        declared=_each([task.declared_image for task in tasks]),
        machines=_each([task.instance_type for task in tasks]),
    )


def _each(values: Sequence[str | None]) -> tuple[str, ...]:
    return tuple(sorted({value for value in values if value}))


def _took(session: Session, run_id: str, report: Mapping[str, Any]) -> Took:
    query = select(CostRow.unit, CostRow.quantity, CostRow.amount, CostRow.currency).where(CostRow.run_id == run_id)
    rows = session.execute(query).all()
    billed = [row.amount for row in rows if row.amount is not None and row.currency == "USD"]
    cpu = [row.quantity for row in rows if row.unit == "s"]
    started, ended = report.get("started"), report.get("ended")
    seconds = None
    if started is not None and ended is not None:
        seconds = (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds()
    return Took(
        seconds=seconds,
        cpu_seconds=sum(cpu) if cpu else None,
        # Where one item has no price, or one in another currency, the sum would say too little.
        usd=sum(billed) if billed and len(billed) == len(rows) else None,
    )


def _metrics(session: Session, run_id: str, earlier: Earlier | None, content: Mapping[str, Any]) -> tuple[Judged, ...]:
    """Return the metrics in the definition's order, each with its value in the result before."""
    owners = [run_id, *([earlier.run.id] if earlier else [])]
    rows = session.scalars(select(MetricRow).where(MetricRow.owner_id.in_(owners))).all()
    before = {(row.scope, row.name): row.value for row in rows if row.owner_id != run_id}
    specs, limits = content.get("metrics") or {}, content.get("thresholds") or {}
    order = {name: place for place, name in enumerate(specs)}
    mine = sorted(
        (row for row in rows if row.owner_id == run_id), key=lambda r: (order.get(r.name, len(order)), r.scope, r.name)
    )
    return tuple(
        Judged(
            name=row.name,
            label=(specs.get(row.name) or {}).get("label"),
            value=row.value,
            unit=row.unit,
            scope=row.scope,
            verdict=Verdict(row.verdict),
            limits=Threshold.model_validate(limits[row.name]) if row.name in limits else None,
            before=before.get((row.scope, row.name)),
            source=_source_of(specs.get(row.name)),
        )
        for row in mine
    )


def _source_of(spec: Mapping[str, Any] | None) -> str | None:
    return f"{spec['output']} at {spec['pointer']}" if spec else None


def _outputs(session: Session, run_id: str) -> tuple[Output, ...]:
    query = (
        select(RunIORow.name, RunIORow.task, FileRow.id, FileRow.key, FileRow.sha256, FileRow.size)
        .join(FileRow, FileRow.id == RunIORow.file_id)
        .where(RunIORow.run_id == run_id, RunIORow.direction == "out")
        .order_by(RunIORow.name, RunIORow.idx)
    )
    return tuple(Output.model_validate(dict(row)) for row in session.execute(query).mappings())


def _before(
    run: WorkflowRunRow,
    version: WorkflowVersionRow,
    samples: Sequence[SampleUsed],
    ran: Ran,
    earlier: Earlier | None,
) -> Before | None:
    if earlier is None:
        return None
    return Before(
        run_id=earlier.run.id,
        ended=datetime.fromisoformat(earlier.run.ended_at) if earlier.run.ended_at else None,
        workflow=f"{earlier.version.name} {earlier.version.version}",
        verdict=Verdict(earlier.run.verdict),
        changes=tuple(changes(earlier, run, version, {s.id: (s.name, s.revision) for s in samples}, ran.tools)),
    )
