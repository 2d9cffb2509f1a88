"""Read sets by hand: which there are, where other programs read them, and their way into the store and out of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import select

from labrelay.model.errors import Busy, NotFound, UsageError
from labrelay.model.problem import Frozen
from labrelay.model.reads import READ_TYPES, ReadSource
from labrelay.model.words import counted
from labrelay.records import audit
from labrelay.records.schema import DatasetRow, ExperimentRow, InstrumentRunRow, ReadSetRow, SampleRow
from labrelay.steps.assign import find_experiment, find_sample
from labrelay.steps.home import Home
from labrelay.stores.ports import ExportJob

FIRST_WAIT, LONGEST_WAIT = 0.2, 15.0
GOING = ("SUBMITTED", "IN_PROGRESS", "CANCELLING")


class ReadSetLine(Frozen):
    """A read set as the records have it.

    Attributes:
        read_set: `rds_…`.
        sample, experiment: Whose reads they are; the sample's name.
        instrument_run: The run or upload that they came with.
        status: As the read store said it last; `WANTED` before it is there, `SUPERSEDED` when it counts no more.
        here: Whether it is in the read store that the home has now.
        files: Names, R1 before R2.
        size: Bytes of all.
        reason: Why it is not there.
    """

    read_set: str
    sample: str
    experiment: str
    instrument_run: str
    file_type: str
    lane: int | None
    status: str
    here: bool
    files: tuple[str, ...]
    size: int
    reason: str | None


class Places(Frozen):
    """Where a read set is read: by this home's engine, and by any program that speaks S3."""

    read_set: str
    sample: str
    locations: tuple[str, ...]
    s3: tuple[str, ...]


@dataclass
class Exported:
    """What an export did: read sets that are there, those that still go, those that failed with the reason."""

    done: list[str] = field(default_factory=list)
    going: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    jobs: list[ExportJob] = field(default_factory=list)


def read_sets(
    home: Home, *, ids: Sequence[str] = (), sample: str | None = None, experiment: str | None = None
) -> list[ReadSetLine]:
    """Return the read sets on record, by sample and lane. Cost: one query; the read store is not asked.

    Args:
        home: Where.
        ids: Only these (`rds_…`, or the beginning of one).
        sample: Only this sample's (name or id).
        experiment: Only this experiment's (name or id).

    Raises:
        NotFound: There is no such read set, sample or experiment.
        UsageError: An id's beginning fits several.
    """
    query = (
        select(ReadSetRow, SampleRow.name, ExperimentRow.name, InstrumentRunRow.run_id)
        .join(SampleRow, SampleRow.id == ReadSetRow.sample_id)
        .join(ExperimentRow, ExperimentRow.id == SampleRow.experiment_id)
        .join(DatasetRow, DatasetRow.id == ReadSetRow.dataset_id)
        .join(InstrumentRunRow, InstrumentRunRow.id == DatasetRow.instrument_run_id)
        .where(ReadSetRow.file_type.in_(READ_TYPES))
        .order_by(ExperimentRow.name, SampleRow.name, ReadSetRow.lane, ReadSetRow.id)
    )
    with home.records.read() as session:
        if sample is not None:
            query = query.where(ReadSetRow.sample_id == find_sample(session, sample).id)
        if experiment is not None:
            query = query.where(ExperimentRow.id == find_experiment(session, experiment).id)
        rows = session.execute(query).all()
        lines = [_line(home, row, name, of, run) for row, name, of, run in rows]
    return [_one(lines, each) for each in dict.fromkeys(ids)] if ids else lines


