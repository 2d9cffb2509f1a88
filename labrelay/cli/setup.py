"""Commands that set up and look after an installation: init, doctor."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labrelay.cli.show import emit, json_option, table, wants_json

if TYPE_CHECKING:
    from labrelay.steps.cloud import CloudSetup
    from labrelay.steps.doctor import Finding

MARKS = {"ok": "ok", "note": "note", "broken": "BROKEN"}


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--profile", type=click.Choice(["local", "healthomics"]), default="local", help="which adapters it uses")
@click.option("--bucket", help="healthomics: the bucket for instrument data, runs and cache")
@click.option("--role-arn", help="healthomics: the role that the service takes (docs/aws.md)")
@click.option("--name", default="labrelay", show_default=True, help="healthomics: of stores, run group and cache")
@json_option
def init(folder: Path | None, profile: str, bucket: str | None, role_arn: str | None, name: str) -> None:
    """Make a home folder: settings, rules, and in time records, reads and results.

    With `--profile healthomics` the bucket, the stores, the run group and the run cache are made on AWS, or taken when
    they are there; doing it again changes nothing.
    """
    from labrelay.steps.home import init_home
    from labrelay.steps.settings import find_home

    if profile == "healthomics" and bucket is None:
        raise click.UsageError("--profile healthomics needs --bucket NAME, the bucket for instrument data and runs")
    home = find_home(folder or click.get_current_context().find_root().obj["home"])
    made = init_home(home)
    cloud = _set_up_cloud(home, bucket, role_arn, name) if bucket is not None and profile == "healthomics" else None
    if wants_json():
        emit({"home": str(home), "made": made} | ({"aws": vars(cloud)} if cloud else {}))
        return
    click.echo(f"{home} {'is ready' if made else 'was there and stays as it is'}")
    if os.geteuid() == 0:
        click.echo("you are root: tasks get no rights in the sandbox, but a plain account is safer")
    if cloud is not None:
        click.echo(f"AWS account {cloud.account}:")
        for what in cloud.made:
            click.echo(f"  made   {what}")
        for what in cloud.adopted:
            click.echo(f"  found  {what}")
    if home != find_home():
        click.echo(f"tell the other commands: export LABRELAY_HOME={home}")
    click.echo("then:")
    click.echo("  labrelay doctor                          what works here, and what is missing")
    click.echo("  labrelay reference add FILE --name NAME  a genome to compare with")
    click.echo("  labrelay announce samples.csv            tell of an experiment and its samples")
    click.echo(f"  edit {home / 'rules.toml'} and try it: labrelay rules test FOLDER")
    click.echo("  labrelay process FOLDER                  take an instrument run to its results")


def _set_up_cloud(home: Path, bucket: str, role_arn: str | None, name: str) -> CloudSetup:
    from labrelay.steps.cloud import set_up
    from labrelay.steps.settings import load_settings

    return set_up(home, load_settings(home), name=name, bucket=bucket, role_arn=role_arn)


@click.command()
@click.option("--aws", is_flag=True, help="look at what the settings name on AWS as well; nothing there is changed")
@json_option
def doctor(aws: bool) -> int:
    """Say what is configured, what works, what is missing and how to get it.

    Exit code 1 when something that is needed is broken.
    """
    from labrelay.steps.doctor import Health, examine
    from labrelay.steps.settings import find_home

    home = find_home(click.get_current_context().find_root().obj["home"])
    settings, findings = examine(home)
    findings = [*findings, _server(home), *(_on_aws(home) if aws and settings else ())]
    if wants_json():
        emit(
            {
                "home": str(home),
                "settings": [each.model_dump() for each in settings],
                "findings": [each.model_dump(mode="json") for each in findings],
            }
        )
    else:
        if settings:
            table(
                ["setting", "value", "from", "meaning"], [(s.name, s.value, s.source, s.meaning) for s in settings], ""
            )
            click.echo()
        for each in findings:
            click.echo(f"{MARKS[each.health.value]:<7} {each.what:<12} {each.text}")
            if each.fix:
                click.echo(f"{'':<20} → {each.fix}")
        broken = sum(each.health is Health.BROKEN for each in findings)
        click.echo(f"\nto be mended: {broken}" if broken else "\neverything that is needed works")
    return 1 if any(each.health is Health.BROKEN for each in findings) else 0


def _on_aws(home: Path) -> list[Finding]:
    from labrelay.model.errors import UsageError
    from labrelay.steps.settings import load_settings

    try:
        from labrelay.steps.doctor_aws import examine_aws
    except ModuleNotFoundError as error:
        said = f"{error.name} is not installed: pip install 'labrelay[aws]', then repeat the command"
        raise UsageError(said) from None
    return examine_aws(load_settings(home))


def _server(home: Path) -> Finding:
    from labrelay.flows.running import read_server, running
    from labrelay.steps.doctor import Finding, Health

    api = running(home)
    if api is not None:
        return Finding(what="prefect", health=Health.OK, text=f"the home's server answers at {api}")
    if read_server(home) is not None:
        said = "a server was started and does not answer: commands run directly"
        return Finding(what="prefect", health=Health.NOTE, text=said, fix="labrelay down, then labrelay up")
    said = "no server runs: commands run directly, nothing happens on a schedule"
    return Finding(what="prefect", health=Health.NOTE, text=said, fix="labrelay up")
