"""Step 6, import: the reads of assigned datasets go into the read store, each lane's mates as one read set."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.model.canonical import digest
from labrelay.model.faults import faultpoint
from labrelay.model.files import FileRef, FileRole
from labrelay.model.reads import ReadSource
from labrelay.parsers.fastq_names import name_reads
from labrelay.records import intake
from labrelay.records.schema import DatasetFileRow, DatasetRow, FileRow, ReadSetRow, SampleRow
from labrelay.steps.home import Home
from labrelay.stores.ports import ImportJob

BATCH = 100  # sources in one import job, HealthOmics' limit
READY = "ACTIVE"
GOING = ("SUBMITTED", "IN_PROGRESS", "CANCELLING")
FIRST_WAIT, LONGEST_WAIT = 0.2, 15.0
STILL_GOING = "this import job still runs; `labrelay sweep` takes it up when it has ended"


@dataclass
class Imported:
    """What an import did: read sets imported now, there before, and refused with the reason."""

    imported: int = 0
    already: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)


def import_reads(home: Home, instrument_run_id: str) -> Imported:
    """Import the reads of the assigned datasets of a stored run; one failed source does not sink the others.

    Doing it again imports only what is not there. Cost: one job per 100 read sets, all under way at once; one look a
    job and round, one transaction a job.
    """
    with home.records.write() as session:
        wanted, already = _wanted(session, home, instrument_run_id)
    faultpoint("import.intended")
    outcome = Imported(already=already)
    batches = [wanted[start : start + BATCH] for start in range(0, len(wanted), BATCH)]
    jobs = [home.reads.import_reads(sources, _token(home, sources)) for sources in batches]
    faultpoint("import.started")
    _await(home, jobs, outcome, len(wanted))
    return outcome


def _token(home: Home, sources: Sequence[ReadSource]) -> str:
    """Return what names the job: asked again for the same sources it is the same job, for those that failed a new."""
    return digest([home.reads.name, [source.id for source in sources]])


def _await(home: Home, jobs: Sequence[str], outcome: Imported, total: int) -> None:
    """Record each job when it has ended; those that take longer than the settings allow go on without us."""
    until = time.monotonic() + 60 * home.settings.import_minutes
    going, pause = list(jobs), FIRST_WAIT
    while going:
        left = [job_id for job_id in going if not _settle(home, home.reads.job(job_id), outcome)]
        home.progress.advance("read sets", outcome.imported + len(outcome.failed), total)
        pause = FIRST_WAIT if len(left) < len(going) else min(LONGEST_WAIT, pause * 1.5)
        going = left
        if going and time.monotonic() > until:
            outcome.failed += [(job_id, STILL_GOING) for job_id in going]
            return
        if going:
            time.sleep(pause)


def _settle(home: Home, job: ImportJob, outcome: Imported) -> bool:
    if job.status in GOING:
        return False
    faultpoint("import.done")
    with home.records.write() as session:
        done = [(read_set.id, read_set.status, None) for read_set in job.done]
        failed = [(read_set_id, "FAILED", reason) for read_set_id, reason in job.failed]
        intake.settle_read_sets(session, job.id, [*done, *failed])
    faultpoint("import.recorded")
    outcome.imported += len(job.done)
    outcome.failed += job.failed
    return True


def _wanted(session: Session, home: Home, instrument_run_id: str) -> tuple[list[ReadSource], int]:
    """Write the intent for every read set of the run and return those that are not in the store, and how many are."""
    query = (
        select(DatasetRow, SampleRow, DatasetFileRow, FileRow)
        .join(SampleRow, SampleRow.id == DatasetRow.sample_id)
        .join(DatasetFileRow, DatasetFileRow.dataset_id == DatasetRow.id)
        .join(FileRow, FileRow.id == DatasetFileRow.file_id)
        .where(DatasetRow.instrument_run_id == instrument_run_id, DatasetRow.state == "assigned")
        .order_by(DatasetRow.label, DatasetFileRow.lane, DatasetFileRow.read, FileRow.key)
    )
    rows = session.execute(query).all()
    names = name_reads([file.key for *_rest, file in rows])
    grouped: dict[tuple[str, int | None, str], list[FileRow]] = defaultdict(list)
    owners: dict[str, tuple[DatasetRow, SampleRow]] = {}
    for dataset, sample, link, file in rows:
        owners[dataset.id] = (dataset, sample)
        name = names.get(file.key)  # mates share a name but for the read number; any other file stands alone
        grouped[(dataset.id, link.lane, name.mates if name else file.key)].append(file)
    sources = []
    for (dataset_id, lane, _alone), files in grouped.items():
        dataset, sample = owners[dataset_id]
        source = _source(sample, dataset.label, lane, files)
        intake.add_read_set(session, dataset, source, home.reads.name, lane)
        sources.append(source)
    of_run = select(ReadSetRow.id).join(DatasetRow, DatasetRow.id == ReadSetRow.dataset_id)
    ready = set(
        session.scalars(of_run.where(DatasetRow.instrument_run_id == instrument_run_id, ReadSetRow.status == READY))
    )
    return [source for source in sources if source.id not in ready], len(ready & {s.id for s in sources})


def _source(sample: SampleRow, label: str, lane: int | None, files: Sequence[FileRow]) -> ReadSource:
    refs: tuple[FileRef, ...] = tuple(intake.ref_of(file) for file in files)
    name = label if lane is None else f"{label} lane {lane}"
    return ReadSource(
        sample_id=sample.id, subject=sample.subject, name=name, file_type=_file_type(files[0]), files=refs
    )


def _file_type(file: FileRow) -> str:
    if file.role != FileRole.ALIGNMENT.value:
        return "FASTQ"
    if file.key.lower().endswith(".cram"):
        return "CRAM"
    return "BAM" if (file.stats or {}).get("aligned") else "UBAM"
