"""The `labrelay` command: a table of names, each loaded only when it is typed.

Nothing heavy is imported here, so that `labrelay --help` answers at once; a test holds this by module names.
Exit codes: 0 done, 1 the work failed, 2 your mistake, 130 stopped by you.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

COMMANDS = {
    "init": ("setup", "make a home folder"),
    "doctor": ("setup", "what is configured, what works, what is missing and how to get it"),
    "aws": ("aws", "what each role may do on AWS, as policies filled in with your names"),
    "up": ("server", "start the local Prefect server and worker"),
    "down": ("server", "stop what `up` started"),
    "announce": ("intake", "tell of an experiment and its samples (CSV)"),
    "samplesheet": ("samplesheet", "write a sample sheet for the sequencer from an experiment's samples"),
    "inspect": ("inspection", "say what a folder is, and what is wrong with it"),
    "demultiplex": ("conversion", "make reads of an Illumina run's raw base calls"),
    "ingest": ("intake", "store an instrument run's files and judge its reads"),
    "assign": ("intake", "say whose reads an unassigned dataset holds"),
    "process": ("main_job", "take an instrument run all the way to its results"),
    "watch": ("main_job", "scan the landing folders once and process what is ready"),
    "submit": ("main_job", "run a workflow on a sample or on files of your own"),
    "status": ("main_job", "what runs, what waits, what needs you"),
    "runs": ("runs", "workflow runs: list, show, logs, cancel, retry"),
    "results": ("results", "results: list, show, get, export, override"),
    "reads": ("reads", "read sets: list, uris, activate, export, upload"),
    "reference": ("library", "reference genomes: add, list"),
    "workflow": ("library", "workflow definitions: add, list, lint, inputs"),
    "rules": ("library", "routing rules: show, test"),
    "db": ("database", "the metadata store: upgrade, backup, check, copy"),
    "serve": ("door", "the front door for lab software: announcements, events, webhooks, results"),
    "token": ("door", "machine tokens for the front door: add, list, revoke"),
    "emulator": ("emulator", "AWS on this machine: HealthOmics and S3 that really work, for trying and testing"),
    "eln": ("eln", "the notebook: check, status, pull, reconcile, settle, link"),
    "deliver": ("upkeep", "tell the notebook and people what waits to be told"),
    "sweep": ("upkeep", "settle what events missed: lost runs, unrecorded ends"),
    "reprocess": ("reprocess", "rerun exactly what is out of date, with a plan first"),
    "clean": ("upkeep", "remove work folders and caches that are not needed any more"),
    "verify": ("audit", "look whether results are still what was recorded"),
    "audit": ("audit", "who did what when, and that nobody has changed it: list, verify, export, anchor"),
    "trends": ("trends", "a quality metric over time, with control limits"),
    "explain": ("find", "explain a result: what it was made from, how, by whom, and what changed"),
    "lineage": ("find", "where something came from and what was made of it"),
    "catalogue": ("catalogue", "the catalogue outside: check, publish, search"),
    "search": ("find", "find samples, runs, workflow runs and files"),
}


class LazyGroup(click.Group):
    """A group that knows its commands' names and help, and imports a command only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature, thrice)
        """Return the names in the order of the main job."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the module of a command; None for a name that there is not."""
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(f"labrelay.cli.{COMMANDS[cmd_name][0]}"), cmd_name)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands from the table, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_module, text) in COMMANDS.items()])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--home", metavar="FOLDER", help="the home folder (else LABRELAY_HOME, else ./labrelay-home)")
@click.option("-v", "--verbose", is_flag=True, help="log what happens to standard error")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=lambda *a: _version(*a), help="say which"
)
@click.pass_context
def labrelay(ctx: click.Context, home: str | None, verbose: bool) -> None:
    """Carry an instrument run to a result that the notebook knows."""
    ctx.obj = {"home": home, "json": False}
    if verbose:
        import logging

        logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)


def main() -> None:
    """Run the command and turn every expected error into its sentence and exit code."""
    try:
        sys.exit(_run())
    except KeyboardInterrupt:
        click.echo("\nstopped; workflow runs that were started go on: `labrelay status`", err=True)
        sys.exit(130)


def _run() -> int:
    try:
        result = labrelay.main(standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as mistake:
        mistake.show()
        return 2
    except click.Abort:
        raise KeyboardInterrupt from None
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:
        from labrelay.model.errors import LabrelayError

        if not isinstance(error, LabrelayError):
            raise
        click.echo(f"labrelay: {error}", err=True)
        return error.exit_code


def _version(ctx: click.Context, _parameter: Any, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"labrelay {version('labrelay')}")
        ctx.exit()
