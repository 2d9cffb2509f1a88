"""`labrelay inspect`: what a folder or a file of an instrument is, in one screen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labrelay.cli.show import Cell, emit, json_option, size_text, table, wants_json
from labrelay.model.names import printable
from labrelay.model.words import counted

if TYPE_CHECKING:
    from labrelay.model.instrument import InstrumentRun

SHOWN = 24  # rows of a table, so that all fits on a screen or two; --json has everything
WIDEST = 240  # signs of a last column: the end of a path says which file it is


@click.command()
@click.argument("place", metavar="FOLDER|FILE", type=click.Path(path_type=Path))
@click.option("--as", "platform", metavar="PLATFORM", help="read it as this one, where it could be several")
@click.option("--personal", is_flag=True, help="show the names of people and machines that its files tell")
@click.option(
    "--html", "page", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="write a page with pictures"
)
@json_option
def inspect(place: Path, platform: str | None, personal: bool, page: Path | None) -> int:
    """Say in one screen what a folder or a file of an instrument is.

    Run, instrument, flow cell, plate or grid; samples, lanes, wells or cells; files by role; whether it is complete, by
    which evidence; quality; every warning. It needs no home and changes nothing.

    Exit code 0: it was read and has no error, be it with warnings; whether it is complete, its facts say. 1: it has
    errors, for which it would be refused. 2: nothing that is known was found there, or the command was mistaken.
    """
    from labrelay.model.errors import UsageError
    from labrelay.model.files import FileRole
    from labrelay.model.problem import errors_of
    from labrelay.model.run_facts import run_facts
    from labrelay.parsers.registry import look

    if not place.exists():
        raise UsageError(f"there is no folder or file {place}")
    seen = look(place, platform)
    run = seen.run
    code = 1 if errors_of(run.problems) else 0
    if page is not None:
        from labrelay.steps.run_documents import write_page

        write_page(seen, page)
        click.echo(f"wrote {page}", err=True)
    if wants_json():
        emit(run.model_dump(mode="json", exclude=None if personal else {"personal"}))
        return code
    table(["what", "value"], run_facts(run, seen.seen), "", WIDEST)
    _tables(run)
    if personal:
        _block("personal", ["field", "value"], list(run.personal.items()))
    elif run.personal:
        click.echo(f"\n{counted(len(run.personal), 'personal field')} left out: --personal shows them")
    if any(role in run.sizes_by_role for role in (FileRole.READS, FileRole.ALIGNMENT)):
        click.echo("\nfiles of reads were not opened: each is judged when the run is taken in")
    _problems(run)
    return code


def _tables(run: InstrumentRun) -> None:
    """Print what a run may have many of, and where it has no sample, what that means."""
    from labrelay.model.run_tables import run_tables

    shown = list(run_tables(run))
    for each in shown:
        at = each.size_column
        rows = [[size_text(int(cell or 0)) if i == at else cell for i, cell in enumerate(row)] for row in each.rows]
        _block(each.title, list(each.head), rows)
    if any(each.title == "samples" for each in shown):
        return
    if run.plate is not None or run.images:
        click.echo("\nno file of an image or a plate is here yet")
    else:
        click.echo("\nneither a sample sheet nor a file names any sample")


def _block(title: str, header: list[str], rows: Sequence[Sequence[Cell]]) -> None:
    click.echo()
    table(header, rows[:SHOWN], f"no {title} fields", WIDEST // 2)
    if len(rows) > SHOWN:
        click.echo(f"… and {len(rows) - SHOWN:,} more: --json has all")


def _problems(run: InstrumentRun) -> None:
    if run.problems:
        click.echo()
    for problem in run.problems[:SHOWN]:
        click.echo(printable(f"{problem.severity}: {problem}", 500))
    if len(run.problems) > SHOWN:
        click.echo(f"… and {counted(len(run.problems) - SHOWN, 'more problem', 'more problems')}: --json has all")
