"""Quality over time: values by instrument and assay with control limits, and a notice when a run leaves them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.orm import Session

from labrelay.model.control import LEAST, Judged, Limits, begins, chart, judge, limits
from labrelay.model.errors import NotFound
from labrelay.model.instrument import InstrumentRun
from labrelay.model.problem import Frozen
from labrelay.model.qc import QCMetric
from labrelay.model.words import counted
from labrelay.records import qc_context
from labrelay.records.documents import Document, heading, number_text, with_unit
from labrelay.records.qc_context import Context, Overview, Point, SeriesKey, SeriesWanted
from labrelay.records.result import Result
from labrelay.steps.home import Home
from labrelay.steps.notices import notify

WHOLE = ("run", "reads")  # scopes of a whole instrument run; a sheet's samples are there once and make no series
LANE = re.compile(r"lane \d+")
PLAIN = ("run", "reads", "sample")  # scopes that a person need not be told


class TrendPoint(Frozen):
    """A value of a series beside the limits that the values before it give; see `model.control.Judged`."""

    run: str
    label: str
    at: str
    value: float | None
    low: float | None
    centre: float | None
    high: float | None
    outside: bool
    shift: bool


class Trend(Frozen):
    """A metric of one instrument, assay and workflow over time.

    Attributes:
        of: `instrument run` or `workflow run`.
        scope: What of the run it is about.
        limits: For the next value; None while fewer than 8 values are known.
        points: Oldest first.
    """

    metric: str
    of: str
    scope: str
    unit: str
    instrument: str
    assay: str
    workflow: str
    limits: Limits | None
    points: tuple[TrendPoint, ...]

    @property
    def title(self) -> str:
        """What it is, for people: `Mean depth, lane 1`."""
        return heading(self.metric, {}) + ("" if self.scope in PLAIN else f", {self.scope}")

    @property
    def where(self) -> str:
        """Instrument, assay and workflow, for people."""
        told = (self.instrument, self.assay, self.workflow)
        return " · ".join(part for part in told if part) or "instrument not known"

    @property
    def standing(self) -> str:
        """The limits for the next value in a sentence, or why there are none."""
        known = sum(point.value is not None for point in self.points)
        if self.limits is None:
            few = counted(known, "known value is", "known values are")
            return f"{few} too few for limits: {LEAST} are needed"
        low, high = number_text(self.limits.low), with_unit(self.limits.high, self.unit)
        mean = number_text(self.limits.centre)
        return f"the next value is expected from {low} to {high} (mean {mean}, from {self.limits.points} values)"


def trends(home: Home, wanted: SeriesWanted) -> list[Trend]:
    """Return a metric's series with the limits at each value, the longest first. Cost: one query.

    Args:
        home: Where.
        wanted: Which; `since` leaves out points, not the values before them that limits come from.

    Raises:
        NotFound: There are no values of it.
    """
    with home.records.read() as session:
        found = qc_context.points(session, wanted.model_copy(update={"since": None}))
    made = [trend for key, points in found.items() if (trend := _trend(key, points, wanted.since)).points]
    if not made:
        what = wanted.metric or "any metric"
        raise NotFound(f"there are no such values of {what}: `labrelay trends` lists what there is")
    return made


def overview(home: Home, wanted: SeriesWanted) -> list[Overview]:
    """Return which series there are, the longest first. Cost: one query."""
    with home.records.read() as session:
        return qc_context.overview(session, wanted)


def write_trends(made: Sequence[Trend], target: Path) -> Document:
    """Write the series as one self-contained HTML page with a plot each.

    Raises:
        StorageFailed: The disk did not take the file.
    """
    from labrelay.records.report.trend_page import Plot, write_trend_page

    plots = [
        Plot(
            title=trend.title,
            where=trend.where,
            unit=trend.unit,
            standing=trend.standing,
            names=tuple(f"{point.label}, {point.at[:16].replace('T', ' ')}" for point in trend.points),
            times=tuple(point.at for point in trend.points),
            judged=tuple(_judged(point) for point in trend.points),
        )
        for trend in made
    ]
    return write_trend_page(plots, target)


def _judged(point: TrendPoint) -> Judged:
    around = None
    if point.low is not None and point.high is not None and point.centre is not None:
        around = Limits(centre=point.centre, low=point.low, high=point.high, points=0)
    return Judged(value=point.value, limits=around, outside=point.outside, shift=point.shift)


def _trend(key: SeriesKey, points: Sequence[Point], since: str | None) -> Trend:
    values = [point.value for point in points]
    told = [
        TrendPoint(
            run=point.owner_id,
            label=point.label,
            at=point.at,
            value=judged.value,
            low=judged.limits.low if judged.limits else None,
            centre=judged.limits.centre if judged.limits else None,
            high=judged.limits.high if judged.limits else None,
            outside=judged.outside,
            shift=judged.shift,
        )
        for point, judged in zip(points, chart(values), strict=True)
    ]
    return Trend(
        metric=key.metric,
        of="instrument run" if key.kind == "ins" else "workflow run",
        scope=key.scope,
        unit=points[-1].unit,
        instrument=key.instrument,
        assay=key.assay,
        workflow=key.workflow,
        limits=limits(values),
        points=tuple(point for point in told if since is None or point.at >= since),
    )


def follow_instrument_run(home: Home, session: Session, run: InstrumentRun, metrics: Sequence[QCMetric]) -> None:
    """Put an instrument run's metrics into their series and tell people which have left their limits."""
    own = [metric for metric in metrics if metric.scope in WHOLE or LANE.fullmatch(metric.scope)]
    if own:
        context = Context(
            owner_id=run.id,
            kind="ins",
            instrument=qc_context.machine([run]),
            label=run.run_id,
            at=qc_context.moment([run]),
        )
        _follow(home, session, context, own)


