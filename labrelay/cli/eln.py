"""`labrelay eln`: check, status, pull, reconcile, settle, link."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Literal

import click

from labrelay.cli.show import current_home, emit, json_option, records, wants_json
from labrelay.model.names import printable
from labrelay.model.words import counted

if TYPE_CHECKING:
    from labrelay.steps.eln import ElnStatus

SHOWN = 50


@click.group()
def eln() -> None:
    """The notebook (ELN): check, status, pull, reconcile, settle, link."""


@eln.command()
@json_option
def check() -> int:
    """Ask the notebook whether our account can do what it has to; writes nothing. Exit code 1 when it cannot."""
    from labrelay.steps.eln import check as run

    home = current_home()
    problems = run(home)
    if wants_json():
        emit([problem.model_dump(mode="json") for problem in problems])
    else:
        for problem in problems:
            click.echo(printable(str(problem), 400))
        if not problems:
            click.echo(f"{home.settings.eln} at {home.settings.eln_url}: the account can do what it has to")
    return 1 if problems else 0


@eln.command()
@json_option
def status() -> None:
    """Say what waits between us and the notebook: changed parts, closed entries, announcements not taken over."""
    from labrelay.steps.eln import status as run

    found = run(current_home())
    if wants_json():
        emit(found.model_dump(mode="json"))
        return
    click.echo(
        f"{found.system}: {counted(found.linked, 'entry', 'entries')}, {counted(found.messages, 'message')} waiting, "
        f"{found.dead} given up"
    )
    if found.why:
        click.echo(printable(f"the last one: {found.why}", 500))
    for line in told(found):
        click.echo(printable(line, 500))


def told(found: ElnStatus) -> list[str]:
    """Return what waits for a person, one sentence each with what to do."""
    lines = []
    for part in found.parts:
        settle = f"labrelay eln settle {quote(part.experiment)} {quote(part.part)} --keep ours|theirs"
        match part.state:
            case "conflict":
                said = f": {part.text}" if part.text else ""
                lines.append(f"{part.part} of {part.experiment} was changed by a person{said}; settle it: {settle}")
            case "theirs":
                lines.append(f"{part.part} of {part.experiment} is left to people; to take it back: {settle}")
            case _:
                lines.append(part.text or f"{part.part} of {part.experiment} is {part.state}")
    return lines + [each.problem for each in found.waiting]


@eln.command()
@json_option
def pull() -> int:
    """Hear what was announced or edited in the notebook and take it over. Exit code 1 when something waits."""
    from labrelay.steps.eln_news import pull as run

    done = run(current_home())
    if wants_json():
        taken = [
            {"experiment": t.experiment.name, "added": t.added, "corrected": t.corrected, "unchanged": t.unchanged}
            for t in done.taken
        ]
        waiting = [{"entry": entry, "reason": reason} for entry, reason in done.waiting]
        emit({"heard": done.heard, "taken": taken, "waiting": waiting, "left": done.left})
    else:
        rows = [
            {
                "experiment": each.experiment.name,
                "added": str(len(each.added)),
                "corrected": str(len(each.corrected)),
                "unchanged": str(len(each.unchanged)),
            }
            for each in done.taken[:SHOWN]
        ]
        records(["experiment", "added", "corrected", "unchanged"], rows, "nothing new was announced")
        for line in (*done.left, *(reason for _entry, reason in done.waiting)):
            click.echo(printable(line, 400))
    return 1 if done.waiting else 0


@eln.command()
@click.argument("experiment", required=False)
@json_option
def reconcile(experiment: str | None) -> int:
    """Compare all entries, or the EXPERIMENT's, with the records, and repair what is missing or old.

    What people changed stays. Exit code 1 when an entry could not be compared.
    """
    from dataclasses import asdict

    from labrelay.steps.eln import reconcile as run

    done = run(current_home(), experiment)
    if wants_json():
        emit(asdict(done))
    else:
        entries = counted(done.looked, "entry", "entries")
        parts = counted(done.repaired, "part")
        click.echo(f"{entries} compared, {parts} written, {counted(done.conflicts, 'conflict')}")
        for problem in done.problems:
            click.echo(printable(problem, 400))
    return 1 if done.problems else 0


@eln.command()
@click.argument("experiment")
@click.argument("part")
@click.option("--keep", type=click.Choice(["ours", "theirs"]), required=True, help="whose shall stand there")
@json_option
def settle(experiment: str, part: str, keep: Literal["ours", "theirs"]) -> None:
    """Settle a PART that a person changed: ours is written over it, or it is left to people from now on.

    The part `entry` is an entry that was deleted: ours makes a new one, theirs leaves it at that.
    """
    from labrelay.steps.eln import settle as run

    done = run(current_home(), experiment, part, keep)
    if wants_json():
        emit({"experiment": experiment, "part": part, "keep": keep, "written": list(done.written) if done else []})
    elif done is None:
        click.echo(f"{part} of {experiment} is left to people")
    else:
        click.echo(f"{part} of {experiment}: {', '.join(done.written) or 'nothing'} written")


@eln.command()
@click.argument("experiment")
@click.argument("entry")
@json_option
def link(experiment: str, entry: str) -> None:
    """Say that ENTRY (its id in the notebook) is the entry of EXPERIMENT."""
    from labrelay.steps.eln import link as run

    run(current_home(), experiment, entry)
    if wants_json():
        emit({"experiment": experiment, "entry": entry})
        return
    click.echo(f"{experiment} is entry {entry} of the notebook; hear it with: labrelay eln pull")
