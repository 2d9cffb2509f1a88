"""Commands that take things in: announce, ingest, assign."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from labrelay.cli.show import current_home, emit, json_option, records, show_warnings, wants_json
from labrelay.model.names import on_one_line
from labrelay.model.words import counted

FOLDER = click.Path(path_type=Path)


@click.command()
@click.argument("table_file", metavar="CSV", type=FOLDER)
@click.option("--experiment", help="the experiment's name, when the table has no such column")
@click.option("--correct", is_flag=True, help="take differing samples as corrections: their revision rises")
@click.option("--reason", help="why they are corrected, for the record")
@json_option
def announce(table_file: Path, experiment: str | None, correct: bool, reason: str | None) -> None:
    """Tell of an experiment and its samples before the instrument runs.

    One column of the CSV or TSV names the sample: `sample`, `sample_id`, `sample_name` or `name`. The columns
    `experiment`, `aliases` (separated by ;), `barcode` (ACGT, ACGT+TGCA or barcode01), `subject`, `assay` and `project`
    are understood, further ones are kept as they are. Case, spaces and dashes in a heading do not matter (`Sample ID`).
    It is read from a file, not from a pipe.
    """
    from labrelay.steps.announce import announce as run
    from labrelay.steps.overview import announced

    if correct and not reason:
        raise click.UsageError("--correct needs a --reason: it goes on record")
    home = current_home()
    _refuse_no_file(table_file)
    outcomes = run(home, table_file, experiment, correct=correct, reason=reason)
    rows = [
        {
            "experiment": o.experiment.name,
            "id": o.experiment.id,
            "added": len(o.added),
            "corrected": len(o.corrected),
            "unchanged": len(o.unchanged),
        }
        for o in outcomes
    ]
    records(["experiment", "id", "added", "corrected", "unchanged"], rows, "nothing was announced")
    for folder, datasets in [] if wants_json() else announced(home):
        waits = counted(datasets, "dataset that waited has its sample", "datasets that waited have their samples")
        click.echo(f"{waits} now: {on_one_line(f'labrelay process {shlex.quote(folder)}')}")


def _refuse_no_file(table: Path) -> None:
    """Say what stands in a table's place that is none: a pipe or a device may never end."""
    from labrelay.model.errors import UsageError

    if table.is_file():
        return
    if table.is_dir():
        raise UsageError(f"{table} is a folder: name the table of samples in it")
    if table.exists() or table == Path("-"):
        shown = "standard input" if table == Path("-") else f"{table}, which is a pipe or a device"
        raise UsageError(f"no table is read from {shown}: save it as a CSV file, and announce that")
    raise UsageError(f"there is no file {table}")


@click.command()
@click.argument("folder", metavar="FOLDER|FILE", type=FOLDER)
@click.option("--assume-complete", is_flag=True, help="take it though its completion marker is missing")
@json_option
def ingest(folder: Path, assume_complete: bool) -> None:
    """Store an instrument run's files and judge its reads; nothing is stored twice."""
    from labrelay.cli.terminal import TerminalProgress
    from labrelay.steps.process import take_in, warnings_of
    from labrelay.steps.run_documents import page_of

    with TerminalProgress() as progress:
        home = current_home(progress)
        run, stored = take_in(home, folder, assume_complete=assume_complete)
    page = page_of(home, run.platform, run.run_id)
    if wants_json():
        shown = {"id": run.id, "run_id": run.run_id, "stored": stored, "files": len(run.files)}
        warned = [problem.model_dump(mode="json") for problem in warnings_of(run)]
        emit(shown | {"page": None if page is None else str(page.path), "warnings": warned})
    else:
        show_warnings(warnings_of(run), None if page is None else page.path)
        if page is not None:
            click.echo(f"run: {page.path}")
        click.echo(
            f"{run.id}: {stored} of {counted(len(run.files), 'file')} stored now; go on with: labrelay process {folder}"
        )


@click.command()
@click.argument("dataset")
@click.argument("sample")
@click.option("--from", "instead_of", metavar="SAMPLE", help="take it from this sample, which has it now by mistake")
@json_option
def assign(dataset: str, sample: str, instead_of: str | None) -> None:
    """Say whose reads an unassigned DATASET (id or label) holds: SAMPLE (id or name).

    Reads that another sample has already are given to SAMPLE only where `--from` names that sample.
    """
    from labrelay.steps.assign import assign as run

    found = run(current_home(), dataset, sample, instead_of)
    if wants_json():
        emit(found.model_dump())
    else:
        click.echo(f"{found.label} is {found.sample} ({found.sample_id}) now; go on with: labrelay process FOLDER")
