"""`labrelay inspect`: what a folder or a file of an instrument is, in one screen."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labrelay.cli.show import Cell, emit, json_option, size_text, table, wants_json
from labrelay.model.names import printable
from labrelay.model.words import counted

if TYPE_CHECKING:
    from labrelay.model.instrument import InstrumentRun
    from labrelay.parsers.registry import Look

SHOWN = 24  # rows of a table, so that all fits on a screen or two; --json has everything
WIDEST = 240  # signs of a last column: the end of a path says which file it is


@click.command()
@click.argument("place", metavar="FOLDER|FILE", type=click.Path(path_type=Path))
@click.option("--as", "platform", metavar="PLATFORM", help="read it as this one, where it could be several")
@click.option("--personal", is_flag=True, help="show the names of people and machines that its files tell")
@click.option(
    "--html", "page", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="write a page with pictures"
)
@click.option(
    "--multiqc",
    "charts",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="write the numbers as a page of MultiQC, which is installed apart",
)
@json_option
def inspect(place: Path, platform: str | None, personal: bool, page: Path | None, charts: Path | None) -> int:
    """Say in one screen what a folder or a file of an instrument is.

    Run, instrument, flow cell, plate or grid; samples, lanes, wells or cells; files by role; whether it is complete, by
    which evidence; quality; every warning. QC files of common tools are shown with their numbers. It needs no home and
    changes nothing.

    Exit code 0: it was read and has no error, be it with warnings; whether it is complete, its facts say. 1: it has
    errors, for which it would be refused. 2: nothing that is known was found there, or the command was mistaken.
    """
    from labrelay.model.errors import RefusedInput, UsageError
    from labrelay.model.problem import errors_of
    from labrelay.parsers.registry import look

    if not place.exists():
        raise UsageError(f"there is no folder or file {place}")
    _find_allotropy(platform)
    try:
        seen = look(place, platform)
    except RefusedInput:
        if platform is None and _qc_files(place, page, charts):
            return 0
        raise
    run = seen.run
    code = 1 if errors_of(run.problems) else 0
    _write_pages(seen, page, charts)
    if wants_json():
        emit(run.model_dump(mode="json", exclude=None if personal else {"personal"}))
        return code
    _print(seen, personal=personal)
    return code


def _print(seen: Look, *, personal: bool) -> None:
    from labrelay.model.files import FileRole
    from labrelay.model.run_facts import run_facts

    run = seen.run
    table(["what", "value"], [*run_facts(run, seen.seen), *_taken(run)], "", WIDEST)
    _tables(run)
    if personal:
        _block("personal", ["field", "value"], list(run.personal.items()))
    elif run.personal:
        click.echo(f"\n{counted(len(run.personal), 'personal field')} left out: --personal shows them")
    if any(role in run.sizes_by_role for role in (FileRole.READS, FileRole.ALIGNMENT)):
        click.echo("\nfiles of reads were not opened: each is judged when the run is taken in")
    _problems(run)


def _taken(run: InstrumentRun) -> Iterator[tuple[str, str]]:
    """Yield, above all tables, that there is something to be read below them, and whether the run would be refused."""
    from labrelay.model.problem import errors_of
    from labrelay.steps.readiness import unfinished

    errors = len(errors_of(run.problems))
    counts = [(errors, "error"), (len(run.problems) - errors, "warning")]
    told = ", ".join(counted(number, noun) for number, noun in counts if number)
    if told:
        yield "problems", f"{told}: told at the end"
    waits = unfinished(run, a_person_asks=True)
    if errors or waits:
        yield "process", f"would refuse it as it is now: {waits or counted(errors, 'error')}"


def _find_allotropy(platform: str | None) -> None:
    """Say to the parsers which Python has allotropy, where a home's settings name it and it is needed."""
    from labrelay.parsers.allotropy import PREFIX, VARIABLE

    if platform is None or not platform.startswith(PREFIX):
        return
    from labrelay.steps.settings import settings_here

    named = settings_here(click.get_current_context().find_root().obj["home"]).allotropy
    if named is not None:
        os.environ.setdefault(VARIABLE, named)


def _qc_files(place: Path, page: Path | None, charts: Path | None) -> bool:
    """Print the QC files of a place that is no run, and write their page; false when there are none."""
    from labrelay.model.errors import UsageError
    from labrelay.parsers.qc_folder import qc_files_in
    from labrelay.parsers.registry import listed

    found = qc_files_in(listed(place))
    if found and page is not None:
        raise UsageError(
            f"{place} holds QC files and no run, so --html has nothing to show: --multiqc makes their page"
        )
    if found and charts is not None:
        from labrelay.records.report.multiqc_content import sections_of_files

        _write_multiqc(place.resolve().name, sections_of_files(found), charts)
    if wants_json():
        if found:
            emit([{"path": path, "tool": tool, "qc": [m.model_dump() for m in qc]} for path, tool, qc in found])
        return bool(found)
    for path, tool, metrics in found:
        click.echo(printable(f"{path}, written by {tool}", 300))
        rows = [(metric.name, metric.value, metric.unit, metric.scope) for metric in metrics]
        table(["quality", "value", "unit", "of"], rows[:SHOWN], "it has no number that is known here")
        click.echo(f"… and {len(rows) - SHOWN:,} more: --json has all\n" if len(rows) > SHOWN else "")
    return bool(found)


def _write_pages(seen: Look, page: Path | None, charts: Path | None) -> None:
    if page is not None:
        from labrelay.steps.run_documents import write_page

        write_page(seen, page)
        click.echo(f"wrote {page}", err=True)
    if charts is not None:
        from labrelay.parsers.registry import cycles_of
        from labrelay.records.report.multiqc_content import sections_of

        _write_multiqc(seen.run.run_id, sections_of(seen.run, cycles_of(seen.run, seen.listing)), charts)


def _write_multiqc(title: str, sections: dict[str, Any], page: Path) -> None:
    from labrelay.model.errors import UsageError
    from labrelay.steps.multiqc import multiqc_program, write_multiqc
    from labrelay.steps.settings import settings_here

    if not sections:
        raise UsageError(f"{title} has no number yet, so that MultiQC would have nothing to show")
    home = click.get_current_context().find_root().obj["home"]
    write_multiqc(multiqc_program(settings_here(home).multiqc), title, sections, page)
    click.echo(f"wrote {page}", err=True)


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
    from labrelay.model.problem import worst_first

    if run.problems:
        click.echo()
    for problem in worst_first(run.problems)[:SHOWN]:
        click.echo(printable(f"{problem.severity}: {problem}", 500))
    if len(run.problems) > SHOWN:
        click.echo(f"… and {counted(len(run.problems) - SHOWN, 'more problem', 'more problems')}: --json has all")
