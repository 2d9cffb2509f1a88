"""The commands about the audit trail: list, verify, export, anchor."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from labrelay.cli.show import current_home, emit, json_option, records, wants_json
from labrelay.model.names import printable

SHOWN = 50


@click.group()
def audit() -> None:
    """Who did what and when, and that nobody has changed it since."""


@audit.command("list")
@click.option("--entity", metavar="ID", help="what it is about: exp_…, smp_…, ins_…, run_…")
@click.option(
    "--since", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]), help="a day or a time, UTC"
)
@click.option("--limit", type=click.IntRange(1), help=f"the newest so many (else {SHOWN}, with --since all)")
@json_option
def list_(entity: str | None, since: datetime | None, limit: int | None) -> int:
    """List decisions: who did what when, the oldest first."""
    from labrelay.records import audit as trail

    moment = None if since is None else since.replace(tzinfo=UTC).isoformat(timespec="microseconds")
    with current_home().records.read() as session:
        events = trail.history(session, entity, moment, limit or (SHOWN if since is None else None))
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
    records(["row", "when", "who", "what", "which", "detail"], rows, "nothing is on record")
    return 0


@audit.command()
@json_option
def verify() -> int:
    """Verify every row of the trail and its anchors. Exit code 1 when something is not as it was written.

    For a machine without Labrelay: docs/audit.md.
    """
    from labrelay.steps.trail import verify_trail

    found = verify_trail(current_home())
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
