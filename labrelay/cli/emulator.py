"""`labrelay emulator`: AWS on this machine, for any client."""

from __future__ import annotations

import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labrelay.cli.show import emit, json_option, wants_json

if TYPE_CHECKING:
    from labrelay.emulator.launch import Running

NEEDED = ("boto3", "moto", "regex", "flask", "flask_cors")


@click.command()
@click.option(
    "--data",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("labrelay-emulator"),
    help="where it keeps everything (else ./labrelay-emulator)",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="else the one it had before, or any free one")
@click.option("--host", default="127.0.0.1", help="the address it listens on (else only this machine reaches it)")
@click.option("--region", default="us-east-1", help="as it stands in ARNs (else us-east-1)")
@click.option(
    "--faults",
    metavar="PLAN",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="a plan of faults to happen, TOML",
)
@click.option("--detach", is_flag=True, help="go on when the terminal is closed")
@click.option("--stop", is_flag=True, help="stop the one that was started on this folder")
@json_option
def emulator(data: Path, port: int, host: str, region: str, faults: Path | None, detach: bool, stop: bool) -> None:
    """Start AWS on this machine and print the lines to export for boto3, the AWS CLI and labrelay.

    HealthOmics stores reads and really runs workflows, Batch really runs jobs; S3 keeps its bytes in the folder;
    queues, event rules, roles and logs answer too. Keys are made up: any will do. Everything survives a restart on the
    same folder, except messages in queues.
    """
    if stop:
        _stop(data)
        return
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        from labrelay.model.errors import MissingTool

        raise MissingTool(f"the emulator needs {', '.join(missing)}: pip install 'labrelay[emulator]'")
    if detach:
        from labrelay.emulator.launch import detach as start
        from labrelay.emulator.launch import read_running

        there = read_running(data)
        if there is not None and faults is None and not port and there.lives():
            # Asked again, by another terminal say: it is there, and these are its lines.
            _say(there, data, stays=True)
            return
        plan = ("--faults", str(faults.absolute())) if faults is not None else ()
        _say(start(data, "--port", str(port), "--host", host, "--region", region, *plan), data, stays=True)
        return
    from labrelay.emulator.main import Options, serve

    serve(Options(data, host, port, region, faults), lambda running: _say(running, data, stays=False))
    if not wants_json():
        click.echo("the emulator was stopped; everything is kept", err=True)


def _stop(data: Path) -> None:
    from labrelay.emulator.launch import stop

    stopped = stop(data)
    if wants_json():
        emit({"stopped": stopped})
    else:
        click.echo("the emulator was stopped; everything is kept" if stopped else f"no emulator was running on {data}")


def _say(running: Running, data: Path, *, stays: bool) -> None:
    variables = running.environment()
    if wants_json():
        emit({"endpoint": running.endpoint, "pid": running.pid, "data": str(data.absolute()), "environment": variables})
        return
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")
    how = f"`labrelay emulator --stop --data {shlex.quote(str(data))}` stops it" if stays else "Ctrl-C stops it"
    click.echo(f"# the emulator is ready at {running.endpoint} and keeps everything in {data}; {how}", err=True)
