"""`labrelay trends`: quality over time with control limits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from labrelay.cli.show import Cell, current_home, emit, json_option, since_option, table, wants_json
from labrelay.model.names import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from labrelay.records.qc_context import SeriesWanted
    from labrelay.steps.trends import Trend, TrendPoint

NEWEST = 12  # values in the table
WIDE = 60  # values in the sparkline
BARS = "▁▂▃▄▅▆▇█"
SHOWN = 50


@click.command()
@click.argument("metric", required=False)
@click.option("--instrument", metavar="ID", help="only this instrument's (its serial number)")
@click.option("--assay", help="only this assay's")
@click.option("--workflow", metavar="NAME", help="only this workflow's")
@since_option("only runs of then or later; limits come from those before, too")
@click.option("--html", "target", type=click.Path(path_type=Path), help="write a page with plots to this file")
@json_option
def trends(
    metric: str | None,
    instrument: str | None,
    assay: str | None,
    workflow: str | None,
    since: str | None,
    target: Path | None,
) -> None:
    """Show a quality metric over time, by instrument and assay, with control limits; without METRIC say what there is.

    Limits come from the values before each (individuals chart, at least 8). A run that leaves them is marked with `!`,
    eight in a row on one side of the mean with `~`, a missing value with a gap.
    """
    from labrelay.records.qc_context import SeriesWanted
    from labrelay.steps.trends import trends as found
    from labrelay.steps.trends import write_trends

    wanted = SeriesWanted(metric=metric, instrument=instrument, assay=assay, workflow=workflow, since=since)
    if metric is None and target is None:
        _show_overview(wanted)
        return
    made = found(current_home(), wanted)
    written = None if target is None else write_trends(made, target)
    if wants_json():
        emit([trend.model_dump(mode="json") for trend in made])
        return
    for trend in made if written is None else ():
        _show(trend)
    if written is not None:
        click.echo(f"{written.title}: {written.path}")


def _show_overview(wanted: SeriesWanted) -> None:
    from labrelay.steps.trends import overview

    lines = overview(current_home(), wanted)
    if wants_json():
        emit([{**line.key._asdict(), **{k: v for k, v in line._asdict().items() if k != "key"}} for line in lines])
        return
    rows: list[list[Cell]] = []
    for line in lines[:SHOWN]:
        key = line.key
        of = "instrument run" if key.kind == "ins" else "workflow run"
        rows.append(
            [key.metric, of, key.scope, key.instrument, key.assay, key.workflow, line.runs, line.last[:10] or None]
        )
    header = ["metric", "of", "scope", "instrument", "assay", "workflow", "runs", "newest"]
    table(header, rows, "no metrics are on record yet: they come with runs that are taken in or recorded")
    if len(lines) > SHOWN:
        click.echo(f"… and {len(lines) - SHOWN:,} more series; narrow them with --instrument, --assay or --workflow")
    if lines:
        click.echo("one of them over time: labrelay trends METRIC")


def _show(trend: Trend) -> None:
    click.echo(f"{printable(trend.title)} of {trend.of}s · {printable(trend.where)}")
    line, marks = sparkline(trend.points[-WIDE:])
    click.echo(f"  {line}")
    if marks.strip():
        click.echo(f"  {marks}")
    click.echo(f"  {trend.standing}")
    rows: list[list[Cell]] = [
        [point.at[:16].replace("T", " "), point.label, point.value, point.low, point.high, _said(point)]
        for point in trend.points[-NEWEST:]
    ]
    table(["  when (UTC)", "run", "value", "low", "high", ""], [[f"  {r[0]}", *r[1:]] for r in rows], "")
    click.echo()


def _said(point: TrendPoint) -> str:
    return "! outside" if point.outside else "~ eight on one side" if point.shift else " "


def sparkline(points: Sequence[TrendPoint]) -> tuple[str, str]:
    """Return a line of bars, a missing value as a gap, and the line of marks below it."""
    known = [point.value for point in points if point.value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    span = high - low
    bars, marks = "", ""
    for point in points:
        if point.value is None:
            bars += " "
        else:
            bars += BARS[round((point.value - low) / span * (len(BARS) - 1))] if span else BARS[3]
        marks += "!" if point.outside else "~" if point.shift else " "
    return bars, marks.rstrip()