def in_store(
    home: Home, *, ids: Sequence[str] = (), sample: str | None = None, experiment: str | None = None
) -> list[ReadSetLine]:
    """Return the read sets that a person means and that are in the read store.

    Raises:
        UsageError: Nothing says which; see `read_sets`.
        NotFound: None of them is in the read store of this home.
    """
    if not ids and sample is None and experiment is None:
        raise UsageError("say which reads: ids from `labrelay reads list`, --sample NAME or --experiment NAME")
    lines = read_sets(home, ids=ids, sample=sample, experiment=experiment)
    there = [line for line in lines if line.here and line.status == "ACTIVE"]
    missing = [line for line in lines if line not in there and line.status != "SUPERSEDED"]
    if missing and (ids or not there):
        why = f" ({missing[0].reason})" if missing[0].reason else ""
        raise NotFound(
            f"{missing[0].read_set} of {missing[0].sample} is not in the read store of this home{why}: repeat "
            "`labrelay process` for its instrument run, or upload it again"
        )
    if not there:
        raise NotFound(f"the read store has no reads of {sample or experiment}: take its instrument run in first")
    return there


def places(home: Home, lines: Sequence[ReadSetLine]) -> list[Places]:
    """Return where read sets are read. Cost: on HealthOmics a call a read set."""
    return [
        Places(
            read_set=line.read_set,
            sample=line.sample,
            locations=home.reads.locations(line.read_set),
            s3=home.reads.s3_uris(line.read_set),
        )
        for line in lines
    ]


def activate(home: Home, lines: Sequence[ReadSetLine]) -> list[ReadSetLine]:
    """Ask for those that are archived and return those that cannot be read yet; ask again until there are none."""
    waiting = set(home.reads.activate([line.read_set for line in lines]))
    return [line for line in lines if line.read_set in waiting]


def export(home: Home, lines: Sequence[ReadSetLine], to: str, *, wait: bool = True) -> Exported:
    """Copy read sets out of the store, each to a place of its own below `to`.

    Args:
        home: Where.
        lines: As `in_store` returns them.
        to: A folder for a read store that is a folder, `s3://bucket/prefix` for HealthOmics.
        wait: Until the store has done it; else its jobs go on.

    Raises:
        UsageError: The store cannot export to such a place.
        Busy: Some are archived; they were asked for.
        LabrelayError: The store refused or failed.
    """
    if waiting := activate(home, lines):
        raise Busy(
            f"{len(waiting)} of {counted(len(lines), 'read set')} must come out of the archive first; they were asked "
            "for, and the same command exports all when `labrelay reads activate` says that they can be read"
        )
    jobs = list(home.reads.export([line.read_set for line in lines], to))
    with home.records.write() as session:
        for line in lines:
            audit.record(session, "read_set.exported", line.read_set, to=to)
    pause = FIRST_WAIT
    jobs = [home.reads.export_job(job) for job in jobs]
    while wait and any(job.status in GOING for job in jobs):
        ended = sum(len(job.read_sets) for job in jobs if job.status not in GOING)
        home.progress.advance("read sets", ended, len(lines))
        time.sleep(pause)
        pause = min(LONGEST_WAIT, pause * 1.5)
        jobs = [home.reads.export_job(job) for job in jobs]
    done = Exported(jobs=jobs)
    for job in jobs:
        failed = {read_set for read_set, _reason in job.failed}
        done.failed += job.failed
        kept = done.going if job.status in GOING else done.done
        kept += [each for each in job.read_sets if each not in failed]
    return done


def _one(lines: Sequence[ReadSetLine], text: str) -> ReadSetLine:
    begins = text if text.startswith("rds_") else f"rds_{text}"
    found = [line for line in lines if line.read_set.startswith(begins)]
    if not found or begins == "rds_":
        raise NotFound(f"there is no read set {text}: `labrelay reads list` shows those that there are")
    if len(found) > 1:
        raise UsageError(f"{len(found)} read sets begin with {text}: give more digits of the id")
    return found[0]


def _line(home: Home, row: ReadSetRow, sample: str, experiment: str, run: str) -> ReadSetLine:
    source = ReadSource.model_validate(row.source)
    return ReadSetLine(
        read_set=row.id,
        sample=sample,
        experiment=experiment,
        instrument_run=run,
        file_type=row.file_type,
        lane=row.lane,
        status=row.status,
        here=row.store == home.reads.name,
        files=tuple(ref.name for ref in source.files),
        size=sum(ref.size for ref in source.files),
        reason=row.reason,
    )
