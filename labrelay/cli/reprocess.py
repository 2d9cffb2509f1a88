"""`labrelay reprocess`: what is out of date, plans of reruns, and how they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from labrelay.cli.main_job import say
from labrelay.cli.show import current_home, emit, json_option, records, since_option, table, wants_json
from labrelay.cli.tables import seconds_text
from labrelay.model.names import on_one_line, printable
from labrelay.model.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from labrelay.records.plans import Bounds
    from labrelay.records.stale import Wanted
    from labrelay.steps.home import Home
    from labrelay.steps.reprocess import Item, Plan
    from labrelay.steps.reprocess_plans import Expected, Made, PlanLine
    from labrelay.steps.reprocess_run import Reprocessed

SHOWN = 50
CAUSE_NAMES = ("workflow", "reference", "rule", "sample", "reads")
NEW_PLAN = ("cause", "workflow", "experiment", "since", "limit", "budget", "at_once", "stop_after")
TAKEN = {
    "only_plan": NEW_PLAN,
    "run_id": ("wait",),
    "resume_id": ("budget", "wait"),
    "drop_id": (),
}  # what goes with each of the four things


def _narrowing(command: Callable[..., int | None]) -> Callable[..., int | None]:
    for option in (
        since_option("only what became out of date then or later"),
        click.option("--experiment", help="only this experiment's results (name or id)"),
        click.option("--workflow", metavar="NAME", help="only results of this workflow"),
        click.option("--cause", type=click.Choice(CAUSE_NAMES), help="only what is out of date for this"),
    ):
        command = option(command)
    return command


@click.group(invoke_without_command=True)
@click.option("--plan", "only_plan", is_flag=True, help="say what is out of date and why, keep the plan; run nothing")
@click.option("--run", "run_id", metavar="PLAN", help="run exactly what this plan has shown")
@click.option("--resume", "resume_id", metavar="PLAN", help="go on with a plan that is held or out of date")
@click.option("--drop", "drop_id", metavar="PLAN", help="end a plan; what it has under way goes on")
@_narrowing
@click.option("--limit", type=click.IntRange(1), help="a plan of at most so many runs")
@click.option("--budget", type=click.FloatRange(0, min_open=True), metavar="USD", help="at most so much money")
@click.option(
    "--at-once", type=click.IntRange(1), default=20, show_default=True, help="so many of its runs live at once"
)
@click.option(
    "--stop-after", type=click.IntRange(1), default=2, show_default=True, help="equal failures in a row that hold it"
)
@click.option("--wait", is_flag=True, help="wait until the plan has ended or is held")
@json_option
@click.pass_context
def reprocess(
    ctx: click.Context,
    only_plan: bool,
    run_id: str | None,
    resume_id: str | None,
    drop_id: str | None,
    cause: str | None,
    workflow: str | None,
    experiment: str | None,
    since: str | None,
    limit: int | None,
    budget: float | None,
    at_once: int,
    stop_after: int,
    wait: bool,
) -> int | None:
    """Run again exactly what is out of date: a newer workflow, a changed reference or rule, a corrected sample.

    Look at `labrelay reprocess --plan` first, then `--run` it. Exit code 1 when something could not be planned or run.
    """
    if ctx.invoked_subcommand is not None:
        return None
    if sum(map(bool, (only_plan, run_id, resume_id, drop_id))) > 1:
        raise click.UsageError("--plan, --run, --resume and --drop are four things: ask for one of them")
    _refuse_others(ctx)
    from labrelay.records.plans import Bounds
    from labrelay.records.stale import Wanted

    if drop_id:
        return _drop(drop_id)
    if run_id or resume_id:
        return _go_on(run_id, resume_id, budget, wait)
    wanted = Wanted.model_validate({"cause": cause, "workflow": workflow, "experiment": experiment, "since": since})
    bounds = Bounds(runs=limit, usd=budget, at_once=at_once, stop_after=stop_after)
    return _plan(wanted, bounds) if only_plan else _plan_and_run(wanted, bounds, wait)


def _refuse_others(ctx: click.Context) -> None:
    """Refuse what does not go with the thing that is asked for: a bound that holds nothing must not look like one."""
    for asked, taken in TAKEN.items():
        others = [name for name in (*NEW_PLAN, "wait") if name not in taken]
        given = [name for name in others if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT]
        if ctx.params[asked] and given:
            names = ", ".join("--" + name.replace("_", "-") for name in given)
            what = asked.removesuffix("_id").removeprefix("only_")
            why = "a kept plan has its bounds from when it was made" if given != ["wait"] else "it does not wait"
            raise click.UsageError(f"{names} does not go with --{what}: {why}")


def _plan(wanted: Wanted, bounds: Bounds) -> int:
    from labrelay.steps.reprocess import plan
    from labrelay.steps.reprocess_plans import make

    home = current_home()
    planned = plan(home, wanted)
    made = make(home, planned, bounds, wanted)
    if wants_json():
        emit(_plan_json(planned, made))
    else:
        _show_plan(planned)
        if made.id is not None:
            _show_expected(made.expected, bounds.at_once)
            click.echo(f"go on with: labrelay reprocess --run {made.id}")
    return 1 if planned.problems else 0


def _plan_and_run(wanted: Wanted, bounds: Bounds, wait: bool) -> int:
    from labrelay.cli.terminal import TerminalProgress
    from labrelay.steps.reprocess import plan
    from labrelay.steps.reprocess_run import begin

    with TerminalProgress() as progress:
        home = current_home(progress)
        planned = plan(home, wanted)
        ids, made = begin(home, planned, bounds, wanted)
        done = _work(home, ids, wait, lambda line: say(progress, line))
        done.held += made.held
    if wants_json():
        emit(_plan_json(planned, made) | _done_json(done))
    else:
        _show_plan(planned)
        _show_done(done)
    return 1 if planned.problems or done.failed else 0


def _go_on(run_id: str | None, resume_id: str | None, budget: float | None, wait: bool) -> int:
    from labrelay.cli.terminal import TerminalProgress
    from labrelay.steps.reprocess_run import resume, start

    with TerminalProgress() as progress:
        home = current_home(progress)
        plan_id = resume(home, resume_id, budget) if resume_id else start(home, run_id or "")
        done = _work(home, [plan_id], wait, lambda line: say(progress, line))
    if wants_json():
        emit(_done_json(done))
    else:
        _show_done(done)
    return 1 if done.failed else 0


def _work(home: Home, ids: list[str], wait: bool, tell: Callable[[str], object]) -> Reprocessed:
    """Move plans on, as a flow where a server answers; without any plan there is no flow to say so."""
    from labrelay.flows.dispatch import run_as_flow
    from labrelay.steps.reprocess_run import work_all

    if not ids:
        return work_all(home, ids)
    return run_as_flow(
        home, "reprocess", lambda: work_all(home, ids, wait=wait), tell, plans=ids, wait_for_results=wait
    )


def _drop(plan_id: str) -> int:
    from labrelay.steps.reprocess_plans import status as status_of
    from labrelay.steps.reprocess_run import drop

    home = current_home()
    (line,) = status_of(home, drop(home, plan_id))
    if wants_json():
        emit(line.model_dump(mode="json"))
    else:
        click.echo(f"{line.id} was dropped: {line.reason}")
    return 0


def _show_plan(planned: Plan) -> None:
    rows = [_item_row(item) for item in planned.items[:SHOWN]]
    records(["sample", "workflow", "instead", "standing", "cpu", "run"], rows, "nothing is out of date")
    for item in planned.items[:SHOWN]:
        failure = f"; its replacement failed: {item.failure}" if item.failure else ""
        click.echo(on_one_line(f"{item.run_id}: {item.reason}{failure}"))
    if len(planned.items) > SHOWN:
        click.echo(f"… and {len(planned.items) - SHOWN:,} more; all of them with --json")
    for problem in planned.problems:
        click.echo(printable(f"not planned: {problem}", 400))
    if planned.items:
        click.echo(planned.sentence)


def _show_expected(expected: Expected, at_once: int) -> None:
    click.echo()
    for group in expected.groups:
        cost = "cost not known" if group.usd is None else f"about ${group.usd:.2f}"
        results, runs = counted(group.results, "result"), counted(group.runs, "run")
        click.echo(f"{group.title}: {results}, {runs}, {cost}")
        for reason, count in group.reasons:
            click.echo(on_one_line(f"  {count:,} × {reason}"))
    if expected.seconds is None:
        click.echo("how long it takes is not known: no such run has ended yet")
    else:
        click.echo(f"by the clock about {seconds_text(expected.seconds)}, with {at_once} runs at one time")
    if expected.left_out:
        click.echo(f"{counted(expected.left_out, 'run')} left out: {expected.left_out_why}")


def _item_row(item: Item) -> dict[str, str | None]:
    names = item.samples[0] if len(item.samples) == 1 else f"{len(item.samples)} samples"
    return {
        "sample": names,
        "workflow": item.workflow,
        "instead": item.instead,
        "standing": item.standing if item.plan is None else f"in {item.plan}",
        "cpu": seconds_text(item.cpu_seconds),
        "run": item.run_id,
    }


def _show_done(done: Reprocessed) -> None:
    for run_id, why in done.held[:SHOWN]:
        click.echo(printable(f"held {run_id}: {why}", 400))
    for what, why in done.failed:
        click.echo(on_one_line(f"failed {what}: {why}"))
    if done.plan is not None:
        reason = f": {done.reason}" if done.reason else ""
        click.echo(printable(f"{done.plan} is {done.state}{reason}", 400))
        if done.state == "held":
            click.echo(f"when that is settled: labrelay reprocess --resume {done.plan}")
    click.echo(
        f"submitted {done.new}, held {len(done.held)}"
        + ("; follow them with: labrelay reprocess status" if done.new else "")
    )


def _plan_json(planned: Plan, made: Made) -> dict[str, object]:
    return {
        "plan": made.id,
        "expected": made.expected.model_dump(mode="json"),
        "items": [item.model_dump(mode="json") for item in planned.items],
        "to_run": planned.to_run,
        "expected_costs": [{**cost.model_dump(mode="json"), "usd": cost.usd} for cost in planned.costs],
        "problems": planned.problems,
        "replaced": planned.replaced,
    }


def _done_json(done: Reprocessed) -> dict[str, object]:
    held = [{"run": run, "reason": why} for run, why in done.held]
    failed = [{"what": what, "reason": why} for what, why in done.failed]
    state = {"plan": done.plan, "state": done.state, "reason": done.reason} if done.plan else {}
    return {**state, "runs": done.runs, "new": done.new, "held": held, "failed": failed}


@reprocess.command()
@click.argument("plan", required=False)
@json_option
def status(plan: str | None) -> None:
    """Say how plans stand; of one plan, how each of its runs does and why it is there."""
    from labrelay.steps.reprocess_plans import status as status_of

    lines = status_of(current_home(), plan)
    if wants_json():
        emit([line.model_dump(mode="json") for line in lines])
        return
    header = ["plan", "state", "planned", "submitted", "done", "failed", "skipped", "made", "by"]
    table(header, [_status_row(line) for line in lines], "there are no plans: labrelay reprocess --plan")
    for line in lines:
        if line.reason:
            click.echo(on_one_line(f"{line.id}: {line.reason}"))
    if plan is not None:
        _show_items(lines[0])


def _status_row(line: PlanLine) -> list[str | int]:
    counts = [line.counts.get(state, 0) for state in ("planned", "submitted", "done", "failed", "skipped")]
    return [line.id, line.state, *counts, line.created_at[:16].replace("T", " "), line.created_by]


def _show_items(line: PlanLine) -> None:
    spent = "" if line.usd_spent is None else f"; ${line.usd_spent:.2f} spent"
    budget = "" if line.budget_usd is None else f" of ${line.budget_usd:.2f}"
    click.echo(f"{line.at_once} at one time, held after {line.stop_after} equal failures{spent}{budget}\n")
    rows = [(step.subject, step.workflow, step.state, step.run_id) for step in line.items[:SHOWN]]
    table(["sample", "workflow", "state", "run"], rows, "it has no runs")
    for step in line.items[:SHOWN]:
        failure = f"; {step.failure}" if step.failure else ""
        click.echo(on_one_line(f"{step.run_id}: {step.because}{failure}"))
    if len(line.items) > SHOWN:
        click.echo(f"… and {len(line.items) - SHOWN:,} more; all of them with --json")


@reprocess.command()
@_narrowing
@json_option
def stale(cause: str | None, workflow: str | None, experiment: str | None, since: str | None) -> None:
    """List what was marked out of date, by cause; `--plan` compares anew and marks."""
    from labrelay.records.stale import CAUSES, Wanted, by_cause
    from labrelay.records.stale import stale as marked

    wanted = Wanted.model_validate({"cause": cause, "workflow": workflow, "experiment": experiment, "since": since})
    with current_home().records.read() as session:
        found, counts = marked(session, wanted), by_cause(session, wanted)
    if wants_json():
        emit([each._asdict() for each in found])
        return
    for name, count in counts.items():
        click.echo(f"{CAUSES[name]} ({name}): {counted(count, 'result')}")
    rows = [(each.run_id, each.cause, each.since[:10], each.sentence) for each in found[:SHOWN]]
    table(
        ["run", "cause", "since", "why"], rows, "nothing is marked out of date: labrelay reprocess --plan compares anew"
    )
    if len(found) > SHOWN:
        click.echo(f"… and {len(found) - SHOWN:,} more; all of them with --json")
