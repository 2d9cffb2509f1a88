"""The tables of the metadata store: the vocabulary as SQLAlchemy models, the same on SQLite and Postgres.

Times are UTC, stored as ISO 8601 text with microseconds, so that they sort as text and read the same in every database.
Identity is kept by unique constraints, never by looking first: a step done twice meets the row of the first time.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Float, ForeignKey, Index, Integer, MetaData, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}
Json = dict[str, Any]


class Base(DeclarativeBase):
    """The declarative base; constraint names are fixed so that migrations can name them."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {Json: JSON, list[Any]: JSON, str: Text}


class ExperimentRow(Base):
    """An announced experiment, or the one that an unannounced run is taken in under."""

    __tablename__ = "experiment"
    id: Mapped[str] = mapped_column(String(24), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    title: Mapped[str | None]
    owner: Mapped[str | None]
    project: Mapped[str | None]
    external_id: Mapped[str | None]
    created_at: Mapped[str]
    created_by: Mapped[str]


class SampleRow(Base):
    """An announced sample at its newest revision."""

    __tablename__ = "sample"
    __table_args__ = (UniqueConstraint("experiment_id", "name"),)
    id: Mapped[str] = mapped_column(String(24), primary_key=True)
    experiment_id: Mapped[str] = mapped_column(ForeignKey("experiment.id"), index=True)
    name: Mapped[str] = mapped_column(index=True)
    aliases: Mapped[list[Any]]
    barcode: Mapped[str | None]
    subject: Mapped[str | None]
    assay: Mapped[str | None]
    project: Mapped[str | None]
    revision: Mapped[int]
    attributes: Mapped[Json]
    created_at: Mapped[str]


class SampleRevisionRow(Base):
    """Each revision of a sample as it was, with who changed it and why."""

    __tablename__ = "sample_revision"
    sample_id: Mapped[str] = mapped_column(ForeignKey("sample.id"), primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[Json]
    reason: Mapped[str | None]
    at: Mapped[str]
    by: Mapped[str]


class InstrumentRunRow(Base):
    """A taken-in instrument run. States: `seen`, `stored`, `refused`."""

    __tablename__ = "instrument_run"
    __table_args__ = (
        UniqueConstraint("platform", "run_id"),
        Index("ix_instrument_run_stored_at", "stored_at", "id"),
    )
    id: Mapped[str] = mapped_column(String(24), primary_key=True)
    platform: Mapped[str]
    run_id: Mapped[str] = mapped_column(index=True)
    folder: Mapped[str]
    state: Mapped[str]
    reason: Mapped[str | None]
    flow_cell: Mapped[str | None] = mapped_column(index=True)
    content: Mapped[Json]  # the parsed InstrumentRun
    fingerprint: Mapped[str | None]  # digest of (path, size, mtime) of all files when it was stored
    manifest_key: Mapped[str | None]
    created_at: Mapped[str]
    stored_at: Mapped[str | None]


class ObservationRow(Base):
    """What a scan saw of a landing folder; two equal ones, apart in time, are one of the signals of readiness."""

    __tablename__ = "observation"
    folder: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    first_at: Mapped[str]
    last_at: Mapped[str]
    outcome: Mapped[str | None]


class FileRow(Base):
    """A stored file; identity is (storage, key, version)."""

    __tablename__ = "file"
    __table_args__ = (UniqueConstraint("storage", "key", "version"),)
    id: Mapped[str] = mapped_column(String(24), primary_key=True)
    storage: Mapped[str]
    key: Mapped[str] = mapped_column(index=True)
    version: Mapped[str]
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    size: Mapped[int] = mapped_column(BigInteger)
    role: Mapped[str]
    stats: Mapped[Json | None]
    source_mtime_ns: Mapped[int | None] = mapped_column(BigInteger)  # of the file that was read, to see it change
    created_at: Mapped[str]


class DatasetRow(Base):
    """One sample's files of one instrument run. States: `assigned`, `unassigned`, `no_reads`, `undetermined`."""

    __tablename__ = "dataset"
    __table_args__ = (UniqueConstraint("instrument_run_id", "label"),)
    id: Mapped[str] = mapped_column(String(24), primary_key=True)
    instrument_run_id: Mapped[str] = mapped_column(ForeignKey("instrument_run.id"), index=True)
    label: Mapped[str]  # the sample as the sheet and the file names have it
    sample_id: Mapped[str | None] = mapped_column(ForeignKey("sample.id"), index=True)
    state: Mapped[str]
    matched_by: Mapped[str | None]
    created_at: Mapped[str]


class DatasetFileRow(Base):
    """Which file belongs to which dataset, with lane and mate."""

    __tablename__ = "dataset_file"
    dataset_id: Mapped[str] = mapped_column(ForeignKey("dataset.id"), primary_key=True)
    file_id: Mapped[str] = mapped_column(ForeignKey("file.id"), primary_key=True, index=True)
    lane: Mapped[int | None]
    read: Mapped[int | None]


class ReadSetRow(Base):
    """A read set in the read store, and which dataset it came from."""

    __tablename__ = "read_set"
    id: Mapped[str] = mapped_column(String(24), primary_key=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("dataset.id"), index=True)
    sample_id: Mapped[str | None] = mapped_column(ForeignKey("sample.id"), index=True)
    store: Mapped[str]
    file_type: Mapped[str]
    lane: Mapped[int | None]
    status: Mapped[str]
    job_id: Mapped[str | None]
    reason: Mapped[str | None]
    source: Mapped[Json]
    created_at: Mapped[str]


class WorkflowVersionRow(Base):
    """A published bundle; the digest is its identity."""

    __tablename__ = "workflow_version"
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(index=True)
    version: Mapped[str]
    language: Mapped[str]
    main: Mapped[str]
    bundle_key: Mapped[str]
    content: Mapped[Json]  # the definition as it was
    created_at: Mapped[str]


class WorkflowRunRow(Base):
    """One intended execution. `state` follows GA4GH WES and is written by one function only (`runs.apply_event`)."""

    __tablename__ = "workflow_run"
    __table_args__ = (
        Index("ix_workflow_run_state_created", "state", "created_at"),
        Index("ix_workflow_run_created", "created_at", "id"),
        Index("ix_workflow_run_replaced_by", "replaced_by"),
    )
    id: Mapped[str] = mapped_column(String(24), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), unique=True)
    experiment_id: Mapped[str] = mapped_column(ForeignKey("experiment.id"), index=True)
    workflow_digest: Mapped[str] = mapped_column(ForeignKey("workflow_version.digest"), index=True)
    engine: Mapped[str]
    parameters: Mapped[Json]
    inputs: Mapped[list[Any]]
    reference_id: Mapped[str | None] = mapped_column(index=True)
    rule: Mapped[str | None]
    generation: Mapped[int]
    state: Mapped[str]
    state_at: Mapped[str]
    failure: Mapped[str | None]
    verdict: Mapped[str]
    stale: Mapped[str | None]  # why the result is out of date, one sentence
    replaced_by: Mapped[str | None]
    result_path: Mapped[str] = mapped_column(unique=True)
    recorded_at: Mapped[str | None]  # set in the transaction that records outputs, metrics and messages
    created_at: Mapped[str]
    created_by: Mapped[str]
    ended_at: Mapped[str | None]


class WorkflowRunSampleRow(Base):
    """Which samples, at which revision, a workflow run is about."""

    __tablename__ = "workflow_run_sample"
    run_id: Mapped[str] = mapped_column(ForeignKey("workflow_run.id"), primary_key=True)
    sample_id: Mapped[str] = mapped_column(ForeignKey("sample.id"), primary_key=True, index=True)
    revision: Mapped[int]


class AttemptRow(Base):
    """One try of a workflow run; committed with its token before the engine is called."""

    __tablename__ = "attempt"
    __table_args__ = (UniqueConstraint("engine", "external_id"),)
    token: Mapped[str] = mapped_column(String(64), primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("workflow_run.id"), index=True)
    number: Mapped[int]
    engine: Mapped[str]
    external_id: Mapped[str | None]
    state: Mapped[str]
    state_at: Mapped[str]
    message: Mapped[str | None]
    request: Mapped[Json]
    report: Mapped[Json | None]
    created_at: Mapped[str]


class TaskRow(Base):
    """One task of an attempt as it happened."""

    __tablename__ = "task"
    token: Mapped[str] = mapped_column(ForeignKey("attempt.token"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    started_at: Mapped[str | None]
    ended_at: Mapped[str | None]
    exit_code: Mapped[int | None]
    cached: Mapped[bool]
    cpus: Mapped[float | None]
    memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    cpu_seconds: Mapped[float | None]
    peak_memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    declared_image: Mapped[str | None]
    ran_in: Mapped[str | None]
    instance_type: Mapped[str | None]
    command: Mapped[str | None]
    stderr_tail: Mapped[str | None]
    inputs: Mapped[Json | None]  # by the names of the definition, files as the paths that the engine knew
    outputs: Mapped[Json | None]


class RunIORow(Base):
    """Which file in which role went into (`in`) or came out of (`out`) a workflow run: the edges of lineage."""

    __tablename__ = "run_io"
    run_id: Mapped[str] = mapped_column(ForeignKey("workflow_run.id"), primary_key=True)
    direction: Mapped[str] = mapped_column(String(3), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    idx: Mapped[int] = mapped_column(primary_key=True)
    file_id: Mapped[str] = mapped_column(ForeignKey("file.id"), index=True)
    task: Mapped[str | None]


class MetricRow(Base):
    """A quality metric of an instrument run, a dataset or a workflow run (`owner_id` carries its kind)."""

    __tablename__ = "qc_metric"
    __table_args__ = (Index("ix_qc_metric_name", "name", "owner_id"),)
    owner_id: Mapped[str] = mapped_column(String(24), primary_key=True)
    scope: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[float | None] = mapped_column(Float)
    unit: Mapped[str]
    source: Mapped[str | None]
    verdict: Mapped[str]


class CostRow(Base):
    """What a workflow run used and cost; `amount` is None where nothing is billed, as on one's own machine."""

    __tablename__ = "cost"
    run_id: Mapped[str] = mapped_column(ForeignKey("workflow_run.id"), primary_key=True)
    item: Mapped[str] = mapped_column(primary_key=True)
    quantity: Mapped[float]
    unit: Mapped[str]
    amount: Mapped[float | None]
    currency: Mapped[str | None]


class CrateRow(Base):
    """The Workflow Run RO-Crate of a workflow run."""

    __tablename__ = "crate"
    id: Mapped[str] = mapped_column(String(24), primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("workflow_run.id"), index=True)
    file_id: Mapped[str] = mapped_column(ForeignKey("file.id"))
    profile: Mapped[str]
    created_at: Mapped[str]
    keywords: Mapped[str | None]  # what of its content is searched: instrument, reference, the workflow's title


class LinkRow(Base):
    """An entity here and what it is called in an ELN or a catalogue."""

    __tablename__ = "link"
    entity_id: Mapped[str] = mapped_column(String(24), primary_key=True)
    system: Mapped[str] = mapped_column(primary_key=True)
    external_id: Mapped[str]
    url: Mapped[str | None]
    at: Mapped[str]


class OutboxRow(Base):
    """A message that somebody outside has to be told; delivered at least once, in order per entity."""

    __tablename__ = "outbox"
    __table_args__ = (Index("ix_outbox_due", "state", "channel", "entity_id", "id"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    dedup_key: Mapped[str] = mapped_column(unique=True)
    channel: Mapped[str]  # eln, notify
    entity_id: Mapped[str]
    kind: Mapped[str]
    payload: Mapped[Json]
    state: Mapped[str]  # pending, sending, confirmed, conflict, dead
    tries: Mapped[int]
    not_before: Mapped[str]
    lease_until: Mapped[str | None]
    lease_holder: Mapped[str | None]
    error: Mapped[str | None]
    created_at: Mapped[str]
    confirmed_at: Mapped[str | None]


class InboxRow(Base):
    """An event from outside, committed before it is answered; drained by collect."""

    __tablename__ = "inbox"
    __table_args__ = (UniqueConstraint("source", "message_id"), Index("ix_inbox_waiting", "done_at", "id"))
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    source: Mapped[str]
    message_id: Mapped[str]
    payload: Mapped[Json]
    received_at: Mapped[str]
    done_at: Mapped[str | None]
    error: Mapped[str | None]
    outcome: Mapped[str | None]  # what came of it, one sentence, for who sent it


class AccessTokenRow(Base):
    """A machine's way through the front door; of the secret only its hash is kept. A name is never given twice."""

    __tablename__ = "access_token"
    id: Mapped[str] = mapped_column(String(24), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    hash: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[Any]]
    created_at: Mapped[str]
    created_by: Mapped[str]
    expires_at: Mapped[str | None]
    revoked_at: Mapped[str | None]


class LeaseRow(Base):
    """Who works on what, until when; `fence` rises with each new holder, and a late writer's number is refused."""

    __tablename__ = "lease"
    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    fence: Mapped[int]
    until: Mapped[str]


class AuditRow(Base):
    """One decision; each row hashes its predecessor. Triggers refuse UPDATE and DELETE."""

    __tablename__ = "audit_event"
    seq: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    at: Mapped[str]
    actor: Mapped[str]
    action: Mapped[str]
    entity_id: Mapped[str] = mapped_column(index=True)
    detail: Mapped[Json]
    previous: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64), unique=True)
