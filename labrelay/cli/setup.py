"""Commands that set up and look after an installation: init, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from labrelay.cli.show import emit, json_option, table, wants_json

if TYPE_CHECKING:
    from labrelay.steps.doctor import Finding

MARKS = {"ok": "ok", "note": "note", "broken": "BROKEN"}


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@json_option
def init(folder: Path | None) -> None:
    """Make a home folder: settings, rules, and in time records, reads and results."""
    from labrelay.steps.home import init_home
    from labrelay.steps.settings import find_home

    home = find_home(folder or click.get_current_context().find_root().obj["home"])
    made = init_home(home)
    if wants_json():
        emit({"home": str(home), "made": made})
        return
    click.echo(f"{home} {'is ready' if made else 'was there and stays as it is'}")
    if home != find_home():
        click.echo(f"tell the other commands: export LABRELAY_HOME={home}")
    click.echo("then:")
    click.echo("  labrelay doctor                          what works here, and what is missing")
    click.echo("  labrelay reference add FILE --name NAME  a genome to compare with")
    click.echo("  labrelay announce samples.csv            tell of an experiment and its samples")
    click.echo(f"  edit {home / 'rules.toml'} and try it: labrelay rules test FOLDER")
    click.echo("  labrelay process FOLDER                  take an instrument run to its results")


@click.command()
@json_option
def doctor() -> int:
    """Say what is configured, what works, what is missing and how to get it.

    Exit code 1 when something that is needed is broken.
    """
    from labrelay.steps.doctor import Health, examine
    from labrelay.steps.settings import find_home

    home = find_home(click.get_current_context().find_root().obj["home"])
    settings, findings = examine(home)
    findings = [*findings, _server(home)]
    if wants_json():
        emit(
            {
                "home": str(home),
                "settings": [each.model_dump() for each in settings],
                "findings": [each.model_dump(mode="json") for each in findings],
            }
        )
    else:
        if settings:
            table(
                ["setting", "value", "from", "meaning"], [(s.name, s.value, s.source, s.meaning) for s in settings], ""
            )
            click.echo()
        for each in findings:
            click.echo(f"{MARKS[each.health.value]:<7} {each.what:<12} {each.text}")
            if each.fix:
                click.echo(f"{'':<20} → {each.fix}")
        broken = sum(each.health is Health.BROKEN for each in findings)
        click.echo(f"\nto be mended: {broken}" if broken else "\neverything that is needed works")
    return 1 if any(each.health is Health.BROKEN for each in findings) else 0


def _server(home: Path) -> Finding:
    from labrelay.flows.running import read_server, running
    from labrelay.steps.doctor import Finding, Health

    api = running(home)
    if api is not None:
        return Finding(what="prefect", health=Health.OK, text=f"the home's server answers at {api}")
    if read_server(home) is not None:
        said = "a server was started and does not answer: commands run directly"
        return Finding(what="prefect", health=Health.NOTE, text=said, fix="labrelay down, then labrelay up")
    said = "no server runs: commands run directly, nothing happens on a schedule"
    return Finding(what="prefect", health=Health.NOTE, text=said, fix="labrelay up")
