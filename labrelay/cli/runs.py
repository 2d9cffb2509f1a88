"""`labrelay runs`: list, show, logs, cancel, retry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from labrelay.cli.show import cell_text, current_home, emit, json_option, size_text, table, wants_json
from labrelay.cli.tables import seconds_text, show_runs, when_text
from labrelay.model.names import on_one_line, printable

if TYPE_CHECKING:
    from labrelay.model.runs import CostItem
    from labrelay.steps.listing import RunLine
    from labrelay.steps.run_details import AttemptLine, FileLine, RunDetails

# As model.states has them; pydantic is not imported to print a help text.
STATES = (
    "QUEUED",
    "INITIALIZING",
    "RUNNING",
    "CANCELING",
    "UNKNOWN",
    "COMPLETE",
    "EXECUTOR_ERROR",
    "SYSTEM_ERROR",
    "CANCELED",
)


@click.group()
def runs() -> None:
    """Workflow runs: list, show, logs, cancel, retry."""


@runs.command("list")
@click.option("--state", type=click.Choice(STATES, case_sensitive=False), help="only those in this state")
@click.option("--failed", is_flag=True, help="only those that ended without a result")
@click.option("--workflow", help="only those of this workflow")
@click.option("--sample", help="only those about this sample (name or id)")
@click.option("--experiment", help="only those of this experiment (name or id)")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="at most so many")
@json_option
def list_runs(
    state: str | None, failed: bool, workflow: str | None, sample: str | None, experiment: str | None, limit: int
) -> None:
    """List workflow runs, the newest first."""
    from labrelay.model.states import RunState
    from labrelay.steps.listing import runs as listed

    states = [RunState(state)] if state else [RunState.EXECUTOR_ERROR, RunState.SYSTEM_ERROR] if failed else []
    lines = listed(
        current_home(), states=states, workflow=workflow, sample=sample, experiment=experiment, limit=limit + 1
    )
    if wants_json():
        emit([line.model_dump(mode="json") for line in lines[:limit]])
        return
    show_runs(lines[:limit], "no workflow run fits; go on with: labrelay process FOLDER")
    for line in lines[:limit]:
        if failed and line.reason:
            click.echo(f"{line.run}: {on_one_line(line.reason)}")
    if len(lines) > limit:
        click.echo(f"… there are more: --limit {2 * limit}")


@runs.command()
@click.argument("run")
@json_option
def show(run: str) -> None:
    """Show one workflow run in full: attempts, tasks, files, why it failed, where its logs are.

    RUN is an id (`run_…`), or the beginning of one.
    """
    from labrelay.steps.run_details import details

    home = current_home()
    found = details(home, run)
    if wants_json():
        emit(found.model_dump(mode="json"))
        return
    facts = _facts(found, str(home.path / "results" / found.line.result_path))
    table(["what", "value"], [(name, value) for name, value in facts if value], "")
    for attempt in found.attempts:
        click.echo()
        _show_attempt(attempt)
    for name, files in (("input", found.inputs), ("output", found.outputs)):
        click.echo()
        _show_files(name, files)
    if found.line.state.value in ("EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED"):
        click.echo(f"\nlook: labrelay runs logs {found.line.run}; then: labrelay runs retry {found.line.run}")


def _facts(found: RunDetails, result: str) -> list[tuple[str, str | None]]:
    line = found.line
    parameters = ", ".join(f"{name}={value}" for name, value in found.parameters.items())
    return [
        ("run", line.run),
        ("sample", line.sample),
        ("experiment", line.experiment),
        ("workflow", line.workflow),
        ("on", line.engine),
        ("state", line.state.value + ("" if line.recorded or not line.state.terminal else ", not recorded yet")),
        ("failure", line.reason),
        ("verdict", line.verdict.value),
        ("out of date", line.stale),
        ("replaced by", found.replaced_by),
        ("reference", found.reference),
        ("parameters", parameters),
        ("rule", found.rule),
        ("asked", f"{when_text(line.asked)} UTC by {found.asked_by}"),
        ("took", f"{seconds_text(line.seconds)}{f' (attempt {line.attempts})' if line.attempts > 1 else ''}"),
        ("generation", str(found.generation) if found.generation else None),
        ("result", result if line.state.value == "COMPLETE" else None),
    ]


def _cost_text(costs: Sequence[CostItem]) -> str:
    """Return what was used, in dollars where a price is known; what has none is told by its quantity."""
    known = [item for item in costs if item.usd is not None]
    told = [f"{item.what} {item.usd:.4f} $" for item in known if item.usd]
    told += [f"{item.what} {item.quantity:.4g} {item.unit}" for item in costs if item.usd is None]
    total = f"{sum(item.usd or 0 for item in known):.4f} $" if known else "no price is known"
    return f"{total} ({', '.join(told)})" if told else total


def _show_attempt(attempt: AttemptLine) -> None:
    ran = ", ".join(part for part in (attempt.engine, attempt.sandbox) if part)
    click.echo(
        f"attempt {attempt.number}: {attempt.state.value}, {when_text(attempt.at)} UTC, "
        f"{seconds_text(attempt.seconds)}{f', {ran}' if ran else ''}"
    )
    rows = [
        (
            task.name,
            task.state.value + (" (cached)" if task.cached else ""),
            seconds_text(task.seconds),
            seconds_text(task.cpu_seconds),
            None if task.peak_memory_bytes is None else size_text(task.peak_memory_bytes),
            task.exit_code,
            task.ran_in,
        )
        for task in attempt.tasks
    ]
    table(["task", "state", "took", "cpu", "peak memory", "exit", "in"], rows, "no tasks are on record")
    if attempt.costs:
        click.echo(f"cost: {_cost_text(attempt.costs)}")
    for advice in attempt.advice:
        used = f"{advice.used:.2g} of {advice.reserved:.3g} {advice.unit} {advice.resource}"
        click.echo(f"hardly used: {advice.task}, {used}: {advice.suggestion}")
    for log in attempt.logs:
        click.echo(f"log: {log}")


def _show_files(what: str, files: tuple[FileLine, ...]) -> None:
    for file in files:
        index = f"[{file.index}]" if file.index else ""
        click.echo(f"{what} {file.name}{index}: {printable(file.key)} ({size_text(file.size)}, {file.id})")


@runs.command()
@click.argument("run")
@click.option("--task", metavar="NAME", help="what this task wrote to its standard error")
@json_option
def logs(run: str, task: str | None) -> None:
    """Print the newest attempt's log and the last words of the tasks that failed, or one task's own words."""
    from labrelay.steps.run_details import log_lines

    lines = list(log_lines(current_home(), run, task))
    if wants_json():
        emit(lines)
    elif not lines:
        click.echo("the log is empty")
    else:
        click.echo("\n".join(lines))


@runs.command()
@click.argument("run")
@json_option
def cancel(run: str) -> None:
    """Stop a workflow run."""
    from labrelay.steps.run_details import cancel as ask

    _said(ask(current_home(), run), "is being stopped; labrelay status says when it has")


@runs.command()
@click.argument("run")
@json_option
def retry(run: str) -> None:
    """Start the next attempt of a run that ended without a result; tasks that were done are not done again."""
    from labrelay.steps.run_details import retry as again

    _said(again(current_home(), run), "was started again; follow it with: labrelay status")


def _said(line: RunLine, sentence: str) -> None:
    if wants_json():
        emit(line.model_dump(mode="json"))
    else:
        click.echo(f"{line.run} ({cell_text(line.sample)}, {line.workflow}) {sentence}")
