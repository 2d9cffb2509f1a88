"""Step 6, import: the reads of assigned datasets go into the read store.

Each lane's mates are one read set, and so are the chunks of a Nanopore: they are joined when they are imported.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict, deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.model.canonical import digest
from labrelay.model.errors import Busy
from labrelay.model.faults import faultpoint
from labrelay.model.files import READ_ROLES, FileRef, FileRole
from labrelay.model.imaging import ImageAt
from labrelay.model.reads import ReadSource
from labrelay.parsers.fastq_names import ReadName, name_reads
from labrelay.records import intake
from labrelay.records.schema import DatasetFileRow, DatasetRow, FileRow, ReadSetRow, SampleRow
from labrelay.steps.home import Home
from labrelay.stores.joining import is_packed

BATCH = 100  # sources in one import job, HealthOmics' limit
READY = "ACTIVE"
IMAGES = FileRole.IMAGE.value.upper()
GOING = ("SUBMITTED", "IN_PROGRESS", "CANCELLING")
PARTS = "parts, packed: "
FIRST_WAIT, LONGEST_WAIT = 0.2, 15.0
STILL_GOING = "this import job still runs; `labrelay sweep` takes it up when it has ended"


@dataclass
class Imported:
    """What an import did: read sets imported now, there before, and refused with the reason."""

    imported: int = 0
    already: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)


def import_reads(home: Home, instrument_run_id: str, minutes: float | None = None) -> Imported:
    """Import the reads of the assigned datasets of a stored run; one failed source does not sink the others.

    Doing it again imports only what is not there. Cost: one job per 100 read sets, all under way at once; one look a
    job and round, one transaction a job.

    Args:
        home: Where.
        instrument_run_id: The run whose reads these are.
        minutes: How long to wait for jobs; 0 looks at each once. None is what the settings say.
    """
    with home.records.write() as session:
        sources, ready = _wanted(session, home, instrument_run_id)
    faultpoint("import.intended")
    outcome = Imported(already=len(ready))
    _Jobs(home, sources, ready, outcome).run_all(home.settings.import_minutes if minutes is None else minutes)
    return outcome


class _Jobs:
    """The import jobs of one call: as many under way at once as the store takes."""

    def __init__(self, home: Home, sources: Sequence[ReadSource], ready: set[str], outcome: Imported) -> None:
        self.home, self.outcome, self.ready = home, outcome, ready
        self.total = sum(source.id not in ready for source in sources)
        # Cut from all sources, whatever is there already: batches that changed from call to call would be other jobs,
        # and would import again what a job of an earlier call is still importing. A job skips what it has.
        batches = (sources[start : start + BATCH] for start in range(0, len(sources), BATCH))
        self.batches = deque(batch for batch in batches if any(source.id not in ready for source in batch))
        self.going: list[str] = []

    def run_all(self, minutes: float) -> None:
        """Start and record every job; those that take longer than so many minutes go on without us."""
        until = time.monotonic() + 60 * minutes
        pause = FIRST_WAIT
        self._start()
        while self.going:
            left = [job_id for job_id in self.going if not self._settle(job_id)]
            done = self.outcome.imported + len(self.outcome.failed)
            self.home.progress.advance("read sets", done, self.total)
            pause = FIRST_WAIT if len(left) < len(self.going) else min(LONGEST_WAIT, pause * 1.5)
            self.going = left
            self._start()
            if self.going and time.monotonic() >= until:
                self.outcome.failed += [(job_id, STILL_GOING) for job_id in self.going]
                return
            if self.going:
                time.sleep(pause)

    def _start(self) -> None:
        while self.batches:
            try:
                self.going.append(self.home.reads.import_reads(self.batches[0], _token(self.home, self.batches[0])))
            except Busy:
                if not self.going:
                    raise
                return  # the next one is asked for when one of ours has ended
            self.batches.popleft()
            faultpoint("import.started")

    def _settle(self, job_id: str) -> bool:
        job = self.home.reads.job(job_id)
        if job.status in GOING:
            return False
        faultpoint("import.done")
        with self.home.records.write() as session:
            new = [read_set for read_set in job.done if read_set.id not in self.ready]
            done = [(read_set.id, read_set.status, None) for read_set in new]
            failed = [(read_set_id, "FAILED", reason) for read_set_id, reason in job.failed]
            intake.settle_read_sets(session, job.id, [*done, *failed])
        faultpoint("import.recorded")
        self.outcome.imported += len(new)
        self.outcome.failed += job.failed
        return True


def _token(home: Home, sources: Sequence[ReadSource]) -> str:
    """Return what names the job: asked again for the same sources it is the same job, for those that failed a new."""
    return digest([home.reads.name, [source.id for source in sources]])


def _wanted(session: Session, home: Home, instrument_run_id: str) -> tuple[list[ReadSource], set[str]]:
    """Write the intent for every read set of the run; return all of them, and the ids of those in the store."""
    query = (
        select(DatasetRow, SampleRow, DatasetFileRow, FileRow)
        .join(SampleRow, SampleRow.id == DatasetRow.sample_id)
        .join(DatasetFileRow, DatasetFileRow.dataset_id == DatasetRow.id)
        .join(FileRow, FileRow.id == DatasetFileRow.file_id)
        .where(DatasetRow.instrument_run_id == instrument_run_id, DatasetRow.state == "assigned")
        .order_by(DatasetRow.label, DatasetFileRow.lane, DatasetFileRow.read, FileRow.key)
    )
    rows = session.execute(query).all()
    names = name_reads([file.key for *_rest, file in rows if file.role in READ_ROLES])
    before = _read_sets(session, instrument_run_id)
    grouped: dict[tuple[str, int | None, str], list[FileRow]] = defaultdict(list)
    owners: dict[str, tuple[DatasetRow, SampleRow]] = {}
    alone: dict[str, set[str]] = defaultdict(set)
    for dataset, sample, link, file in rows:
        if _source(sample, dataset.label, link.lane, [file]).id in before:
            alone[dataset.id].add(file.id)
    for dataset, sample, link, file in rows:
        owners[dataset.id] = (dataset, sample)
        mine = alone[dataset.id]
        together = _together(file, names.get(file.key), alone_before=len(mine) > 1 and file.id in mine)
        grouped[(dataset.id, link.lane, together)].append(file)
    every, sources = [], []
    for (dataset_id, lane, together), files in grouped.items():
        dataset, sample = owners[dataset_id]
        source = _source(sample, dataset.label, lane, files, parts=together.startswith(PARTS) and len(files) > 1)
        every.append(source)
        store = home.objects.name if source.in_place else home.reads.name
        intake.add_read_set(session, dataset, source, store, lane)
        if not source.in_place:
            sources.append(source)
    _supersede(session, before.keys() - {source.id for source in every}, every)
    ready = {found for found, status in _read_sets(session, instrument_run_id).items() if status == READY}
    return sources, ready & {source.id for source in sources}


def _read_sets(session: Session, instrument_run_id: str) -> dict[str, str]:
    """Return the run's read sets that are on record, and how each stands."""
    query = select(ReadSetRow.id, ReadSetRow.status).join(DatasetRow, DatasetRow.id == ReadSetRow.dataset_id)
    rows = session.execute(query.where(DatasetRow.instrument_run_id == instrument_run_id))
    return {row.id: row.status for row in rows}


