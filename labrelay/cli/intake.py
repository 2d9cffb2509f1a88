"""Commands that take things in: announce, inspect, ingest, assign."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labrelay.cli.show import current_home, emit, json_option, records, size_text, table, wants_json
from labrelay.model.words import counted

if TYPE_CHECKING:
    from labrelay.model.instrument import InstrumentRun

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
    `experiment`, `aliases` (separated by ;), `barcode` (ACGT or ACGT+TGCA), `subject`, `assay` and `project` are
    understood, further ones are kept as they are. Case, spaces and dashes in a heading do not matter (`Sample ID`).
    """
    from labrelay.model.errors import UsageError
    from labrelay.steps.announce import announce as run

    if correct and not reason:
        raise click.UsageError("--correct needs a --reason: it goes on record")
    home = current_home()
    if not table_file.is_file():
        raise UsageError(f"there is no file {table_file}")
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


@click.command()
@click.argument("folder", type=FOLDER)
@json_option
def inspect(folder: Path) -> None:
    """Say in one screen what a folder is: run, instrument, samples, files by role, completion, every warning.

    It needs no home and changes nothing.
    """
    from labrelay.model.errors import UsageError
    from labrelay.parsers.registry import detect, read_run

    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}")
    run = read_run(folder)
    if wants_json():
        emit(run.model_dump(mode="json"))
        return
    evidence = next((d.evidence for d in detect(folder) if d.platform == run.platform), ())
    facts = [
        ("platform", " ".join(p for p in (run.platform, run.instrument_model, run.instrument_serial) if p)),
        ("seen by", ", ".join(evidence)),
        ("run", run.run_id),
        ("flow cell", run.flow_cell),
        ("started", run.started_text or run.started),
        ("recipe", " ".join(f"{r.cycles}{' index' if r.is_index else ''}" for r in run.reads)),
        *((name, f"{fact.value}{f' ({fact.evidence})' if fact.evidence else ''}") for name, fact in run.completion),
    ]
    table(["what", "value"], [(name, str(value) if value else None) for name, value in facts], "")
    click.echo()
    roles = sorted({file.role.value for file in run.files})
    of_role = {role: [f for f in run.files if f.role.value == role] for role in roles}
    table(["files", "number", "size"], [(r, len(f), size_text(sum(x.size for x in f))) for r, f in of_role.items()], "")
    click.echo()
    _show_samples(run)
    if run.problems:
        click.echo()
        for problem in run.problems:
            click.echo(f"{problem.severity}: {problem}")


def _show_samples(run: InstrumentRun) -> None:
    """Print the sheet's rows, and below them the samples that only the names of files tell of."""
    files = Counter(file.sample for file in run.files)
    listed = [(s.sample_id, s.name, s.lane, s.barcode or s.index, s.project, files[s.sample_id]) for s in run.samples]
    known = {sample.sample_id for sample in run.samples}
    unlisted = [(label, None, None, None, None, files[label]) for label in run.sample_labels if label not in known]
    header = ["sample", "name", "lane", "index", "project", "files"]
    if not listed:
        header, unlisted_rows = ["sample", "files"], [(row[0], row[-1]) for row in unlisted]
        table(header, unlisted_rows, "neither a sample sheet nor a file names any sample")
    else:
        table(header, [*listed, *unlisted], "")


@click.command()
@click.argument("folder", type=FOLDER)
@click.option("--assume-complete", is_flag=True, help="take it though its completion marker is missing")
@json_option
def ingest(folder: Path, assume_complete: bool) -> None:
    """Store an instrument run's files and judge its reads; nothing is stored twice."""
    from labrelay.cli.terminal import TerminalProgress
    from labrelay.steps.process import take_in

    with TerminalProgress() as progress:
        run, stored = take_in(current_home(progress), folder, assume_complete=assume_complete)
    if wants_json():
        emit({"id": run.id, "run_id": run.run_id, "stored": stored, "files": len(run.files)})
    else:
        click.echo(
            f"{run.id}: {stored} of {counted(len(run.files), 'file')} stored now; go on with: labrelay process {folder}"
        )


@click.command()
@click.argument("dataset")
@click.argument("sample")
@json_option
def assign(dataset: str, sample: str) -> None:
    """Say whose reads an unassigned DATASET (id or label) holds: SAMPLE (id or name)."""
    from labrelay.steps.assign import assign as run

    found = run(current_home(), dataset, sample)
    if wants_json():
        emit(found.model_dump())
    else:
        click.echo(f"{found.label} is {found.sample} ({found.sample_id}) now; go on with: labrelay process FOLDER")
