"""Step 4, match: datasets of a stored run get their announced samples; what cannot be settled waits for a person."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeVar

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from labrelay.model.barcodes import is_named
from labrelay.model.errors import NotFound, UsageError
from labrelay.model.experiment import Sample
from labrelay.model.files import FileRole
from labrelay.model.ids import looks_like_id
from labrelay.model.instrument import SheetSample
from labrelay.model.names import printable
from labrelay.model.problem import Frozen, errors_of
from labrelay.model.reads import BamStats
from labrelay.model.words import first_of
from labrelay.parsers.bam import check_sample
from labrelay.records import experiments, intake
from labrelay.records.database import now
from labrelay.records.schema import (
    AuditRow,
    DatasetFileRow,
    DatasetRow,
    ExperimentRow,
    FileRow,
    InstrumentRunRow,
    RunIORow,
    SampleRow,
    WorkflowRunRow,
    WorkflowVersionRow,
)
from labrelay.steps.eln_signs import sign
from labrelay.steps.home import Home
from labrelay.steps.matching import Match, free_samples, match
from labrelay.steps.notices import notify

SHOWN = 3
Row = TypeVar("Row")


class Dataset(Frozen):
    """A dataset as people see it: whose reads, and how that was found out."""

    id: str
    label: str
    state: str
    sample: str | None = None
    sample_id: str | None = None
    matched_by: str | None = None
    reason: str | None = None


def match_run(home: Home, instrument_run_id: str, experiment: str | None = None) -> list[Dataset]:
    """Match the unassigned datasets of a stored run with announced samples; what is assigned stays.

    Args:
        home: Where.
        instrument_run_id: `ins_…`.
        experiment: Look only at this experiment's samples.

    Raises:
        NotFound: No such experiment.
    """
    with home.records.write() as session:
        wanted = None if experiment is None else find_experiment(session, experiment).id
        index = experiments.index_of(session, wanted)
        rows = _sheet_rows(session, instrument_run_id)
        free = free_of(session, instrument_run_id, [r for each in rows.values() for r in each], index, experiment)
        headers = _bam_headers(session, instrument_run_id)
        query = select(DatasetRow).where(DatasetRow.instrument_run_id == instrument_run_id).order_by(DatasetRow.label)
        found: list[tuple[DatasetRow, str | None]] = []
        new: set[str] = set()
        for row in session.scalars(query).all():
            outcome = None if row.sample_id else match(row.label, rows.get(row.label, []), index, free)
            if outcome is not None and outcome.sample is not None:
                outcome = _held_against_headers(outcome, outcome.sample, headers.get(row.id, []))
            if outcome is not None and outcome.sample is not None:
                intake.assign(session, row, outcome.sample.id, outcome.by or "id")
                new.add(outcome.sample.id)
            elif outcome is not None and row.state != "no_reads":  # whose they are is no question there
                _needs_person(home, session, row, outcome)
            found.append((row, outcome.reason if outcome else None))
        samples = experiments.samples_by_id(session, [row.sample_id for row, _reason in found if row.sample_id])
        if new:
            sign(home, session, "matched", {samples[i].experiment_id for i in new}, instrument_run_id, *sorted(new))
        return [_dataset(row, samples, reason) for row, reason in found]


def announced_meanwhile(session: Session) -> dict[str, str]:
    """Return the samples' names by the waiting datasets that `match_run` would give them, since they are announced now.

    Only datasets are looked at whose label is the name of a sample. Cost: one query where there is none, else one over
    all samples and up to three an instrument run.
    """
    query = select(DatasetRow).join(SampleRow, SampleRow.name == DatasetRow.label).distinct()
    by_run: dict[str, list[DatasetRow]] = defaultdict(list)
    for row in session.scalars(query.where(DatasetRow.state == "unassigned")):
        by_run[row.instrument_run_id].append(row)
    found: dict[str, str] = {}
    if not by_run:
        return found
    index = experiments.index_of(session)
    for run_id, datasets in by_run.items():
        rows, headers = _sheet_rows(session, run_id), _bam_headers(session, run_id)
        for row in datasets:
            outcome = match(row.label, rows.get(row.label, []), index)
            if outcome.sample is not None:
                outcome = _held_against_headers(outcome, outcome.sample, headers.get(row.id, []))
            if outcome.sample is not None:
                found[row.id] = outcome.sample.name
    return found


def free_of(
    session: Session,
    instrument_run_id: str,
    rows: Sequence[SheetSample],
    index: experiments.SampleIndex,
    experiment: str | None,
) -> frozenset[str]:
    """Return the samples that `barcode01` and its like may mean in a run; see `matching.free_samples`."""
    others = select(DatasetRow.sample_id).where(DatasetRow.instrument_run_id != instrument_run_id)
    used = {found for found in session.scalars(others.distinct()) if found is not None} if _by_name(rows) else set()
    return free_samples(rows, index, used, chosen=experiment is not None)


def _by_name(rows: Sequence[SheetSample]) -> bool:
    return any(row.barcode is not None and is_named(row.barcode) for row in rows)


def assign(home: Home, dataset: str, sample: str, instead_of: str | None = None) -> Dataset:
    """Say whose reads a dataset holds, as a person; what was made of them for another sample is marked by `process`.

    Args:
        home: Where.
        dataset: `dat_…`, or the label when only one dataset has it.
        sample: `smp_…`, or the name when only one announced sample has it.
        instead_of: The sample that it has now, by name or id: only so is it taken from that one.

    Raises:
        NotFound: No such dataset or sample.
        UsageError: The name fits several, or the dataset is another sample's than `instead_of` says.
    """
    with home.records.write() as session:
        row, target = _dataset_row(session, dataset), find_sample(session, sample)
        if row.sample_id != target.id:
            before = experiments.samples_by_id(session, [row.sample_id] if row.sample_id else [])
            _refuse_taking(session, row, next(iter(before.values()), None), target, instead_of)
            intake.assign(session, row, target.id, "person")
            concerned = {target.experiment_id, *(each.experiment_id for each in before.values())}
            sign(home, session, "matched", concerned, row.id, target.id, now())
        return _dataset(row, {target.id: experiments.sample_of(target)}, None)


def _refuse_taking(
    session: Session, row: DatasetRow, has: Sample | None, target: SampleRow, instead_of: str | None
) -> None:
    """Refuse to give a sample's reads to another one by a slip, which would mix two patients in one result."""
    if instead_of in ((None,) if has is None else (has.name, has.id)):
        return
    label = printable(row.label, 80)
    if has is None:
        raise UsageError(f"{label} has no sample that it could be taken from: give no --from")
    name, other = printable(has.name, 80), printable(target.name, 80)
    assigned = (AuditRow.entity_id == row.id) & (AuditRow.action == "dataset.assigned")
    said = session.scalar(select(func.max(AuditRow.at)).where(assigned))
    how = "said by a person" if row.matched_by == "person" else f"by its {row.matched_by}"
    made = first_of(_made_of(session, row), SHOWN)
    raise UsageError(
        f"{label} ({row.id}) is {name}'s since {(said or row.created_at)[:16].replace('T', ' ')} UTC ({how}), and "
        f"{f'of it were made {made}' if made else 'nothing was made of it yet'}: only if its reads are {other}'s, "
        f"labrelay assign {row.id} {shlex.quote(other)} --from {shlex.quote(name)}"
    )


