"""Commands that look after what runs: deliver, sweep, reprocess, clean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from labrelay.cli.main_job import say, warn_root
from labrelay.cli.show import current_home, emit, json_option, records, size_text, wants_json
from labrelay.cli.tables import seconds_text
from labrelay.model.names import on_one_line, printable
from labrelay.model.words import counted

if TYPE_CHECKING:
    from labrelay.steps.reprocess import Item, Plan, Reprocessed

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
@click.option("--plan", "only_plan", is_flag=True, help="say what is out of date and why; run nothing")
@click.option("--limit", type=click.IntRange(1, ALL), help="at most so many runs now")
@click.option("--wait", is_flag=True, help="wait for them, and go on with those that wait for the first results")
@json_option
def reprocess(only_plan: bool, limit: int | None, wait: bool) -> int:
    """Run again exactly what is out of date: a newer workflow, a changed reference or rule, a corrected sample.

    Look at `labrelay reprocess --plan` first. Exit code 1 when something could not be planned or run.
    """
    from labrelay.cli.terminal import TerminalProgress
    from labrelay.flows.dispatch import run_as_flow
    from labrelay.steps.reprocess import plan
    from labrelay.steps.reprocess import reprocess as run

    with TerminalProgress() as progress:
        home = current_home(progress)
        planned = plan(home)
        done: Reprocessed | None = None
        if not only_plan and not planned.to_run:
            done = run(home, planned)  # nothing to start: no flow is needed to say so
        elif not only_plan:
            warn_root(progress)
            done = run_as_flow(
                home,
                "reprocess",
                lambda: run(home, planned, limit, wait=wait),
                lambda line: say(progress, line),
                at_most=limit or ALL,
                wait_for_results=wait,
            )
    if wants_json():
        emit(_reprocess_json(planned, done))
    else:
        _show_plan(planned)
        if done is None:
            if planned.to_run:
                click.echo("go on with: labrelay reprocess")
        else:
            _show_done(done)
    return 1 if planned.problems or (done is not None and done.failed) else 0


def _show_plan(planned: Plan) -> None:
    rows = [_item_row(item) for item in planned.items[:SHOWN]]
    header = ["sample", "workflow", "instead", "standing", "cpu", "run"]
    records(header, rows, "nothing is out of date")
    for item in planned.items[:SHOWN]:
        failure = f"; its replacement failed: {item.failure}" if item.failure else ""
        click.echo(on_one_line(f"{item.run_id}: {item.reason}{failure}"))
    for problem in planned.problems:
        click.echo(printable(f"not planned: {problem}", 400))
    if planned.items:
        click.echo(planned.sentence)


def _item_row(item: Item) -> dict[str, str | None]:
    names = item.samples[0] if len(item.samples) == 1 else f"{len(item.samples)} samples"
    return {
        "sample": names,
        "workflow": item.workflow,
        "instead": item.instead,
        "standing": item.standing,
        "cpu": seconds_text(item.cpu_seconds),
        "run": item.run_id,
    }


def _show_done(done: Reprocessed) -> None:
    for run_id, why in done.held[:SHOWN]:
        click.echo(printable(f"held {run_id}: {why}", 400))
    for what, why in done.failed:
        click.echo(on_one_line(f"failed {what}: {why}"))
    click.echo(
        f"submitted {done.new}, held {len(done.held)}" + ("; follow them with: labrelay status" if done.new else "")
    )


def _reprocess_json(planned: Plan, done: Reprocessed | None) -> dict[str, object]:
    told: dict[str, object] = {
        "items": [item.model_dump(mode="json") for item in planned.items],
        "to_run": planned.to_run,
        "expected_costs": [{**cost.model_dump(mode="json"), "usd": cost.usd} for cost in planned.costs],
        "problems": planned.problems,
        "replaced": planned.replaced,
    }
    if done is not None:
        held = [{"run": run, "reason": why} for run, why in done.held]
        failed = [{"what": what, "reason": why} for what, why in done.failed]
        told |= {"runs": done.runs, "new": done.new, "held": held, "failed": failed}
    return told


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
