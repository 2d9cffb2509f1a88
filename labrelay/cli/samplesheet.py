"""`labrelay samplesheet`: a version 2 sample sheet from an experiment's samples."""

from __future__ import annotations

from pathlib import Path

import click

from labrelay.cli.show import current_home, emit, json_option, table, wants_json
from labrelay.model.names import printable

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("experiment")
@click.option("--run-info", metavar="RunInfo.xml", type=FILE, help="the run's recipe, instrument and lanes")
@click.option(
    "--cycles", metavar="N,N,N,N", help="the recipe instead: read 1, index 1, index 2, read 2 (151,10,10,151)"
)
@click.option("--lane-map", metavar="CSV", type=FILE, help="columns sample and lane; without it all are in every lane")
@click.option(
    "--i5",
    type=click.Choice(["forward", "reverse-complement"]),
    help="how the second index is written, where the run does not say it",
)
@click.option("--mismatches", type=click.IntRange(0, 2), default=1, show_default=True, help="allowed in each index")
@click.option("--out", metavar="FILE", type=FILE, required=True, help="the sheet")
@json_option
def samplesheet(
    experiment: str,
    run_info: Path | None,
    cycles: str | None,
    lane_map: Path | None,
    i5: str | None,
    mismatches: int,
    out: Path,
) -> None:
    """Write a version 2 sample sheet for BCL Convert from the samples of EXPERIMENT and their barcodes.

    Refused are samples of a lane that could claim the same read, indexes longer than the recipe, and names that BCL
    Convert does not take (an alias is used where a sample has a fitting one). OverrideCycles comes from the recipe and
    the lengths of the indexes. Barcodes are taken as announced, the second index forward; it is turned only by --i5.
    """
    from labrelay.parsers.samplesheet_write import Orientation
    from labrelay.steps.samplesheet import Asked, write_sheet

    asked = Asked(run_info, cycles, lane_map, Orientation(i5) if i5 else None, mismatches)
    written = write_sheet(current_home(), experiment, out, asked)
    sheet = written.sheet
    if wants_json():
        emit(
            {
                "path": str(written.path),
                "samples": written.samples,
                "rows": sheet.rows,
                "lanes": list(written.lanes),
                "override_cycles": list(sheet.override_cycles),
                "index2": sheet.orientation.value if sheet.orientation else None,
                "index2_reason": written.reason,
                "mismatches": mismatches,
                "notes": list(sheet.notes),
            }
        )
        return
    rows = [
        ("sheet", str(written.path)),
        ("samples", str(written.samples)),
        ("lanes", " ".join(map(str, written.lanes)) or "all"),
        ("OverrideCycles", " | ".join(sheet.override_cycles)),
        ("mismatches", f"{mismatches} in each index"),
    ]
    table(["what", "value"], [(name, printable(value, 300)) for name, value in rows], "")
    if sheet.orientation:
        # A sentence that decides whether samples are found is not for a table, which cuts it.
        click.echo(printable(f"second index: {sheet.orientation.value}, {written.reason}", 500))
    for note in sheet.notes:
        click.echo(f"note: {note}")