def _made_of(session: Session, row: DatasetRow) -> list[str]:
    """Return the workflow runs on files of a dataset that count, for people."""
    version = WorkflowVersionRow
    query = (
        select(WorkflowRunRow.id, version.name, version.version)
        .distinct()
        .join(version, version.digest == WorkflowRunRow.workflow_digest)
        .join(RunIORow, RunIORow.run_id == WorkflowRunRow.id)
        .join(DatasetFileRow, DatasetFileRow.file_id == RunIORow.file_id)
        .where(DatasetFileRow.dataset_id == row.id, RunIORow.direction == "in", WorkflowRunRow.replaced_by.is_(None))
        .order_by(version.name, version.version, WorkflowRunRow.id)
    )
    return [f"{name} {number} ({run})" for run, name, number in session.execute(query)]


def find_experiment(session: Session, name_or_id: str) -> ExperimentRow:
    """Return the experiment of this name or id.

    Raises:
        NotFound: There is none.
    """
    column = ExperimentRow.id if looks_like_id(name_or_id, "exp") else ExperimentRow.name
    row = session.scalar(select(ExperimentRow).where(column == name_or_id))
    if row is None:
        known = ", ".join(session.scalars(select(ExperimentRow.name).order_by(ExperimentRow.name).limit(8)))
        there = f"there are {known}" if known else "none was announced yet: `labrelay announce`"
        raise NotFound(f"no experiment is called {name_or_id}: {there}")
    return row


