"""The commands about the audit trail (list, verify, export, anchor), and `verify`, which looks at results again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from labrelay.cli.show import current_home, emit, json_option, records, table, wants_json
from labrelay.model.names import printable

if TYPE_CHECKING:
    from labrelay.steps.verify import VerifiedRun

SHOWN = 50
MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])


def _utc(moment: datetime | None) -> str | None:
    return None if moment is None else moment.replace(tzinfo=UTC).isoformat(timespec="microseconds")


@click.group()
def audit() -> None:
    """Who did what and when, and that nobody has changed it since."""


@audit.command("list")
@click.option("--entity", metavar="ID|NAME", help="what it is about: exp_…, smp_…, ins_…, run_…, or a name")
@click.option("--since", type=MOMENT, help="a day or a time, UTC")
@click.option("--limit", type=click.IntRange(1), help=f"the newest so many (else {SHOWN}, with --since all)")
@json_option
def list_(entity: str | None, since: datetime | None, limit: int | None) -> int:
    """List decisions: who did what when, the oldest first."""
    from labrelay.records import audit as trail
    from labrelay.records.lineage import resolve

    with current_home().records.read() as session:
        about = entity if entity is None or trail.concerns(session, entity) else resolve(session, entity)
        events = trail.history(session, about, _utc(since), limit or (SHOWN if since is None else None))
    if wants_json():
        emit([event.model_dump() for event in events])
        return 0
    rows = [
        {
            "row": event.seq,
            "when": event.at[:19].replace("T", " "),
            "who": event.actor,
            "what": event.action,
            "which": event.entity_id,
            "detail": ", ".join(f"{name}={value}" for name, value in event.detail.items() if value is not None),
        }
        for event in events
    ]
    nothing = "nothing is on record" + (f" about {printable(entity)}" if entity else "")
    records(["row", "when", "who", "what", "which", "detail"], rows, nothing)
    return 0


@audit.command("verify")
@json_option
def verify_trail() -> int:
    """Verify every row of the trail and its anchors. Exit code 1 when something is not as it was written.

    For a machine without Labrelay: docs/audit.md.
    """
    from labrelay.steps import trail

    found = trail.verify_trail(current_home())
    if wants_json():
        emit({"whole": found.whole, **found.model_dump()})
    else:
        for text in found.found:
            click.echo(printable(text, 400))
        if found.more:
            click.echo(f"and {found.more} more")
        click.echo(found.summary)
    return 0 if found.whole else 1


@audit.command()
@json_option
def export() -> int:
    """Write the whole trail as JSON Lines, for `audit_verify` on another machine: labrelay audit export > FILE."""
    from labrelay.steps.trail import exported_lines

    for line in exported_lines(current_home()):
        click.echo(line)
    return 0


@audit.command()
@json_option
def anchor() -> int:
    """Keep the trail's head in the object store, so that a cut end is found. The upkeep does it by itself."""
    from labrelay.steps.trail import NOT_LOCKED
    from labrelay.steps.trail import anchor as run

    made = run(current_home())
    if wants_json():
        emit(None if made is None else made.model_dump())
    elif made is None:
        click.echo("the trail is empty: there is nothing to anchor")
    else:
        click.echo(f"{'anchored' if made.new else 'was anchored before'}: head {made.seq}:{made.hash}")
        click.echo(printable(made.where, 400))
        click.echo(f"locked: {made.locked}" if made.locked else NOT_LOCKED)
    return 0


@click.command("verify")
@click.argument("run", metavar="RUN|SAMPLE[/WORKFLOW]|FILE|PATH", required=False)
@click.option("--all", "everything", is_flag=True, help="all recorded results, replaced ones too")
@click.option("--since", type=MOMENT, help="those recorded since a day or a time, UTC")
@click.option("--inputs", is_flag=True, help="look at what went in as well")
@click.option("--deep", is_flag=True, help="read everything, also where S3 keeps checksums of its own")
@json_option
def verify(run: str | None, everything: bool, since: datetime | None, inputs: bool, deep: bool) -> int:
    """Look whether results are still what was recorded: files are hashed again, the crate is read again.

    It is put on record that somebody looked. Exit code 1 when something differs.
    """
    from labrelay.steps import verify as step

    step.one_or_all(run, everything, since)
    home = current_home()
    if run is not None:
        one = step.verify_run(home, run, inputs=inputs, deep=deep)
        _show_run(one)
        return 1 if one.differing else 0
    done = step.verify_all(home, _utc(since), inputs=inputs, deep=deep)
    if wants_json():
        wrong = [_run_json(each) for each in done.wrong]
        emit({"runs": done.runs, "files": done.files, "differing": done.differing, "wrong": wrong})
    else:
        for each in done.wrong:
            _show_run(each, only_wrong=True)
        click.echo(done.sentence)
    return 1 if done.differing else 0


def _run_json(found: VerifiedRun) -> dict[str, object]:
    return {**found.model_dump(mode="json"), "differing": len(found.differing)}


def _show_run(found: VerifiedRun, *, only_wrong: bool = False) -> None:
    if wants_json():
        emit(_run_json(found))
        return
    shown = found.differing if only_wrong else found.files
    rows = [(each.state.value, each.name, each.path.removeprefix(f"{found.result_path}/"), each.why) for each in shown]
    click.echo(f"{found.run}: {len(found.files)} looked at, {len(found.differing)} differ")
    table(["state", "what", "file", "why"], rows, "there is nothing to look at")
    click.echo(printable(f"folder: {found.folder}", 400))
