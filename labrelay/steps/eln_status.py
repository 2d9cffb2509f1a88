"""How an experiment stands, in lines for its notebook entry: from the records alone, the same words each time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.model.experiment import Sample
from labrelay.model.instrument import SheetSample
from labrelay.model.names import on_one_line
from labrelay.model.states import RunState
from labrelay.model.words import counted
from labrelay.records import experiments
from labrelay.records.eln.port import StatusLine
from labrelay.records.schema import DatasetRow, InstrumentRunRow, SampleRow
from labrelay.steps.eln_runs import RunOf
from labrelay.steps.matching import match

STATES: Mapping[RunState, str] = {
    RunState.QUEUED: "waiting",
    RunState.INITIALIZING: "running",
    RunState.RUNNING: "running",
    RunState.CANCELING: "running",
    RunState.UNKNOWN: "running",
    RunState.COMPLETE: "running",  # until its end is on record
    RunState.CANCELED: "canceled",
    RunState.EXECUTOR_ERROR: "failed",
    RunState.SYSTEM_ERROR: "failed",
}


def status_lines(session: Session, experiment_id: str, runs: Sequence[RunOf]) -> tuple[StatusLine, ...]:
    """Return how the experiment's instrument runs, samples and workflow runs stand. Cost: four queries."""
    samples = session.scalars(select(SampleRow).where(SampleRow.experiment_id == experiment_id)).all()
    datasets = session.execute(
        select(DatasetRow, InstrumentRunRow)
        .join(InstrumentRunRow, InstrumentRunRow.id == DatasetRow.instrument_run_id)
        .where(DatasetRow.sample_id.in_([sample.id for sample in samples]))
        .order_by(InstrumentRunRow.created_at, DatasetRow.label)
    ).all()
    pairs = [(dataset, run) for dataset, run in datasets]
    return (
        *_not_taken(session, experiment_id),
        *_received(pairs),
        *_samples(samples, pairs),
        *(_workflow_run(run) for run in runs),
    )


def concerned(session: Session, content: Mapping[str, object]) -> list[str]:
    """Return the experiments that announced samples of an instrument run, as its sheet names them."""
    index = experiments.index_of(session)
    return sorted({found.experiment_id for found in _matched(content, index)})


def _matched(content: Mapping[str, object], index: experiments.SampleIndex) -> Iterator[Sample]:
    told = content.get("samples")
    rows = [SheetSample.model_validate(row) for row in told] if isinstance(told, list) else []
    for label in dict.fromkeys(row.sample_id for row in rows):
        found = match(label, [row for row in rows if row.sample_id == label], index).sample
        if found is not None:
            yield found


def _not_taken(session: Session, experiment_id: str) -> Iterator[StatusLine]:
    """Yield the instrument runs with samples of the experiment that are not stored: refused, or waiting."""
    query = select(InstrumentRunRow).where(InstrumentRunRow.state != "stored").order_by(InstrumentRunRow.created_at)
    rows = session.scalars(query).all()
    index = experiments.index_of(session, experiment_id) if rows else None
    for row in rows:
        if index is not None and any(_matched(row.content, index)):
            state = "refused" if row.state == "refused" else "waiting" if row.reason else "received"
            text = on_one_line(row.reason or "seen; its files are being stored")
            yield StatusLine(subject=row.run_id, state=state, text=text, at=row.created_at)


def _received(pairs: Sequence[tuple[DatasetRow, InstrumentRunRow]]) -> Iterator[StatusLine]:
    runs = {run.id: run for _dataset, run in pairs}
    for run in runs.values():
        mine = sum(each.id == run.id for _dataset, each in pairs)
        text = f"stored, with {counted(mine, 'sample')} of this experiment"
        yield StatusLine(subject=run.run_id, state="received", text=text, at=run.stored_at or run.created_at)


def _samples(
    samples: Sequence[SampleRow], pairs: Sequence[tuple[DatasetRow, InstrumentRunRow]]
) -> Iterator[StatusLine]:
    """Yield the samples that have no reads so far."""
    with_reads = {dataset.sample_id for dataset, _run in pairs if dataset.state != "no_reads"}
    empty = {dataset.sample_id: run for dataset, run in pairs if dataset.state == "no_reads"}
    for sample in sorted(samples, key=lambda s: s.name):
        if sample.id in with_reads:
            continue
        if (run := empty.get(sample.id)) is not None:
            text = f"the sheet of {run.run_id} names it, and no reads came"
            yield StatusLine(subject=sample.name, state="no reads", text=text, at=run.stored_at)
        else:
            text = "no instrument run has brought its reads yet"
            yield StatusLine(subject=sample.name, state="announced", text=text, at=sample.created_at)


def _workflow_run(run: RunOf) -> StatusLine:
    if run.replaced_by is not None:
        why = f": {run.stale}" if run.stale else ""
        text = f"{run.workflow}: {run.id} was replaced by {run.replaced_by}{why}"
        return StatusLine(subject=run.sample, state="superseded", text=on_one_line(text), at=run.ended_at)
    if run.has_result:
        text = f"{run.workflow}: {run.id}, verdict {run.verdict.value}" + (f"; {run.stale}" if run.stale else "")
        return StatusLine(subject=run.sample, state="done", text=on_one_line(text), at=run.ended_at)
    state = STATES[run.state]
    text = f"{run.workflow}: {run.id}" + (f", {run.failure}" if state == "failed" and run.failure else "")
    return StatusLine(subject=run.sample, state=state, text=on_one_line(text), at=run.ended_at or run.state_at)