def follow_result(home: Home, session: Session, result: Result) -> None:
    """Put a result's metrics into their series and tell people which have left their limits."""
    if not result.metrics:
        return
    names = [sample.name for sample in result.samples]
    context = Context(
        owner_id=result.run_id,
        kind="run",
        instrument=qc_context.machine(result.instrument_runs),
        assay=" + ".join(sorted({sample.assay for sample in result.samples if sample.assay})),
        workflow=result.workflow.name,
        label=names[0] if len(names) == 1 else f"{len(names)} samples",
        at=qc_context.moment(result.instrument_runs),
    )
    _follow(home, session, context, result.metrics)


def _follow(home: Home, session: Session, context: Context, metrics: Sequence[QCMetric]) -> None:
    """Write the context and judge each metric. Cost: two statements, and one a metric that people are told of."""
    qc_context.add(session, context)
    before = qc_context.history(session, context, sorted({metric.name for metric in metrics}))
    for metric in metrics:
        earlier = before.get((metric.name, metric.scope), [])
        judged = judge(earlier, metric.value)
        if judged.limits is not None and begins(earlier, judged):
            dedup = f"{context.owner_id}:{metric.name}:{metric.scope}"
            told = {"run": context.owner_id, "label": context.label, "metric": metric.name}
            told["reason"] = _sentence(metric, judged, judged.limits, context)
            notify(home, session, context.owner_id, "trend", dedup, **told)


def _sentence(metric: QCMetric, judged: Judged, around: Limits, context: Context) -> str:
    name = heading(metric.name, {}) + ("" if metric.scope in PLAIN else f", {metric.scope},")
    value, mean = with_unit(metric.value, metric.unit), number_text(around.centre)
    where = " and ".join(part for part in (context.instrument, context.assay) if part)
    if judged.outside:
        expected = f"{number_text(around.low)} to {with_unit(around.high, metric.unit)}"
        said = f"is {value}, outside the {expected} that the {around.points} values before it let expect"
    else:
        side = "above" if around.side(metric.value or 0.0) > 0 else "below"
        said = f"is {value}: eight values in a row lie {side} the mean {mean}"
    return f"{name} {said}" + (f" ({where})" if where else "")