def _supersede(session: Session, others: Collection[str], sources: Sequence[ReadSource]) -> None:
    """Say of read sets of which all files are in a larger one now, whose missing files came later, that it counts."""
    if not others:
        return
    wanted = [{file.id for file in source.files} for source in sources]
    query = select(ReadSetRow).where(ReadSetRow.id.in_(others), ReadSetRow.status != "SUPERSEDED")
    for row in session.scalars(query):
        files = {file.id for file in ReadSource.model_validate(row.source).files}
        if any(files < larger for larger in wanted):
            row.status = "SUPERSEDED"


def _together(file: FileRow, name: ReadName | None, *, alone_before: bool) -> str:
    """Return what files share that are one read set: mates, the chunks of a Nanopore, all of a set that is no reads.

    Chunks that are read sets by themselves already, as they were before chunks were joined, stay so; one that is alone
    was the first to come.
    """
    if file.role not in READ_ROLES:
        return file.role
    if name is None:
        return file.key
    chunk = name.pattern == "nanopore" and file.role == FileRole.READS.value and not alone_before
    return f"{PARTS}{is_packed(file.key)}" if chunk else name.mates


def _in_order(file: FileRow) -> list[tuple[int, str]]:
    """Return what puts chunk 2 before chunk 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]{1,18})", file.key) if part]


def _source(
    sample: SampleRow, label: str, lane: int | None, files: Sequence[FileRow], *, parts: bool = False
) -> ReadSource:
    ordered = sorted(files, key=_in_order) if parts else files
    refs: tuple[FileRef, ...] = tuple(intake.ref_of(file) for file in ordered)
    name = label if lane is None else f"{label} lane {lane}"
    file_type = _file_type(files[0])
    return ReadSource(
        sample_id=sample.id,
        subject=sample.subject,
        name=name,
        file_type=file_type,
        files=refs,
        images=tuple(_image(file) for file in files) if file_type == IMAGES else (),
        parts=parts,
    )


def _image(file: FileRow) -> ImageAt | None:
    told = (file.stats or {}).get("image")
    return None if told is None else ImageAt.model_validate(told)


def _file_type(file: FileRow) -> str:
    if file.role not in READ_ROLES:
        return file.role.upper()
    if file.role != FileRole.ALIGNMENT.value:
        return "FASTQ"
    if file.key.lower().endswith(".cram"):
        return "CRAM"
    return "BAM" if (file.stats or {}).get("aligned") else "UBAM"
