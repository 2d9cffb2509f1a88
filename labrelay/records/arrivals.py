"""What came in: stored instrument runs with what they gave, for the pages and entries that name them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from labrelay.model.instrument import UUID_SIGNS, run_name
from labrelay.records.schema import DatasetRow, InstrumentRunRow, SampleRow

# The plate of a run that is known by a UUID alone; of others the long row is not read for it.
_PLATE = InstrumentRunRow.content[("plate", "id")].as_string()
PLATE = case((func.length(InstrumentRunRow.run_id) == UUID_SIGNS, _PLATE))


@dataclass(frozen=True)
class Arrival:
    """A stored instrument run; `stored_at` is ISO 8601, `label` the first of its datasets, None when it has none.

    `plate` is that of a run that is known by a UUID alone.
    """

    id: str
    platform: str
    run_id: str
    stored_at: str
    plate: str | None = None
    label: str | None = None
    datasets: int = 0

    @property
    def name(self) -> str:
        """What people call it; a run of Nanopore reads has a UUID, too, and is not called as its first barcode is."""
        return run_name(self.run_id, self.plate)


@dataclass(frozen=True)
class ArrivalOf:
    """An instrument run with datasets of one experiment: the labels by sample, and whether it has no other's."""

    platform: str
    run_id: str
    stored_at: str
    labels: Sequence[tuple[str, str]]
    whole: bool


def name_of(row: InstrumentRunRow) -> str:
    """Return what people call a run that is on record."""
    return run_name(row.run_id, (row.content.get("plate") or {}).get("id"))


def newest(session: Session, most: int) -> tuple[list[Arrival], int]:
    """Return the instrument runs that were stored last, the newest first, and how many there are.

    Cost: three queries.
    """
    run = InstrumentRunRow
    stored = run.stored_at.is_not(None)  # asked so, the index answers, and of long rows only those shown are read
    query = select(run.id, run.platform, run.run_id, run.stored_at, PLATE.label("plate")).where(stored)
    rows = session.execute(query.order_by(run.stored_at.desc(), run.id.desc()).limit(most)).all()
    counting = select(DatasetRow.instrument_run_id, func.min(DatasetRow.label), func.count())
    given = counting.where(DatasetRow.instrument_run_id.in_([row.id for row in rows]))
    told = {id_: (label, count) for id_, label, count in session.execute(given.group_by(DatasetRow.instrument_run_id))}
    total = session.scalar(select(func.count()).select_from(run).where(stored)) or 0
    arrivals = [
        Arrival(r.id, r.platform, r.run_id, r.stored_at or "", r.plate, *told.get(r.id, (None, 0))) for r in rows
    ]
    return arrivals, total


def of_experiment(session: Session, experiment_id: str) -> list[ArrivalOf]:
    """Return the instrument runs with datasets of an experiment's samples, the newest first. Cost: two queries."""
    joined = (
        select(DatasetRow.instrument_run_id, DatasetRow.label, SampleRow.name)
        .join(SampleRow, SampleRow.id == DatasetRow.sample_id)
        .where(SampleRow.experiment_id == experiment_id)
        .order_by(SampleRow.name, DatasetRow.label)
    )
    labels: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for run_id, label, sample in session.execute(joined):
        labels[run_id].append((sample, label))
    run = InstrumentRunRow
    # Reads that no index fits are nobody's; a dataset without a sample may be anybody's.
    named = func.count().filter(DatasetRow.state != "undetermined")
    counted = (
        select(run.id, run.platform, run.run_id, run.stored_at, named.label("named"))
        .join(DatasetRow, DatasetRow.instrument_run_id == run.id)
        .where(run.id.in_(list(labels)), run.state == "stored")
        .group_by(run.id, run.platform, run.run_id, run.stored_at)
        .order_by(run.stored_at.desc(), run.id)
    )
    return [
        ArrivalOf(
            row.platform, row.run_id, row.stored_at or "", tuple(labels[row.id]), len(labels[row.id]) == row.named
        )
        for row in session.execute(counted)
    ]
