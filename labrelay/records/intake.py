"""What was taken in: instrument runs, their files, datasets and read sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from labrelay.model.files import FileRef
from labrelay.model.ids import derived_id
from labrelay.model.instrument import InstrumentRun
from labrelay.model.names import slug
from labrelay.model.qc import QCMetric, Verdict
from labrelay.model.reads import ReadSource
from labrelay.records import audit
from labrelay.records.database import now
from labrelay.records.schema import (
    DatasetFileRow,
    DatasetRow,
    FileRow,
    InstrumentRunRow,
    MetricRow,
    ReadSetRow,
)
from labrelay.records.upsert import insert_missing

ADDED_SHOWN = 20
UNSUBMITTED = "not submitted:\n"  # what a stored run's reason begins with that tells which samples got no workflow run
IMAGES_KEPT = 500  # a screen has ten thousand that differ in well and field only


def raw_prefix(platform: str, run_id: str) -> str:
    """Return what the keys of an instrument run's stored files begin with."""
    return f"raw/{slug(platform)}/{slug(run_id)}/"


def see(session: Session, run: InstrumentRun, folder: str) -> InstrumentRunRow:
    """Write the instrument run as it was parsed, or find it; a stored one keeps what was stored."""
    values = {"id": run.id, "platform": run.platform, "run_id": run.run_id, "folder": folder, "state": "seen"}
    rest = {"flow_cell": run.flow_cell, "content": content_of(run), "created_at": now()}
    if insert_missing(session, InstrumentRunRow, [values | rest]):
        audit.record(session, "instrument_run.seen", run.id, run=run.run_id)
    row = session.get_one(InstrumentRunRow, run.id)
    if row.state != "stored":
        row.folder, row.content, row.reason = folder, content_of(run), None
    return row


def content_of(run: InstrumentRun) -> dict[str, Any]:
    """Return the parsed run as JSON, without the files, which have rows of their own, and of images the first."""
    first = run.model_copy(update={"images": run.images[:IMAGES_KEPT]})
    return first.model_dump(mode="json", exclude={"files"})


def refuse(session: Session, run_id: str, reason: str) -> bool:
    """Mark an instrument run as refused with the reason; the next look may take it.

    A stored one stays stored, with the reason why more of it was not taken; then False is returned.
    """
    row = session.get_one(InstrumentRunRow, run_id)
    row.state, row.reason = "stored" if row.state == "stored" else "refused", reason
    audit.record(session, "instrument_run.refused", run_id, reason=reason)
    return row.state == "refused"


def keep_unsubmitted(session: Session, run_id: str, told: Sequence[str]) -> None:
    """Write which samples of a stored instrument run got no workflow run and why, a line each; none takes it back."""
    row = session.get_one(InstrumentRunRow, run_id)
    if told:
        row.reason = UNSUBMITTED + "\n".join(told)
    elif (row.reason or "").startswith(UNSUBMITTED):
        row.reason = None


def mark_stored(session: Session, run_id: str, fingerprint: str, manifest_key: str | None) -> None:
    """Mark an instrument run as stored, after its manifest; an upload has none."""
    values = {"state": "stored", "reason": None, "fingerprint": fingerprint, "manifest_key": manifest_key}
    session.execute(update(InstrumentRunRow).where(InstrumentRunRow.id == run_id).values(**values, stored_at=now()))
    audit.record(session, "instrument_run.stored", run_id, manifest=manifest_key)


def mark_completed(
    session: Session, run: InstrumentRun, folder: str, fingerprint: str, manifest_key: str, added: Sequence[str]
) -> None:
    """Write what a stored run is now that more of its files are stored, and which; when it came stays."""
    row = session.get_one(InstrumentRunRow, run.id)
    row.folder, row.content, row.reason = folder, content_of(run), None
    row.fingerprint, row.manifest_key = fingerprint, manifest_key
    told = {"files": len(added), "first": list(added[:ADDED_SHOWN]), "manifest": manifest_key}
    audit.record(session, "instrument_run.completed", run.id, **told)


def add_files(
    session: Session,
    files: Sequence[tuple[FileRef, str, Mapping[str, Any] | None]],
    modified: Sequence[int | None] = (),
) -> list[str]:
    """Write stored files with their role and what the gate learned of them. Cost: one statement per 500.

    Args:
        session: In a writing transaction.
        files: Each with its role and statistics.
        modified: In their order, when the file that was read had last been modified (ns since 1970), if that is known.

    Returns:
        Their ids, in order.
    """
    times, moment = modified or [None] * len(files), now()
    rows = [
        {
            "id": ref.id,
            "storage": ref.storage,
            "key": ref.key,
            "version": ref.version,
            "sha256": ref.sha256,
            "size": ref.size,
            "role": role,
            "stats": dict(stats) if stats else None,
            "source_mtime_ns": time_ns,
            "created_at": moment,
        }
        for (ref, role, stats), time_ns in zip(files, times, strict=True)
    ]
    insert_missing(session, FileRow, rows)
    return [str(row["id"]) for row in rows]


def ref_of(row: FileRow) -> FileRef:
    """Return the stored file that a row holds."""
    return FileRef.model_validate({name: getattr(row, name) for name in FileRef.model_fields})