def find_sample(session: Session, text: str) -> SampleRow:
    """Return the sample of this id (or its beginning) or of this name.

    Raises:
        NotFound: There is none.
        UsageError: The name fits several.
    """
    by_id = looks_like_id(text, "smp")
    wanted = SampleRow.id.startswith(text, autoescape=True) if by_id else SampleRow.name == text
    return _one(session.scalars(select(SampleRow).where(wanted)).all(), "sample", text)


def _dataset_row(session: Session, text: str) -> DatasetRow:
    by_id = looks_like_id(text, "dat")
    wanted = DatasetRow.id.startswith(text, autoescape=True) if by_id else DatasetRow.label == text
    return _one(session.scalars(select(DatasetRow).where(wanted)).all(), "dataset", text)


def _one(rows: Sequence[Row], kind: str, text: str) -> Row:
    if not rows:
        raise NotFound(
            f"there is no {kind} {text}: `labrelay status` lists what waits, and `labrelay announce` brings new samples"
        )
    if len(rows) > 1:
        raise UsageError(f"{len(rows)} {kind}s fit {text}: give its id")
    return rows[0]


def _sheet_rows(session: Session, instrument_run_id: str) -> dict[str, list[SheetSample]]:
    content = session.get_one(InstrumentRunRow, instrument_run_id).content
    rows: dict[str, list[SheetSample]] = defaultdict(list)
    for values in content.get("samples", []):
        sample = SheetSample.model_validate(values)
        rows[sample.sample_id].append(sample)
    return rows


def _bam_headers(session: Session, instrument_run_id: str) -> dict[str, list[tuple[str, BamStats]]]:
    """Return what the gate read in the headers of the run's BAM and CRAM files, by dataset, in one query."""
    query = (
        select(DatasetFileRow.dataset_id, FileRow)
        .join(FileRow, FileRow.id == DatasetFileRow.file_id)
        .join(DatasetRow, DatasetRow.id == DatasetFileRow.dataset_id)
        .where(DatasetRow.instrument_run_id == instrument_run_id, FileRow.role == FileRole.ALIGNMENT.value)
    )
    found: dict[str, list[tuple[str, BamStats]]] = defaultdict(list)
    for dataset_id, file in session.execute(query):
        if file.stats:
            found[dataset_id].append((file.key, BamStats.model_validate(file.stats)))
    return found


def _held_against_headers(outcome: Match, sample: Sample, headers: Sequence[tuple[str, BamStats]]) -> Match:
    """Take a match only when the files' own headers name the sample: a wrong name there spreads to all outputs."""
    allowed = {sample.name, *sample.aliases, outcome.label}
    wrong = [p for key, stats in headers for p in errors_of(check_sample(stats, allowed, key))]
    return Match(label=outcome.label, reason=str(wrong[0])) if wrong else outcome


def _needs_person(home: Home, session: Session, row: DatasetRow, outcome: Match) -> None:
    """Tell people once per dataset and reason that its reads wait for them."""
    reason = outcome.reason or ""
    notify(home, session, row.id, "needs-you", f"{row.id}:{reason}", label=row.label, reason=reason)


def _dataset(row: DatasetRow, samples: Mapping[str, Sample], reason: str | None) -> Dataset:
    name = None if row.sample_id is None else samples[row.sample_id].name
    return Dataset(
        id=row.id,
        label=row.label,
        state=row.state,
        sample=name,
        sample_id=row.sample_id,
        matched_by=row.matched_by,
        reason=reason,
    )
