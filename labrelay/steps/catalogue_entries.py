"""What is published of a result and of the datasets that it was made of; personal fields stay here."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.records.catalog.port import Entry
from labrelay.records.openlineage import Places, source_identifier
from labrelay.records.run_events import RunFacts
from labrelay.records.schema import (
    CrateRow,
    DatasetRow,
    ExperimentRow,
    FileRow,
    InstrumentRunRow,
    SampleRow,
    WorkflowRunRow,
    WorkflowRunSampleRow,
)
from labrelay.steps.home import Home

MOST_SAMPLES = 50


def result_entry(home: Home, session: Session, facts: RunFacts, places: Places) -> Entry:
    """Return the entry of a recorded result. Cost: five queries."""
    run = session.get_one(WorkflowRunRow, facts.run_id)
    experiment = session.get_one(ExperimentRow, run.experiment_id)
    samples = _samples(session, facts.run_id)
    about = _about(home, experiment, samples)
    subject = samples[0].name if len(samples) == 1 else f"{len(samples)} samples"
    return Entry(
        id=run.id,
        kind="result",
        name=f"{subject}: {facts.workflow} {facts.version}",
        description=f"{facts.title}, version {facts.version}, of {subject} in experiment {experiment.name}.",
        platform=_platform(session, facts),
        workflow=facts.workflow,
        workflow_version=facts.version,
        reference=run.reference_id,
        verdict=run.verdict,
        crate_uri=_crate(session, facts, places),
        recorded_at=run.recorded_at,
        superseded_by=run.replaced_by,
        source=source_identifier(places.result(run.id)),
        **about,
    )


def dataset_entries(home: Home, session: Session, facts: RunFacts, places: Places) -> list[Entry]:
    """Return the entries of the datasets that went into a run. Cost: one query."""
    query = (
        select(DatasetRow, InstrumentRunRow.run_id, InstrumentRunRow.platform, SampleRow, ExperimentRow)
        .join(InstrumentRunRow, InstrumentRunRow.id == DatasetRow.instrument_run_id)
        .join(SampleRow, SampleRow.id == DatasetRow.sample_id)
        .join(ExperimentRow, ExperimentRow.id == SampleRow.experiment_id)
        .where(DatasetRow.id.in_(facts.datasets))
        .order_by(DatasetRow.id)
    )
    return [
        Entry(
            id=dataset.id,
            kind="dataset",
            name=f"{sample.name}: reads of {instrument_run}",
            description=f"Reads of {sample.name} from the {platform} run {instrument_run}.",
            platform=platform,
            recorded_at=dataset.created_at,
            source=source_identifier(places.dataset(dataset.id)),
            **_about(home, experiment, [sample]),
        )
        for dataset, instrument_run, platform, sample, experiment in session.execute(query)
    ]


def _about(home: Home, experiment: ExperimentRow, samples: list[SampleRow]) -> dict[str, Any]:
    project = experiment.project or next((s.project for s in samples if s.project), None)
    return {
        "project": project,
        "owner": experiment.owner,
        "sensitivity": home.settings.project_sensitivity.get(project or "", home.settings.sensitivity),
        "experiment": experiment.name,
        "samples": tuple(sample.name for sample in samples[:MOST_SAMPLES]),
        "assay": next((s.assay for s in samples if s.assay), None),
    }


def _samples(session: Session, run_id: str) -> list[SampleRow]:
    query = select(SampleRow).join(WorkflowRunSampleRow, WorkflowRunSampleRow.sample_id == SampleRow.id)
    return list(session.scalars(query.where(WorkflowRunSampleRow.run_id == run_id).order_by(SampleRow.name)))


def _platform(session: Session, facts: RunFacts) -> str | None:
    query = select(InstrumentRunRow.platform).join(DatasetRow, DatasetRow.instrument_run_id == InstrumentRunRow.id)
    return session.scalars(query.where(DatasetRow.id.in_(facts.datasets)).limit(1)).first()


def _crate(session: Session, facts: RunFacts, places: Places) -> str | None:
    query = select(FileRow.storage, FileRow.key).join(CrateRow, CrateRow.file_id == FileRow.id)
    found = session.execute(query.where(CrateRow.run_id == facts.run_id).order_by(CrateRow.created_at.desc())).first()
    return None if found is None else places.uri(found.storage, found.key)
