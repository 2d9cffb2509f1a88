"""Commands that look after what runs: deliver, sweep, clean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from labrelay.cli.main_job import say
from labrelay.cli.show import current_home, emit, json_option, size_text, wants_json
from labrelay.model.names import printable
from labrelay.model.words import counted

if TYPE_CHECKING:
    pass

SHOWN = 50
ALL = 10_000  # the most that a flow's form takes


@click.command()
@json_option
def deliver() -> int:
    """Tell the notebook and people what waits to be told.

    Exit code 1 when messages were given up; what was wrong stands beside each.
    """
    from labrelay.cli.terminal import TerminalProgress
    from labrelay.flows.dispatch import run_as_flow
    from labrelay.steps.deliver import Delivered
    from labrelay.steps.deliver import deliver as run
    from labrelay.steps.overview import open_messages

    with TerminalProgress() as progress:
        home = current_home(progress)
        done: Delivered = run_as_flow(home, "deliver", lambda: run(home), lambda line: say(progress, line))
    left = open_messages(home, SHOWN)
    if wants_json():
        told = {"delivered": done.confirmed, "waiting": done.waiting, "given_up": done.dead}
        emit({**told, "messages": [message.model_dump() for message in left]})
    else:
        click.echo(f"{counted(done.confirmed, 'message')} delivered, {done.waiting} waiting, {done.dead} given up")
        for message in left:
            why = f": {message.error}" if message.error else ""
            state = "given up" if message.state == "dead" else f"due {message.not_before[:16].replace('T', ' ')} UTC"
            click.echo(printable(f"  {message.channel} {message.kind} of {message.entity}, {state}{why}", 400))
    return 1 if done.dead else 0


@click.command()
@json_option
def sweep() -> int:
    """Settle what events missed: record ended runs, find lost ones, finish imports, free what dead processes held."""
    from dataclasses import asdict

    from labrelay.cli.terminal import TerminalProgress
    from labrelay.flows.dispatch import run_as_flow
    from labrelay.steps.sweep import Swept
    from labrelay.steps.sweep import sweep as run

    with TerminalProgress() as progress:
        home = current_home(progress)
        swept: Swept = run_as_flow(home, "sweep", lambda: run(home), lambda line: say(progress, line))
    if wants_json():
        emit(asdict(swept))
    else:
        click.echo(swept.sentence)
        for problem in swept.problems:
            click.echo(printable(f"  {problem}", 400))
    return 1 if swept.problems else 0


@click.command()
@click.option("--plan", "only_plan", is_flag=True, help="say what may go and why; remove nothing")
@json_option
def clean(only_plan: bool) -> int:
    """Remove work folders and caches of runs that were recorded long enough ago (`keep_work_days`).

    Data, results, records and logs of live runs are never touched. Exit code 1 when something could not be removed.
    """
    from labrelay.steps.clean import clean as run
    from labrelay.steps.clean import plan_clean

    home = current_home()
    leftovers = plan_clean(home)
    done = None if only_plan else run(home, leftovers)
    rows = [
        {"path": str(each.path.relative_to(home.path)), "size": each.size, "reason": each.reason} for each in leftovers
    ]
    if wants_json():
        told = {} if done is None else {"removed": done.removed, "freed": done.freed, "problems": done.problems}
        emit({"plan": rows, **told})
        return 1 if done is not None and done.problems else 0
    if only_plan:
        for each in leftovers[:SHOWN]:
            path = printable(str(each.path.relative_to(home.path)))
            click.echo(f"{size_text(each.size):>9}  {path}: {printable(each.reason)}")
        more = f", {len(rows) - SHOWN} of them not shown" if len(rows) > SHOWN else ""
        total = size_text(sum(each.size for each in leftovers))
        click.echo(f"{len(rows)} may go ({total}){more}: labrelay clean" if rows else "there is nothing to remove")
    if done is not None:
        click.echo(done.sentence)
        for problem in done.problems:
            click.echo(printable(f"  {problem}", 400))
    return 1 if done is not None and done.problems else 0
