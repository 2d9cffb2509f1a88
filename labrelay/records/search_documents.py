"""What a search finds of each thing: its name, what is shown of it, its facets and its words, read from its tables.

All things of a kind that changed are read together: one or some queries, whatever their number.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.model.instrument import run_name
from labrelay.records.arrivals import PLATE
from labrelay.records.schema import (
    CrateRow,
    ExperimentRow,
    FileRow,
    InstrumentRunRow,
    MetricRow,
    SampleRow,
    WorkflowRunRow,
    WorkflowRunSampleRow,
    WorkflowVersionRow,
)

NOTHING = "none"  # what the records say where there is no verdict


class Document(NamedTuple):
    """One thing as it is found.

    Attributes:
        facets: By the facet's name; those without a value are left out.
        texts: What is searched besides the name.
    """

    id: str
    kind: str
    name: str
    detail: str
    state: str | None
    at: str
    facets: dict[str, str]
    texts: tuple[str | None, ...]


def documents(session: Session, ids: Sequence[str]) -> list[Document]:
    """Return the documents of these things; those that are gone have none. Cost: up to four queries a kind."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    for each in ids:
        by_kind[each[:3]].append(each)
    return [made for kind, read in READERS.items() if by_kind[kind] for made in read(session, by_kind[kind])]


def _experiments(session: Session, ids: Sequence[str]) -> Iterator[Document]:
    for row in session.execute(_columns(ExperimentRow, "name title owner project external_id").where(_among(ids))):
        facets = _facets(row.created_at, project=row.project)
        texts = (row.title, row.owner, row.project, row.external_id)
        yield Document(row.id, "experiment", row.name, row.title or "", None, row.created_at, facets, texts)


def _samples(session: Session, ids: Sequence[str]) -> Iterator[Document]:
    names = "name aliases barcode subject assay project attributes"
    query = _columns(SampleRow, names).add_columns(ExperimentRow.name.label("experiment"), ExperimentRow.project)
    query = query.join(ExperimentRow, ExperimentRow.id == SampleRow.experiment_id).where(SampleRow.id.in_(ids))
    for row in session.execute(query):
        project = row.project or row[-1]
        facets = _facets(row.created_at, project=project, assay=row.assay, experiment=row.experiment)
        stated = [str(value) for value in (*row.aliases, *row.attributes.values())]
        texts = (row.subject, row.assay, project, row.barcode, row.experiment, *stated)
        yield Document(row.id, "sample", row.name, row.experiment, None, row.created_at, facets, texts)


def _instrument_runs(session: Session, ids: Sequence[str]) -> Iterator[Document]:
    query = _columns(InstrumentRunRow, "run_id platform folder state flow_cell").where(InstrumentRunRow.id.in_(ids))
    for row in session.execute(query.add_columns(PLATE.label("plate"))):
        facets = _facets(row.created_at, platform=row.platform, state=row.state)
        texts = (row.run_id, row.flow_cell, row.platform, row.folder, row.state)
        name = run_name(row.run_id, row.plate)
        yield Document(row.id, "instrument run", name, row.platform, row.state, row.created_at, facets, texts)


def _workflow_runs(session: Session, ids: Sequence[str]) -> Iterator[Document]:
    names = "result_path state verdict stale replaced_by rule failure reference_id"
    query = _columns(WorkflowRunRow, names).add_columns(
        WorkflowVersionRow.name.label("workflow"),
        WorkflowVersionRow.version,
        ExperimentRow.name.label("experiment"),
        ExperimentRow.project,
    )
    query = query.join(WorkflowVersionRow, WorkflowVersionRow.digest == WorkflowRunRow.workflow_digest)
    query = query.join(ExperimentRow, ExperimentRow.id == WorkflowRunRow.experiment_id)
    about, assays, projects = _subjects(session, ids)
    measured = _grouped(session, MetricRow.owner_id, MetricRow.name, ids)
    kept = _grouped(session, CrateRow.run_id, CrateRow.keywords, ids)
    for row in session.execute(query.where(WorkflowRunRow.id.in_(ids))):
        facets = _facets(
            row.created_at,
            project=row.project or projects.get(row.id),
            assay=assays.get(row.id),
            experiment=row.experiment,
            workflow=row.workflow,
            state=row.state,
            verdict=row.verdict,
            stale="yes" if row.stale and not row.replaced_by else "no",
        )
        texts = (row.workflow, row.version, row.verdict, row.state, row.rule, row.failure, row.reference_id)
        more = (row.experiment, row.stale, *about[row.id], *measured[row.id], *kept[row.id])
        detail = f"{row.workflow} {row.version}"
        yield Document(
            row.id, "workflow run", row.result_path, detail, row.state, row.created_at, facets, (*texts, *more)
        )


def _files(session: Session, ids: Sequence[str]) -> Iterator[Document]:
    # Without names, as there may be a hundred thousand of them.
    for id, created_at, key, role in session.execute(_columns(FileRow, "key role").where(FileRow.id.in_(ids))):
        yield Document(id, "file", key, role, None, created_at, _facets(created_at, role=role), (role,))


READERS: dict[str, Callable[[Session, Sequence[str]], Iterator[Document]]] = {
    "exp": _experiments,
    "smp": _samples,
    "ins": _instrument_runs,
    "run": _workflow_runs,
    "fil": _files,
}


def _columns(table: Any, names: str) -> Any:
    return select(table.id, table.created_at, *(getattr(table, name) for name in names.split()))


def _among(ids: Sequence[str]) -> Any:
    return ExperimentRow.id.in_(ids)


def _facets(created_at: str, **values: str | None) -> dict[str, str]:
    found = {name: value for name, value in values.items() if value}
    return {**found, "month": created_at[:7]}


def _subjects(session: Session, ids: Sequence[str]) -> tuple[dict[str, list[str]], dict[str, str], dict[str, str]]:
    """Return the names of each run's samples, and an assay and a project that one of them has."""
    query = select(WorkflowRunSampleRow.run_id, SampleRow.name, SampleRow.assay, SampleRow.project)
    query = query.join(SampleRow, SampleRow.id == WorkflowRunSampleRow.sample_id)
    names: dict[str, list[str]] = defaultdict(list)
    assays: dict[str, str] = {}
    projects: dict[str, str] = {}
    for run_id, name, assay, project in session.execute(query.where(WorkflowRunSampleRow.run_id.in_(ids))):
        names[run_id].append(name)
        if assay:
            assays.setdefault(run_id, assay)
        if project:
            projects.setdefault(run_id, project)
    return names, assays, projects


def _grouped(session: Session, owner: Any, value: Any, ids: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for run_id, text in session.execute(select(owner, value).where(owner.in_(ids), value.is_not(None))):
        found[run_id].append(text)
    return found
