"""`labrelay up` and `labrelay down`: the local Prefect server with its worker, schedules, forms and pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from labrelay.cli.show import emit, json_option, wants_json
from labrelay.model.words import counted

if TYPE_CHECKING:
    from labrelay.flows.server import Up


@click.command()
@click.option("--pool", metavar="NAME", help="register on this work pool of the server that answers; start nothing")
@json_option
def up(pool: str | None) -> None:
    """Start the local Prefect server and worker.

    They stay when the terminal is closed; `labrelay down` stops them. Commands then run as flows, schedules record
    results and deliver messages, and each workflow has a form. Nothing is reachable from another machine.
    """
    from labrelay.flows.server import up as start
    from labrelay.flows.server import up_on_pool
    from labrelay.steps.settings import find_home

    if pool is not None:
        _registered(up_on_pool(find_home(click.get_current_context().find_root().obj["home"]), pool), pool)
        return
    if not wants_json():
        click.echo("starting Prefect; the first time this takes up to half a minute …", err=True)
    done = start(find_home(click.get_current_context().find_root().obj["home"]))
    if wants_json():
        emit(done.model_dump())
    elif done.started:
        registered = counted(len(done.deployments), "deployment")
        click.echo(f"Prefect runs at {done.url}: {registered}, started in {done.seconds:.0f} s")
    else:
        click.echo(f"Prefect was running at {done.url}")


def _registered(done: Up, pool: str) -> None:
    if wants_json():
        emit(done.model_dump())
    else:
        click.echo(f"{counted(len(done.deployments), 'deployment')} stand on the work pool {pool} of {done.url}")


@click.command()
@click.option("--all", "runs_too", is_flag=True, help="stop the workflow runs on this machine too")
@json_option
def down(runs_too: bool) -> None:
    """Stop what `labrelay up` started; workflow runs go on and are recorded by the next command or `up`."""
    from labrelay.flows.server import down as stop
    from labrelay.steps.settings import find_home
    from labrelay.workflows.local.engine import LocalEngine

    home = find_home(click.get_current_context().find_root().obj["home"])
    stopped = stop(home)
    if runs_too and LocalEngine(home).stop() and not wants_json():
        click.echo("the local runner was stopped; its runs start again with the next command")
    if wants_json():
        emit({"stopped": stopped})
    else:
        click.echo("Prefect was stopped" if stopped else f"no Prefect server of {home} was running")
