"""What the metrics of a run are compared by over time: instrument, assay, workflow; written when they are recorded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple, Protocol

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from labrelay.model.control import WINDOW
from labrelay.model.problem import Frozen
from labrelay.records.database import now
from labrelay.records.schema import MetricRow, WorkflowRunRow
from labrelay.records.schema_reruns import QCContextRow
from labrelay.records.upsert import insert_missing

Kind = Literal["ins", "run"]
Key = tuple[str, str]  # a metric's name and scope


class Source(Protocol):
    """An instrument run as far as it says which machine it was, and when."""

    @property
    def platform(self) -> str:
        """`illumina` …"""

    @property
    def instrument_model(self) -> str | None:
        """The model."""

    @property
    def instrument_serial(self) -> str | None:
        """Which of them."""

    @property
    def started(self) -> datetime | None:
        """When the run began; one without a zone counts as UTC."""


class Context(Frozen):
    """What a run's metrics are compared by.

    Attributes:
        owner_id: The instrument run or workflow run.
        kind: `ins` or `run`.
        instrument: Serial number, else model, else platform; several are joined by ` + `.
        assay: Of its samples; empty for an instrument run, or when none is known.
        workflow: Its name; empty for an instrument run.
        label: What a person calls it.
        at: When the instrument run began, else when it was recorded.
    """

    owner_id: str
    kind: Kind
    instrument: str
    assay: str = ""
    workflow: str = ""
    label: str
    at: str


class SeriesWanted(Frozen):
    """Which series are looked for; what is None does not narrow. `since` is an ISO 8601 time in UTC."""

    metric: str | None = None
    instrument: str | None = None
    assay: str | None = None
    workflow: str | None = None
    since: str | None = None


class SeriesKey(NamedTuple):
    """One series: a metric of one instrument, assay and workflow."""

    kind: Kind
    metric: str
    scope: str
    instrument: str
    assay: str
    workflow: str


class Overview(NamedTuple):
    """A series with its number of runs, how many of them have a value, and the first and last time."""

    key: SeriesKey
    unit: str
    runs: int
    known: int
    first: str
    last: str


class Point(NamedTuple):
    """A value of a series; None when the run says that it has none."""

    owner_id: str
    label: str
    at: str
    value: float | None
    unit: str


def machine(sources: Iterable[Source]) -> str:
    """Return which instrument it was, as series name it."""
    names = {source.instrument_serial or source.instrument_model or source.platform for source in sources}
    return " + ".join(sorted(names))


def moment(sources: Iterable[Source]) -> str:
    """Return when the newest of the instrument runs began, or now when none says so."""
    began = [source.started for source in sources if source.started is not None]
    zoned = [each if each.tzinfo else each.replace(tzinfo=UTC) for each in began]
    return max(zoned).astimezone(UTC).isoformat(timespec="microseconds") if zoned else now()


def add(session: Session, context: Context) -> None:
    """Write what a run's metrics are compared by, once."""
    insert_missing(session, QCContextRow, [context.model_dump() | {"recorded_at": now()}])


def history(session: Session, context: Context, names: Sequence[str]) -> dict[Key, list[float | None]]:
    """Return the values before a run's own, oldest first, of the newest 101 runs of its series.

    One more than limits need, so that the value before can be judged, too. Results that were replaced do not count.
    Cost: one query.
    """
    row = QCContextRow
    same = [getattr(row, name) == getattr(context, name) for name in ("kind", "workflow", "assay", "instrument")]
    before = (
        select(row.owner_id, row.at, row.recorded_at)
        .outerjoin(WorkflowRunRow, WorkflowRunRow.id == row.owner_id)
        .where(*same, row.owner_id != context.owner_id, row.at <= context.at, WorkflowRunRow.replaced_by.is_(None))
        .order_by(row.at.desc(), row.recorded_at.desc(), row.owner_id)
        .limit(WINDOW + 1)
        .subquery()
    )
    query = (
        select(MetricRow.name, MetricRow.scope, MetricRow.value)
        .join(before, before.c.owner_id == MetricRow.owner_id)
        .where(MetricRow.name.in_(names))
        .order_by(before.c.at, before.c.recorded_at, before.c.owner_id.desc())
    )
    found: dict[Key, list[float | None]] = defaultdict(list)
    for name, scope, value in session.execute(query):
        found[name, scope].append(value)
    return found


def overview(session: Session, wanted: SeriesWanted) -> list[Overview]:
    """Return the series that there are, those with the most runs first, in one query."""
    columns = _key_columns()
    query = (
        _selected(wanted)
        .add_columns(
            *columns,
            func.max(MetricRow.unit),
            func.count(),
            func.count(MetricRow.value),
            func.min(QCContextRow.at),
            func.max(QCContextRow.at),
        )
        .group_by(*columns)
    )
    rows = [Overview(SeriesKey(*row[:6]), *row[6:]) for row in session.execute(query)]
    return sorted(rows, key=lambda each: (-each.runs, each.key))


def points(session: Session, wanted: SeriesWanted) -> dict[SeriesKey, list[Point]]:
    """Return the values of the series, each oldest first, in one query."""
    row = QCContextRow
    query = _selected(wanted).add_columns(
        *_key_columns(), row.owner_id, row.label, row.at, MetricRow.value, MetricRow.unit
    )
    found: dict[SeriesKey, list[Point]] = defaultdict(list)
    for each in session.execute(query.order_by(row.at, row.recorded_at, row.owner_id.desc())):
        found[SeriesKey(*each[:6])].append(Point(*each[6:]))
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


def _key_columns() -> tuple[ColumnElement[str], ...]:
    row = QCContextRow
    columns = (row.kind, MetricRow.name, MetricRow.scope, row.instrument, row.assay, row.workflow)
    return tuple(column.expression for column in columns)


def _selected(wanted: SeriesWanted) -> Select[()]:
    row = QCContextRow
    # A sheet's samples have metrics of the instrument run, too; each of them is there once and makes no series.
    of_run = (row.kind == "run") | MetricRow.scope.in_(("run", "reads")) | MetricRow.scope.like("lane %")
    where: list[ColumnElement[bool]] = [WorkflowRunRow.replaced_by.is_(None), of_run]
    narrowed = ((name, getattr(wanted, name)) for name in ("instrument", "assay", "workflow"))
    where += [getattr(row, name) == value for name, value in narrowed if value is not None]
    if wanted.metric is not None:
        where.append(MetricRow.name == wanted.metric)
    if wanted.since is not None:
        where.append(row.at >= wanted.since)
    return (
        select()
        .select_from(row)
        .join(MetricRow, MetricRow.owner_id == row.owner_id)
        .outerjoin(WorkflowRunRow, WorkflowRunRow.id == row.owner_id)
        .where(*where)
    )