def files_under(session: Session, storage: str, prefix: str) -> dict[str, FileRow]:
    """Return the rows of all files below `prefix` (which ends with `/`), by key, in one query."""
    below = FileRow.key.startswith(prefix, autoescape=True)
    return {row.key: row for row in session.scalars(select(FileRow).where(FileRow.storage == storage, below))}


def dataset_id(instrument_run_id: str, label: str) -> str:
    """Return the id of the dataset of this sample label in this instrument run."""
    return derived_id("dat", instrument_run_id, label)


def add_dataset(
    session: Session, instrument_run_id: str, label: str, state: str, sample_id: str | None, matched_by: str | None
) -> DatasetRow:
    """Write a dataset, or find it; one that a person assigned stays assigned."""
    found = dataset_id(instrument_run_id, label)
    values = {"id": found, "instrument_run_id": instrument_run_id, "label": label, "sample_id": sample_id}
    rest = {"state": state, "matched_by": matched_by, "created_at": now()}
    insert_missing(session, DatasetRow, [values | rest])
    return session.get_one(DatasetRow, found)


def _give_back(session: Session, dataset: str, sample_id: str) -> None:
    # a read set carries its sample's id into the read store, so another sample needs another read set
    others = (ReadSetRow.dataset_id == dataset) & (ReadSetRow.sample_id != sample_id)
    session.execute(update(ReadSetRow).where(others).values(status="SUPERSEDED"))
    # Given back to an earlier sample, its read sets are wanted again: the next import, or the sweep, settles them.
    earlier = (ReadSetRow.dataset_id == dataset) & (ReadSetRow.sample_id == sample_id)
    again = earlier & (ReadSetRow.status == "SUPERSEDED")
    session.execute(update(ReadSetRow).where(again).values(status="WANTED", reason=None))


def assign(session: Session, row: DatasetRow, sample_id: str, matched_by: str) -> None:
    """Say whose reads a dataset holds."""
    previous = row.sample_id
    row.sample_id, row.matched_by = sample_id, matched_by
    row.state = "assigned" if row.state == "unassigned" else row.state
    if previous is not None:  # before its first sample a dataset has no read sets
        _give_back(session, row.id, sample_id)
    audit.record(session, "dataset.assigned", row.id, sample=sample_id, previous=previous, by=matched_by)


def link_files(session: Session, dataset: str, files: Sequence[tuple[str, int | None, int | None]]) -> None:
    """Say which files (id, lane, mate) belong to a dataset."""
    rows = [{"dataset_id": dataset, "file_id": file, "lane": lane, "read": read} for file, lane, read in files]
    insert_missing(session, DatasetFileRow, rows)


def add_metrics(
    session: Session, owner_id: str, metrics: Iterable[QCMetric], verdicts: Mapping[str, Verdict] | None = None
) -> None:
    """Write quality metrics of an entity; what is there already stays."""
    judged = verdicts or {}
    rows = [dict(m.model_dump(), owner_id=owner_id, verdict=judged.get(m.name, Verdict.NONE).value) for m in metrics]
    insert_missing(session, MetricRow, rows)


def drop_metrics(session: Session, owner_id: str) -> None:
    """Take an entity's metrics away, which are computed anew over more files."""
    session.execute(delete(MetricRow).where(MetricRow.owner_id == owner_id))


def add_read_set(session: Session, dataset: DatasetRow, source: ReadSource, store: str, lane: int | None) -> str:
    """Write the intent to import a read set, before the read store is asked; return its id.

    What is known of it in another read store says nothing of this one: it is wanted again. A set in place is there.
    """
    values = {"id": source.id, "dataset_id": dataset.id, "sample_id": dataset.sample_id, "store": store, "lane": lane}
    status = "ACTIVE" if source.in_place else "WANTED"
    rest = {"file_type": source.file_type, "status": status, "source": source.model_dump(mode="json")}
    if not insert_missing(session, ReadSetRow, [values | rest | {"created_at": now()}]):
        elsewhere = (ReadSetRow.id == source.id) & (ReadSetRow.store != store)
        again = {"store": store, "status": status, "job_id": None, "reason": None}
        session.execute(update(ReadSetRow).where(elsewhere).values(**again))
    return source.id


def settle_read_sets(session: Session, job_id: str, outcomes: Iterable[tuple[str, str, str | None]]) -> None:
    """Write what the read store said (id, status, reason) of the sources of a job.

    One whose dataset got another sample meanwhile is superseded. Cost: one query for all, two statements each.
    """
    said = list(outcomes)
    moved = (
        select(ReadSetRow.id)
        .join(DatasetRow, DatasetRow.id == ReadSetRow.dataset_id)
        .where(
            ReadSetRow.id.in_([id for id, *_rest in said]), DatasetRow.sample_id.is_distinct_from(ReadSetRow.sample_id)
        )
    )
    superseded = set(session.scalars(moved))
    for read_set_id, status, reason in said:
        settled = "SUPERSEDED" if read_set_id in superseded else status
        values = {"status": settled, "job_id": job_id, "reason": reason}
        session.execute(update(ReadSetRow).where(ReadSetRow.id == read_set_id).values(**values))
        audit.record(session, "read_set.settled", read_set_id, status=settled)
