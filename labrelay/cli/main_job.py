"""Commands of the main job: process, watch, submit, status."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labrelay.cli.show import current_home, emit, json_option, profile_option, records, show_warnings, wants_json
from labrelay.cli.tables import seconds_text, show_results
from labrelay.model.names import on_one_line, printable
from labrelay.model.words import counted

if TYPE_CHECKING:
    from labrelay.cli.terminal import TerminalProgress
    from labrelay.model.runs import Priority
    from labrelay.steps.home import Home
    from labrelay.steps.listing import RunLine
    from labrelay.steps.overview import Overview, Unassigned
    from labrelay.steps.process import Processed
    from labrelay.steps.results import ResultRow
    from labrelay.steps.submit import Submitted
    from labrelay.workflows.specs import Place

FOLDER = click.Path(path_type=Path)
SHOWN = 20


@click.command()
@click.argument("folder", metavar="FOLDER|FILE", type=FOLDER)
@click.option("--experiment", help="match only with this announced experiment's samples")
@click.option("--assume-complete", is_flag=True, help="take it though its completion marker is missing")
@click.option("--no-wait", is_flag=True, help="return when the workflow runs are submitted")
@profile_option
@json_option
def process(folder: Path, experiment: str | None, assume_complete: bool, no_wait: bool) -> int:
    """Take an instrument run all the way to its results.

    FILE is a run that is one file, such as an .nd2 or an .mzML; files beside it that belong to it are taken with it.
    What is done already is not done again: repeat the command after whatever stopped it. Exit code 1 means that a
    workflow run or an import failed; a poor result is no failure, its verdict says so.
    """
    from labrelay.cli.terminal import TerminalProgress
    from labrelay.flows.dispatch import run_as_flow
    from labrelay.model.errors import UsageError
    from labrelay.steps.process import process as run
    from labrelay.steps.rules import load_rules

    with TerminalProgress() as progress:
        home = current_home(progress)
        if not folder.exists():  # before anything is said to be running
            raise UsageError(f"there is no folder or file {folder}")
        # Who stands here is told of a mistake in them before hours of reading; `watch` stores first.
        load_rules(home.path)
        outcome: Processed = run_as_flow(
            home,
            "process_run",
            lambda: run(home, folder, experiment, assume_complete=assume_complete, wait=not no_wait),
            lambda line: say(progress, line),
            folder=str(folder.resolve()),
            experiment=experiment or "",
            assume_complete=assume_complete,
            wait_for_results=not no_wait,
        )
    return _tell(home, outcome, waited=not no_wait)


def say(progress: TerminalProgress, line: str) -> None:
    """Print a line beside the progress."""
    progress.console.print(line, style="dim", markup=False, soft_wrap=True)


def _tell(home: Home, outcome: Processed, *, waited: bool) -> int:
    """Print what a process came to: results, counts, and what needs the person; return the exit code."""
    from labrelay.steps.listing import lines_of
    from labrelay.steps.results import results_table

    rows = results_table(home, run_ids=outcome.runs) if outcome.runs else []
    lines = lines_of(home, outcome.runs)
    failed = [line for line in lines if line.failed]
    stopped = {what for what, _why in outcome.failed}
    waiting = sum(not line.state.terminal and line.run in stopped for line in lines)
    going = sum(not line.state.terminal for line in lines) - waiting
    cancelled = sum(line.state.value == "CANCELED" for line in lines)
    code = 1 if failed or outcome.failed else 0
    if wants_json():
        emit(_as_json(outcome, rows, failed, going))
        return code
    show_warnings(outcome.warnings, outcome.page)
    show_results(rows, _without_results(outcome))
    click.echo()
    _needs(home, outcome, failed)
    if cancelled:
        click.echo(f"{counted(cancelled, 'workflow run was', 'workflow runs were')} cancelled: labrelay runs retry RUN")
    if going:
        after = "" if waited else "; record them with: labrelay sweep"
        click.echo(f"{counted(going, 'workflow run goes', 'workflow runs go')} on: labrelay status{after}")
    if waiting:
        click.echo(
            f"{counted(waiting, 'workflow run')} not started yet: the same command, or labrelay sweep, tries again"
        )
    if outcome.page is not None:
        click.echo(f"run: {outcome.page}")
    if rows:
        click.echo(f"results: {home.path / 'results' / rows[0].result_path.split('/')[0] / 'index.html'}")
    click.echo(f"stored {outcome.stored} · imported {outcome.imported} · submitted {outcome.submitted}")
    return code


def _without_results(outcome: Processed) -> str:
    """Return why there is no table of results."""
    if outcome.empty:
        return "no sample of this run has a read: there is nothing to import or to run"
    if outcome.runs or outcome.failed:
        return "no results yet"
    return "no rule asked for a workflow run"


def _needs(home: Home, outcome: Processed, failed: list[RunLine]) -> None:
    """Print what waits for the person, each with what to do; long lists are cut and counted."""
    from labrelay.steps.outgrown import told
    from labrelay.steps.run_details import details

    lines = [
        f"unassigned {d.label}: {d.reason or 'no sample'}; labrelay assign {d.id} SAMPLE" for d in outcome.unassigned
    ]
    lines += [] if outcome.empty else [f"left out {name}: {why}" for name, why in outcome.left_out]
    lines += [told(item) for item in outcome.outgrown.values()]
    lines += [f"failed {what}: {on_one_line(why)}" for what, why in outcome.failed]
    for line in failed[:SHOWN]:
        logs = details(home, line.run).attempts[-1].logs
        lines.append(
            f"failed {line.sample}, {line.workflow} ({line.run}): {on_one_line(line.reason or line.state.value)}"
        )
        lines += [f"  log: {logs[0]}", f"  when its cause is mended: labrelay runs retry {line.run}"] if logs else []
    for text in lines[: 3 * SHOWN]:
        click.echo(printable(text, 400))
    more = max(0, len(lines) - 3 * SHOWN) + max(0, len(failed) - SHOWN)
    if more:
        click.echo(f"… and {more} more: labrelay status, labrelay runs list")


def _as_json(outcome: Processed, rows: list[ResultRow], failed: list[RunLine], going: int) -> dict[str, Any]:
    return {
        "instrument_run": outcome.instrument_run_id,
        "run_id": outcome.run_id,
        "page": None if outcome.page is None else str(outcome.page),
        "stored": outcome.stored,
        "imported": outcome.imported,
        "submitted": outcome.submitted,
        "delivered": outcome.delivered,
        "running": going,
        "results": [row.model_dump(mode="json") for row in rows],
        "failed_runs": [line.model_dump(mode="json") for line in failed],
        "failed": [{"what": what, "reason": why} for what, why in outcome.failed],
        "unassigned": [dataset.model_dump() for dataset in outcome.unassigned],
        "outgrown": [item.model_dump(mode="json") for item in outcome.outgrown.values()],
        "left_out": [{"sample": name, "reason": why} for name, why in outcome.left_out],
        "warnings": [problem.model_dump(mode="json") for problem in outcome.warnings],
    }


@click.command()
@json_option
def watch() -> int:
    """Scan the landing folders once and process what is ready, without waiting for workflow runs.

    The settings name the landing folders (`landing`). A folder is taken when it says that it is complete and has not
    changed between two looks; `labrelay up` looks by itself.
    """
    from labrelay.cli.terminal import TerminalProgress
    from labrelay.flows.dispatch import run_as_flow
    from labrelay.model.errors import UsageError
    from labrelay.steps.readiness import FolderState
    from labrelay.steps.watch import Seen
    from labrelay.steps.watch import watch as run

    with TerminalProgress() as progress:
        home = current_home(progress)
        if not home.settings.landing:
            file = home.path / "labrelay.toml"
            raise UsageError(f'no landing folders are set: write landing = ["/data/runs"] into {file}')
        seen: list[Seen] = run_as_flow(home, "watch_folders", lambda: run(home), lambda line: say(progress, line))
    rows = [s.model_dump(mode="json", exclude={"content"}) for s in seen]
    landing = ", ".join(str(folder) for folder in home.settings.landing)
    if wants_json():
        emit(rows)
    for row in [] if wants_json() else rows:
        click.echo(f"{row['state']:<8} {printable(row['folder'])}")
        click.echo(f"         {printable(row['reason'], 400)}")
    if not rows and not wants_json():
        click.echo(f"{landing}: no folder there looks like an instrument run")
    return 1 if any(s.state is FolderState.REFUSED for s in seen) else 0


@click.command()
@click.argument("workflow")
@click.option("--sample", "subjects", multiple=True, help="on this sample's reads (name or id; may be repeated)")
@click.option("--inputs", type=FOLDER, metavar="FILE.json", help="input values by name; files as paths")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="one input value; may be repeated")
@click.option("--reference", help="the reference's name, for workflows that want one")
@click.option("--version", help="a published version instead of the newest")
@click.option("--on", type=click.Choice(["local", "healthomics", "batch"]), help="where; else as workflow and home say")
@click.option("--priority", type=click.Choice(["low", "normal", "high"]), default="normal", help="before which others")
@click.option("--force", is_flag=True, help="compute again what has been computed")
@click.option("--wait", is_flag=True, help="wait for the end and record it")
@json_option
def submit(
    workflow: str,
    subjects: tuple[str, ...],
    inputs: Path | None,
    settings: tuple[str, ...],
    reference: str | None,
    version: str | None,
    on: Place | None,
    priority: Priority,
    force: bool,
    wait: bool,
) -> int:
    """Run WORKFLOW on samples or on files of your own.

    With --sample the definition says where its inputs come from, --set and --inputs add parameters; a cohort workflow
    takes an experiment. Without, --inputs and --set say everything. `labrelay workflow inputs WORKFLOW` lists the
    names. Asking twice for the same finds the first run.
    """
    from labrelay.cli.terminal import TerminalProgress
    from labrelay.steps.collect import seen_again, wait_for
    from labrelay.steps.deliver import deliver
    from labrelay.steps.direct import read_inputs, submit_direct
    from labrelay.steps.listing import lines_of

    with TerminalProgress() as progress:
        home = current_home(progress)
        given = read_inputs(inputs) if inputs else None
        submitted = submit_direct(
            home,
            workflow,
            subjects=subjects,
            inputs=given,
            settings=settings,
            reference=reference,
            version=version,
            on=on,
            priority=priority,
            force=force,
        )
        if wait:
            progress.stage("run", workflow)
            submitted.failed = seen_again(submitted.failed, submitted.runs, wait_for(home, submitted.runs))
            deliver(home)
            failed = sum(line.failed for line in lines_of(home, submitted.runs))
            failed += len({run for run, _why in submitted.failed})
            progress.done("run", f"{workflow}, {failed} failed" if failed else workflow, ok=not failed)
    return _tell_submitted(home, submitted, waited=wait)


def _tell_submitted(home: Home, submitted: Submitted, *, waited: bool) -> int:
    from labrelay.steps.listing import lines_of

    lines = lines_of(home, submitted.runs)
    bad = [line for line in lines if line.state.terminal and line.state.value != "COMPLETE"]
    rows: list[dict[str, Any]] = [
        {
            "run": line.run,
            "sample": line.sample,
            "workflow": line.workflow,
            "state": line.state.value,
            "verdict": line.verdict.value,
            "result": str(home.path / "results" / line.result_path),
            "reason": line.reason,
        }
        for line in lines
    ]
    if wants_json():
        emit({"new": submitted.new, "runs": rows, "failed": [{"what": w, "reason": r} for w, r in submitted.failed]})
    else:
        for row, line in zip(rows, lines, strict=True):
            verdict = f", {row['verdict']}" if row["state"] == "COMPLETE" and row["verdict"] != "none" else ""
            click.echo(f"{row['run']}  {printable(row['sample'])}: {row['workflow']}  {row['state']}{verdict}")
            known = waited or line.state.terminal
            told = on_one_line(row["reason"] or row["result"]) if known else f"labrelay runs show {line.run}"
            click.echo(f"  {told}")
            if line.failed:
                click.echo(f"  look: labrelay runs logs {line.run}")
                click.echo(f"  when its cause is mended: labrelay runs retry {line.run}")
        for what, why in submitted.failed:
            click.echo(on_one_line(f"failed {what}: {why}"))
        before = len(rows) - submitted.new
        again = "; --force computes them again" if before else ""
        click.echo(f"submitted {submitted.new}, {before} there before{again}")
    return 1 if bad or submitted.failed else 0


@click.command()
@json_option
def status() -> None:
    """Say what runs, what waits, and what needs you.

    Exit code 0 whatever it finds: to look is no failure. `labrelay runs list --failed --json` is for programs.
    """
    from labrelay.steps.overview import overview

    found = overview(current_home())
    if wants_json():
        emit(found.model_dump(mode="json"))
        return
    states = ", ".join(f"{count:,} {state}" for state, count in found.states.items())
    click.echo(f"workflow runs: {states or 'none yet; go on with: labrelay process FOLDER'}")
    if found.live:
        click.echo()
        rows = [
            {
                "run": live.run,
                "sample": live.sample,
                "workflow": live.workflow,
                "state": live.state.value,
                "tasks_done": None if live.tasks_done is None else f"{live.tasks_done} of {live.tasks_started} started",
                "since": seconds_text(live.seconds),
            }
            for live in found.live
        ]
        records(["run", "sample", "workflow", "state", "tasks_done", "since"], rows, "")
    _waits(found)


def _without_sample(waits: Unassigned) -> str:
    what = f"{waits.label} of {waits.run_name}"
    if waits.announced is not None:
        return f"{what} waits, and {waits.announced} is announced now: labrelay process {shlex.quote(waits.folder)}"
    return f"{what} has no sample: labrelay assign {waits.dataset} SAMPLE"


def _waits(found: Overview) -> None:
    click.echo()
    told = [
        *(f"{live.run} is {live.state.value}: {live.why}" for live in found.live if live.why),
        *(_without_sample(each) for each in found.unassigned[:SHOWN]),
        _count(len(found.unassigned) - SHOWN, "more dataset", "without a sample: announce them by a table"),
        *(f"{r.folder} was refused: {r.reason}" for r in found.refused[:SHOWN]),
        *(
            f"{u.run_name}: {u.why}; mend it, then labrelay process {shlex.quote(u.folder)}"
            for u in found.unsubmitted[:SHOWN]
        ),
        *(
            f"{each.folder} was not taken at {each.looked_at[:16].replace('T', ' ')} UTC: {each.reason}"
            for each in found.landed[:SHOWN]
        ),
        found.unasked or "",
        *_unstarted(found),
        _count(found.failed, "workflow run", "failed: labrelay runs list --failed"),
        _count(found.unrecorded, "run", "ended and not recorded: labrelay sweep"),
        _count(found.stale, "result", "out of date: labrelay reprocess --plan"),
        *(f"{h.plan} is held: {h.why}; labrelay reprocess --resume {h.plan}" for h in found.held_plans[:SHOWN]),
        _count(found.told, "message of lab software", "waiting: labrelay sweep", "messages of lab software"),
        _count(found.messages, "message", "waiting: labrelay deliver"),
        _count(found.dead_messages, "message", "given up: labrelay deliver says why"),
        *_notebook(found),
    ]
    lines = [line for line in told if line]
    hidden = sum(
        max(0, len(each) - SHOWN) for each in (found.unassigned, found.refused, found.unsubmitted, found.landed)
    )
    lines += [f"… and {hidden:,} more that wait: labrelay status --json"] if hidden else []
    for line in lines or ["nothing needs you"]:
        click.echo(on_one_line(line))


def _notebook(found: Overview) -> list[str]:
    """Return what waits between us and the notebook, one line each."""
    from labrelay.cli.eln import told

    if found.notebook is None:
        return []
    lines = told(found.notebook)
    why = found.notebook.why
    return [*([why] if why and why not in lines else []), *lines][:SHOWN]


def _unstarted(found: Overview) -> list[str]:
    """Return one line a reason why runs could not be started, since it is mostly one for all."""
    reasons = Counter(each.why.replace(f" {each.run}", "") for each in found.unstarted)
    return [
        f"{counted(count, 'workflow run')} could not be started, labrelay sweep tries again: {why}"
        for why, count in reasons.most_common(SHOWN)
    ]


def _count(number: int, noun: str, words: str, nouns: str | None = None) -> str:
    return f"{counted(number, noun, nouns)} {words}" if number > 0 else ""
