"""The tables that several commands print: results and workflow runs, and how times are written for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from labrelay.cli.show import Cell, table
from labrelay.model.names import printable

if TYPE_CHECKING:
    from labrelay.steps.listing import RunLine
    from labrelay.steps.results import ResultRow

BREADTH = "breadth ≥ 10× %"  # of the reference, at depth 10 or more


def show_results(rows: Sequence[ResultRow], empty: str) -> None:
    """Print the table of results, then why those that are out of date are so."""
    columns: list[tuple[str, list[Cell]]] = [
        ("experiment", [row.experiment for row in rows]),
        ("sample", [row.sample for row in rows]),
        ("reads", [row.reads for row in rows]),
        ("mapped %", [row.mapped_percent for row in rows]),
        ("mean depth", [row.mean_depth for row in rows]),
        (BREADTH, [row.breadth_10x_percent for row in rows]),
        ("variants", [row.variants for row in rows]),
        ("cells", [row.cells for row in rows]),
        ("positive % of cells", [row.positive_percent for row in rows]),
        ("verdict", [row.verdict.value + _mark(row) for row in rows]),
        ("workflow", [row.workflow for row in rows]),
        ("run", [row.run for row in rows]),
    ]
    # One experiment needs no column, nor does a number that none of these workflows gives.
    told = [(name, cells) for name, cells in columns if any(cell is not None for cell in cells)]
    told = told if len(set(columns[0][1])) > 1 else told[1:]
    table([name for name, _cells in told], list(zip(*(cells for _name, cells in told), strict=True)), empty)
    for row in rows:
        if row.stale and row.replaced_by is None:
            click.echo(f"stale: {row.sample}, {row.workflow}: {printable(row.stale)}")


def _mark(row: ResultRow) -> str:
    return " (superseded)" if row.replaced_by else " (stale)" if row.stale else ""


def show_runs(lines: Sequence[RunLine], empty: str) -> None:
    """Print the table of workflow runs."""
    header = ["run", "sample", "workflow", "on", "state", "verdict", "asked (UTC)", "took", "attempts"]
    cells: list[list[Cell]] = [
        [
            line.run,
            line.sample,
            line.workflow,
            line.engine,
            line.state.value + ("" if line.recorded or not line.state.terminal else " (not recorded)"),
            None if line.verdict.value == "none" else line.verdict.value,
            when_text(line.asked),
            seconds_text(line.seconds),
            line.attempts,
        ]
        for line in lines
    ]
    table(header, cells, empty)


def when_text(moment: datetime | None) -> str | None:
    """Return a moment to the minute, `2026-11-23 20:16`; the table's heading says that it is UTC."""
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def seconds_text(seconds: float | None) -> str | None:
    """Return a span as people say it: `4.2 s`, `3 min`, `2.5 h`, `3 d`."""
    if seconds is None:
        return None
    for limit, unit, size in ((100, "s", 1), (6000, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.{0 if seconds / size >= 10 else 1}f} {unit}"
    return f"{seconds / 86_400:.0f} d"
