"""`labrelay demultiplex`: reads of an Illumina run's raw base calls."""

from __future__ import annotations

from pathlib import Path

import click

from labrelay.cli.show import current_home, emit, json_option, wants_json
from labrelay.model.names import printable
from labrelay.model.words import counted

FOLDER = click.Path(path_type=Path)


@click.command()
@click.argument("folder", type=FOLDER)
@click.option("--out", metavar="FOLDER", type=FOLDER, required=True, help="the run folder with reads to make")
@click.option("--sheet", metavar="CSV", type=FOLDER, help="a sample sheet in place of the folder's own")
@click.option(
    "--by",
    "converter",
    type=click.Choice(["bcl-convert", "picard"]),
    help="which converter (else the first that is here)",
)
@click.option("--assume-complete", is_flag=True, help="take it though its completion marker is missing")
@json_option
def demultiplex(folder: Path, out: Path, sheet: Path | None, converter: str | None, assume_complete: bool) -> None:
    """Make reads by sample of the raw base calls (BCL) in FOLDER, an Illumina run folder.

    Illumina's bcl-convert does it where it is on PATH, else Picard. The folder that --out names gets the reads, what
    the converter counted, and what describes the run, so that `labrelay process` takes it as this run. FOLDER is left
    as it is. Repeat the command after whatever stopped it; done already, it changes nothing.
    """
    from labrelay.cli.terminal import TerminalProgress
    from labrelay.steps.demultiplex import demultiplex as convert

    with TerminalProgress() as progress:
        home = current_home(progress)
        made = convert(home, folder, out, sheet, converter, assume_complete=assume_complete)
    if wants_json():
        emit(
            {
                "folder": str(made.folder),
                "run": made.run_id,
                "converter": made.converter,
                "samples": made.samples,
                "lanes": list(made.lanes),
                "files_of_reads": made.reads,
                "notes": list(made.notes),
                "already": made.already,
            }
        )
        return
    what = "was there already" if made.already else "made"
    files = counted(made.reads, "file of reads", "files of reads")
    click.echo(f"{files} of {counted(made.samples, 'sample')} in {printable(str(made.folder), 300)} ({what})")
    for note in made.notes:
        click.echo(f"note: {note}")
    click.echo(f"next: labrelay process {printable(str(made.folder), 300)}")
