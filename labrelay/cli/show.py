"""What commands print: plain tables for people, JSON for machines; text from outside is made printable first."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from labrelay.model.names import printable

if TYPE_CHECKING:
    from pathlib import Path

    from labrelay.model.problem import Problem
    from labrelay.model.progress import Progress
    from labrelay.steps.home import Home

Command = TypeVar("Command", bound=Callable[..., Any])
WARNINGS = 20
Cell = str | int | float | None


def current_home(progress: Progress | None = None) -> Home:
    """Open the home that the command line names."""
    from labrelay.steps.home import open_home
    from labrelay.steps.settings import find_home

    return open_home(find_home(click.get_current_context().find_root().obj["home"]), progress)


def profile_option(command: Command) -> Command:
    """Give a command the option `--profile`, which wins over the home's settings as LABRELAY_PROFILE does."""

    def remember(_ctx: click.Context, _parameter: click.Parameter, wanted: str | None) -> None:
        if wanted is not None:
            os.environ["LABRELAY_PROFILE"] = wanted

    choice = click.Choice(["local", "healthomics"])
    option = click.option(
        "--profile", type=choice, expose_value=False, callback=remember, help="which adapters (else as the home says)"
    )
    return option(command)


def json_option(command: Command) -> Command:
    """Give a command the option `--json`."""

    def remember(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
        ctx.find_root().obj["json"] = wanted

    return click.option("--json", is_flag=True, expose_value=False, callback=remember, help="print JSON")(command)


def since_option(help_text: str) -> Callable[[Command], Command]:
    """Return what gives a command the option `--since`: a date, or a time with its zone; without one it is UTC."""
    from datetime import UTC, datetime

    def as_kept(_ctx: click.Context, _parameter: click.Parameter, given: str | None) -> str | None:
        if given is None:
            return None
        try:
            moment = datetime.fromisoformat(given)
        except ValueError:
            raise click.BadParameter(f"{given!r} is no date: write 2026-11-28 or 2026-11-28T09:30") from None
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return zoned.astimezone(UTC).isoformat(timespec="microseconds")

    return click.option("--since", metavar="DATE", callback=as_kept, help=help_text)


def wants_json() -> bool:
    """Whether `--json` was asked for."""
    return bool(click.get_current_context().find_root().obj["json"])


def emit(value: Any) -> None:
    """Print a value as JSON, indented, keys in their own order."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def table(header: Sequence[str], rows: Sequence[Sequence[Cell]], empty: str, last: int = 80) -> None:
    """Print a table with aligned columns, numbers to the right.

    Args:
        header: One name a column.
        rows: As many cells each.
        empty: The sentence when there are no rows.
        last: Most signs of a text in the last column, which makes no other wider.
    """
    if not rows:
        click.echo(empty)
        return
    end = len(header) - 1
    cells = [[cell_text(value, last if i == end else 80) for i, value in enumerate(row)] for row in rows]
    widths = [max(len(header[i]), *(len(row[i]) for row in cells)) for i in range(len(header))]
    right = [all(isinstance(row[i], int | float) or row[i] is None for row in rows) for i in range(len(header))]
    for line in [list(header), *cells]:
        parts = [v.rjust(w) if r else v.ljust(w) for v, w, r in zip(line, widths, right, strict=True)]
        click.echo("  ".join(parts).rstrip())


def cell_text(value: Cell, most: int = 80) -> str:
    """Return a cell as people read it: `–` for nothing, thousands separated, at most two decimals, so many signs."""
    if value is None or value == "":
        return "–"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}".rstrip("0").rstrip(".")
    return printable(str(value), most)


def records(header: Sequence[str], rows: Sequence[Mapping[str, Any]], empty: str) -> None:
    """Print rows by column name: a table, or all their fields with `--json`."""
    if wants_json():
        emit(list(rows))
    else:
        table([name.replace("_", " ") for name in header], [[row.get(name) for name in header] for row in rows], empty)


def show_warnings(warnings: Sequence[Problem], page: Path | None) -> None:
    """Print what a stored run is warned of, before all else: many are cut, and its page has them all."""
    for problem in warnings[:WARNINGS]:
        click.echo(f"warning: {problem}")
    if len(warnings) > WARNINGS:
        click.echo(f"… and {len(warnings) - WARNINGS:,} more warnings{f': {page}' if page is not None else ''}")


def size_text(count: int) -> str:
    """Return a number of bytes as people read it."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
