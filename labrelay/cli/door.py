"""`labrelay serve` and `labrelay token`: the front door for lab software, and who may come in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from labrelay.cli.show import current_home, emit, json_option, records, wants_json

if TYPE_CHECKING:
    from labrelay.records.tokens import Token

SCOPES = ("announce", "event", "read")  # as records.tokens has them
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.command()
@click.option("--host", default="127.0.0.1", help="the address it listens on (else only this machine reaches it)")
@click.option("--port", type=click.IntRange(0, 65535), default=8470, show_default=True, help="0 for any free one")
@json_option
def serve(host: str, port: int) -> None:
    """Open the front door for lab software, until Ctrl-C or SIGTERM.

    What it is told is durable before it answers, and is worked off by `labrelay sweep` or the schedules of
    `labrelay up`. It speaks HTTP: to be reached from other machines it needs something with TLS in front of it.
    """
    from labrelay.api.serving import serve as run
    from labrelay.records import tokens

    home = current_home()
    with home.records.read() as session:
        some = bool(tokens.every(session))

    def ready(address: str) -> None:
        if wants_json():
            emit({"url": address})
            return
        click.echo(f"the front door is open at {address}/api; Ctrl-C closes it")
        if not some:
            click.echo("nobody has a token yet: labrelay token add NAME --scope announce --scope read")
        if host not in LOOPBACK:
            click.echo("warning: this is HTTP without TLS: put a proxy with TLS in front of it", err=True)

    try:
        run(home, host, port, ready)
    except KeyboardInterrupt:
        pass  # before requests were answered: closing is what was asked for
    finally:
        home.close()
    if not wants_json():
        click.echo("the front door is closed; what was taken is kept", err=True)


@click.group()
def token() -> None:
    """Machine tokens for the front door: add, list, revoke."""


@token.command()
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, type=click.Choice(SCOPES), help="may be repeated")
@click.option("--days", type=click.IntRange(1, 3650), help="it expires after so many days (else never)")
@json_option
def add(name: str, scopes: tuple[str, ...], days: int | None) -> None:
    """Make a token and print its secret, once: nobody can see it again.

    `announce` lets a program announce experiments, `event` tell what happened, `read` read runs, results and lineage.
    In the records the token acts as `token:NAME`.
    """
    from datetime import UTC, datetime, timedelta

    from labrelay.records import tokens

    expires = datetime.now(UTC) + timedelta(days=days) if days is not None else None
    with current_home().records.write() as session:
        made = tokens.add(session, name, [scope for scope in tokens.SCOPES if scope in scopes], expires)
    if wants_json():
        emit({**made.token.model_dump(mode="json"), "secret": made.secret})
        return
    click.echo(made.secret)
    click.echo(f"this is shown once; it acts as token:{name}, and labrelay token revoke {name} ends it", err=True)


@token.command("list")
@json_option
def list_tokens() -> None:
    """List all tokens there ever were, without their secrets."""
    from labrelay.records import tokens
    from labrelay.records.database import now

    with current_home().records.read() as session:
        found = tokens.every(session)
    header = ["name", "state", "scopes", "since (UTC)", "until (UTC)", "made by"]
    rows = [_row(each, each.state(now())) for each in found]
    if wants_json():
        emit([{**each.model_dump(mode="json"), "state": each.state(now())} for each in found])
    else:
        records(header, rows, "there are no tokens: labrelay token add NAME --scope announce --scope read")


def _row(token: Token, state: str) -> dict[str, str | None]:
    return {
        "name": token.name,
        "state": state,
        "scopes": ", ".join(token.scopes),
        "since (UTC)": token.created_at[:16].replace("T", " "),
        "until (UTC)": (token.revoked_at or token.expires_at or "")[:16].replace("T", " "),
        "made by": token.created_by,
    }


@token.command()
@click.argument("name")
@json_option
def revoke(name: str) -> None:
    """Let a token open nothing any more, from the next request on."""
    from labrelay.records import tokens

    with current_home().records.write() as session:
        revoked = tokens.revoke(session, name)
    if wants_json():
        emit(revoked.model_dump(mode="json"))
    else:
        click.echo(f"the token {revoked.name} opens nothing any more")
