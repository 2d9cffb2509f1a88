"""`labrelay catalogue`: check, publish, search."""

from __future__ import annotations

import click

from labrelay.cli.show import current_home, emit, json_option, table, wants_json
from labrelay.model.names import printable
from labrelay.model.words import counted


@click.group()
def catalogue() -> None:
    """Publish results to a catalogue outside (Amazon DataZone), and find them there."""


@catalogue.command()
@json_option
def check() -> None:
    """Say what is published to and whether it works; form type, asset types and terms are made where missing."""
    from labrelay.steps.catalogue import catalogue_of

    said = list(catalogue_of(current_home()).check())
    if wants_json():
        emit({"checked": said})
        return
    for line in said:
        click.echo(printable(line, 400))


@catalogue.command()
@click.argument("runs", nargs=-1, metavar="[RUN]…")
@click.option("--all", "everything", is_flag=True, help="all results that there are")
@json_option
def publish(runs: tuple[str, ...], everything: bool) -> None:
    """Publish results now, also such as were recorded before there was a catalogue; again changes nothing.

    RUN is a workflow run's id or the beginning of one. What is recorded from now on is published by itself.
    """
    from labrelay.steps.catalogue import publish_all
    from labrelay.steps.listing import find_run

    if bool(runs) == everything:
        raise click.UsageError("name the runs whose results are published, or --all")
    home = current_home()
    with home.records.read() as session:
        wanted = None if everything else [find_run(session, run).id for run in runs]
    done = list(publish_all(home, wanted))
    if wants_json():
        emit([{"id": entry.id, "kind": entry.kind, **told.model_dump(mode="json")} for entry, told in done])
        return
    rows = [
        (entry.kind, entry.name, "published" if told.changed else "as it was", told.asset_id) for entry, told in done
    ]
    table(["kind", "name", "", "asset"], rows, "there are no results yet")
    changed = sum(told.changed for _entry, told in done)
    click.echo(f"{counted(changed, 'entry', 'entries')} written, {len(done) - changed} as they were")


@catalogue.command()
@click.argument("text", nargs=-1, required=True)
@click.option("--limit", type=click.IntRange(1, 1000), default=30, show_default=True, help="at most so many")
@json_option
def search(text: tuple[str, ...], limit: int) -> None:
    """Find what is published, by words. `labrelay search` finds everything in this home."""
    from labrelay.steps.catalogue import catalogue_of

    asked = " ".join(text)
    found = catalogue_of(current_home()).search(asked, limit)
    if wants_json():
        emit([each.model_dump(mode="json") for each in found])
        return
    rows = [(each.kind, each.name, each.entity_id, each.asset_id) for each in found]
    table(["kind", "name", "id", "asset"], rows, f"nothing published fits {printable(asked)}")
