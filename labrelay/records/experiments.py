"""Experiments and samples as announced, their corrections, and the index that sheet rows are matched by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.model.barcodes import spelled
from labrelay.model.experiment import Experiment, Sample
from labrelay.records import audit
from labrelay.records.database import actor, now
from labrelay.records.schema import ExperimentRow, SampleRevisionRow, SampleRow
from labrelay.records.upsert import insert_missing

EDITABLE = ("title", "owner", "project")  # what may be corrected of an experiment


@dataclass
class Announced:
    """What an announcement changed, by sample name; `fields` of the experiment were announced otherwise before."""

    experiment: Experiment
    added: list[str] = field(default_factory=list)
    corrected: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)


def announce(
    session: Session, experiment: Experiment, samples: Sequence[Sample], *, correct: bool, reason: str | None = None
) -> Announced:
    """Write an experiment with its samples; announcing the same again changes nothing.

    A sample that is there with other content is left alone and named in `differing`, unless `correct`: then it gets
    the next revision, the old one stays on record, and what was computed from it becomes stale (by its revision).
    So with the experiment's title, owner and project, of which None says nothing; they have no revisions.
    """
    made = insert_missing(
        session, ExperimentRow, [dict(experiment.model_dump(), id=experiment.id, created_at=now(), created_by=actor())]
    )
    if made:
        audit.record(session, "experiment.announced", experiment.id)
    outcome = Announced(experiment)
    _edit(session, experiment, outcome, reason, correct=correct)
    known = {row.id: row for row in session.scalars(select(SampleRow).where(SampleRow.experiment_id == experiment.id))}
    for sample in samples:
        row = known.get(sample.id)
        if row is None:
            _add(session, sample, reason)
            outcome.added.append(sample.name)
        elif _content(sample_of(row)) == _content(sample):
            outcome.unchanged.append(sample.name)
        elif correct:
            _correct(session, row, sample, reason)
            outcome.corrected.append(sample.name)
        else:
            outcome.differing.append(sample.name)
    return outcome


def sample_of(row: SampleRow) -> Sample:
    """Return the sample that a row holds."""
    values = {name: getattr(row, name) for name in Sample.model_fields}
    return Sample.model_validate(values)


def experiment_of(row: ExperimentRow) -> Experiment:
    """Return the experiment that a row holds."""
    return Experiment.model_validate({name: getattr(row, name) for name in Experiment.model_fields})


def samples_by_id(session: Session, ids: Iterable[str]) -> dict[str, Sample]:
    """Return the samples with these ids, in one query."""
    rows = session.scalars(select(SampleRow).where(SampleRow.id.in_(list(ids))))
    return {row.id: sample_of(row) for row in rows}


@dataclass
class SampleIndex:
    """Announced samples by the names that sheets and files use; names are compared without case."""

    by_id: dict[str, list[Sample]]
    by_alias: dict[str, list[Sample]]
    by_barcode: dict[str, list[Sample]]


def index_of(session: Session, experiment_id: str | None = None) -> SampleIndex:
    """Return the index over all samples, or one experiment's. Cost: one query, memory grows with the samples."""
    query = (
        select(SampleRow)
        if experiment_id is None
        else select(SampleRow).where(SampleRow.experiment_id == experiment_id)
    )
    index = SampleIndex(defaultdict(list), defaultdict(list), defaultdict(list))
    for row in session.scalars(query):
        sample = sample_of(row)
        index.by_id[sample.name.casefold()].append(sample)
        for alias in sample.aliases:
            index.by_alias[alias.casefold()].append(sample)
        if sample.barcode:
            index.by_barcode[spelled(sample.barcode)].append(sample)
    return index


def _edit(session: Session, experiment: Experiment, outcome: Announced, reason: str | None, *, correct: bool) -> None:
    row = session.get_one(ExperimentRow, experiment.id)
    said = {name: value for name in EDITABLE if (value := getattr(experiment, name))}
    new = {name: value for name, value in said.items() if getattr(row, name) != value}
    outcome.fields = list(new)
    if not correct:
        outcome.differing += [f"the experiment's {name}" for name in new]
    elif new:
        before = {name: getattr(row, name) for name in new}
        for name, value in new.items():
            setattr(row, name, value)
        changed = {"fields": sorted(new), "before": before, "after": new}
        audit.record(session, "experiment.changed", row.id, **changed, reason=reason)


def _content(sample: Sample) -> dict[str, object]:
    return sample.model_dump(exclude={"revision"})


def _add(session: Session, sample: Sample, reason: str | None) -> None:
    values = dict(sample.model_dump(mode="json"), id=sample.id, created_at=now())
    insert_missing(session, SampleRow, [values])
    _keep_revision(session, sample, reason)
    audit.record(session, "sample.announced", sample.id, revision=sample.revision)


def _correct(session: Session, row: SampleRow, sample: Sample, reason: str | None) -> None:
    corrected = sample.model_copy(update={"revision": row.revision + 1})
    for name, value in corrected.model_dump(mode="json").items():
        setattr(row, name, value)
    _keep_revision(session, corrected, reason)
    audit.record(session, "sample.corrected", sample.id, revision=corrected.revision, reason=reason)


def _keep_revision(session: Session, sample: Sample, reason: str | None) -> None:
    content = sample.model_dump(mode="json")
    values = {"sample_id": sample.id, "revision": sample.revision, "content": content, "reason": reason}
    insert_missing(session, SampleRevisionRow, [dict(values, at=now(), by=actor())])
