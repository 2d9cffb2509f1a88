"""`labrelay reads`: list, uris, activate, export, upload."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from labrelay.cli.show import current_home, emit, json_option, size_text, table, wants_json
from labrelay.model.names import on_one_line, printable
from labrelay.model.words import counted

if TYPE_CHECKING:
    from labrelay.steps.reads import ReadSetLine

Command = TypeVar("Command", bound=Callable[..., Any])
SHOWN = 50


@click.group()
def reads() -> None:
    """Read sets: list, uris, activate, export, upload."""


def _which(command: Command) -> Command:
    """Give a command the ways to say which read sets are meant."""
    for decorate in (
        click.option("--experiment", help="all reads of this experiment (name or id)"),
        click.option("--sample", help="all reads of this sample (name or id)"),
        click.argument("read_sets", metavar="[READ_SET]...", nargs=-1),
    ):
        command = decorate(command)
    return command


@reads.command("list")
@click.option("--sample", help="only this sample's (name or id)")
@click.option("--experiment", help="only this experiment's (name or id)")
@json_option
def list_read_sets(sample: str | None, experiment: str | None) -> None:
    """List the read sets on record, by sample and lane."""
    from labrelay.steps.reads import read_sets

    lines = read_sets(current_home(), sample=sample, experiment=experiment)
    if wants_json():
        emit([line.model_dump(mode="json") for line in lines])
        return
    rows = [
        (
            line.sample,
            line.read_set,
            line.file_type,
            line.lane,
            line.status if line.here else "in another store",
            ", ".join(line.files),
            size_text(line.size),
            line.instrument_run,
        )
        for line in lines
    ]
    header = ["sample", "read set", "type", "lane", "status", "files", "size", "run"]
    table(header, rows, "no reads yet; take a run in: labrelay process FOLDER")
    for line in lines:
        if line.reason:
            click.echo(f"{line.read_set}: {on_one_line(line.reason)}")


@reads.command()
@_which
@click.option("--engine", is_flag=True, help="what this home's engine is given (omics:// URIs) in place of s3:// ones")
@json_option
def uris(read_sets: tuple[str, ...], sample: str | None, experiment: str | None, engine: bool) -> None:
    """Print where the files of read sets are read, one a line, R1 before R2.

    From HealthOmics they are s3:// URIs that any program reads that may; from a folder they are paths.
    """
    from labrelay.steps.reads import in_store, places

    home = current_home()
    found = places(home, in_store(home, ids=read_sets, sample=sample, experiment=experiment))
    if wants_json():
        emit([each.model_dump(mode="json") for each in found])
        return
    for each in found:
        for uri in each.locations if engine or not each.s3 else each.s3:
            click.echo(uri)


@reads.command()
@_which
@json_option
def activate(read_sets: tuple[str, ...], sample: str | None, experiment: str | None) -> None:
    """Ask for archived reads, and say which cannot be read yet; typed again it says what has come.

    HealthOmics archives reads that nobody used for 30 days. A workflow run asks for its reads by itself.
    """
    from labrelay.steps.reads import activate as ask
    from labrelay.steps.reads import in_store

    home = current_home()
    lines = in_store(home, ids=read_sets, sample=sample, experiment=experiment)
    waiting = ask(home, lines)
    if wants_json():
        emit({"active": _ids([line for line in lines if line not in waiting]), "waiting": _ids(waiting)})
        return
    for line in waiting[:SHOWN]:
        click.echo(f"{line.read_set} ({printable(line.sample)}) is on its way from the archive")
    more = "; the same command says when the others have come" if waiting else ""
    click.echo(f"{counted(len(lines) - len(waiting), 'read set')} of {len(lines)} can be read{more}")


@reads.command()
@_which
@click.option("--to", "target", required=True, metavar="PLACE", help="s3://BUCKET/PREFIX; a folder if the store is one")
@click.option("--wait/--no-wait", default=True, show_default=True, help="until the files are there")
@json_option
def export(read_sets: tuple[str, ...], sample: str | None, experiment: str | None, target: str, wait: bool) -> int:
    """Copy read sets out of the read store, each to a place of its own below PLACE.

    Exit code 1 when some could not be exported.
    """
    from labrelay.cli.terminal import TerminalProgress
    from labrelay.steps.reads import export as run
    from labrelay.steps.reads import in_store

    with TerminalProgress() as progress:
        home = current_home(progress)
        lines = in_store(home, ids=read_sets, sample=sample, experiment=experiment)
        done = run(home, lines, target, wait=wait)
    if wants_json():
        failed = [{"read_set": read_set, "reason": reason} for read_set, reason in done.failed]
        jobs = [job.id for job in done.jobs if job.id]
        emit({"to": target, "exported": done.done, "going": done.going, "failed": failed, "jobs": jobs})
    else:
        for read_set, reason in done.failed[:SHOWN]:
            click.echo(f"failed {read_set}: {on_one_line(reason)}")
        if done.going:
            click.echo(f"{counted(len(done.going), 'read set')} on the way to {printable(target)}; wait: repeat it")
        if done.done:
            click.echo(f"{counted(len(done.done), 'read set')} exported to {printable(target)}")
    return 1 if done.failed else 0


@reads.command()
@click.argument("files", metavar="R1 [R2]", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--sample", required=True, help="whose reads they are: an announced sample (name or id)")
@click.option("--reference", help="what a CRAM or an aligned BAM was aligned to (name or id)")
@json_option
def upload(files: tuple[Path, ...], sample: str, reference: str | None) -> None:
    """Judge FASTQ, BAM or CRAM files and take them straight into the read store as one read set of a sample.

    For reads without an instrument run. No copy is kept in the object store; the files themselves stay as they are.
    The same files again are found, not sent again.
    """
    from labrelay.cli.terminal import TerminalProgress
    from labrelay.steps.upload_reads import upload as run

    with TerminalProgress() as progress:
        made = run(current_home(progress), files, sample, reference)
    if wants_json():
        emit(made.model_dump(mode="json"))
        return
    size = sum(ref.size for ref in made.source.files)
    names = printable(", ".join(ref.name for ref in made.source.files))
    click.echo(f"{made.id}  {printable(made.source.name)}: {names} ({size_text(size)}), {made.status}")
    click.echo(f"then: labrelay submit WORKFLOW --sample {printable(sample)}")


def _ids(lines: list[ReadSetLine]) -> list[str]:
    return [line.read_set for line in lines]
