"""What a home knows to run: references, workflow definitions, routing rules."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labrelay.cli.show import current_home, emit, json_option, records, size_text, table, wants_json
from labrelay.model.names import printable
from labrelay.model.words import counted

if TYPE_CHECKING:
    from labrelay.model.problem import Problem
    from labrelay.steps.rehearse import Rehearsed
    from labrelay.steps.rules import Rule

FOLDER = click.Path(path_type=Path)


@click.group()
def reference() -> None:
    """Reference genomes: add, list."""


@reference.command("add")
@click.argument("file", type=FOLDER)
@click.option("--name", required=True, help="what rules and commands will call it")
@json_option
def add_reference(file: Path, name: str) -> None:
    """Store a reference genome (FASTA or GenBank), normalised and indexed; FILE is not changed."""
    from labrelay.steps import library

    added = library.add_reference(current_home(), file, name)
    if wants_json():
        emit(added.model_dump(mode="json"))
        return
    bases = sum(contig.length for contig in added.contigs)
    click.echo(
        f"{added.id}  {printable(added.name)}: {counted(len(added.contigs), 'sequence')}, {counted(bases, 'base')}"
    )
    for note in added.notes:
        click.echo(f"  {printable(note, 400)}")


@reference.command("list")
@json_option
def list_references() -> None:
    """List the references by name; the newest of a name is the one that the name means."""
    rows = [
        {
            "name": each.name,
            "id": each.id,
            "sequences": len(each.contigs),
            "bases": sum(contig.length for contig in each.contigs),
            "annotation": "yes" if each.annotation else "no",
            "size": size_text(each.fasta.size),
        }
        for each in current_home().reads.references()
    ]
    header = ["name", "id", "sequences", "bases", "annotation", "size"]
    records(header, rows, "no references yet; add one: labrelay reference add FILE --name NAME")


@click.group()
def workflow() -> None:
    """Workflow definitions: add, list, lint, inputs."""


@workflow.command("add")
@click.argument("source")
@click.option("--profile", default="", help="for Nextflow: profiles, with commas between them")
@click.option("-c", "--config", type=FOLDER, multiple=True, help="for Nextflow: a file of configuration, copied too")
@json_option
def add_workflow(source: str, profile: str, config: tuple[Path, ...]) -> None:
    """Check a workflow (WDL, Nextflow or one command) and copy it into the home; `definition.toml` is optional.

    SOURCE is a folder, a zip, nf-core/NAME@TAG or https://github.com/OWNER/NAME@TAG; the last two need a network.
    """
    from labrelay.steps import library

    profiles = [name.strip() for name in profile.split(",") if name.strip()]
    definition, findings = library.add_workflow(current_home(), source, profiles, config)
    if wants_json():
        told = definition.model_dump(mode="json", include={"name", "version", "title", "scope"})
        emit({**told, "warnings": [problem.model_dump(mode="json") for problem in findings]})
        return
    _findings(findings)
    click.echo(
        f"{definition.name} {definition.version} was added; its inputs: labrelay workflow inputs {definition.name}"
    )


@workflow.command("list")
@json_option
def list_workflows() -> None:
    """List the workflows that this home can run, and the folders that it cannot load, with the reason."""
    from labrelay.workflows.registry import BUILT_IN, Registry

    registry = Registry(current_home().path)
    rows = [
        {
            "name": each.name,
            "version": each.version,
            "title": each.title,
            "scope": each.scope,
            "from": "labrelay" if each.folder.is_relative_to(BUILT_IN) else "this home",
            "folder": str(each.folder),
        }
        for each in registry.definitions().values()
    ]
    records(["name", "version", "title", "scope", "from"], rows, "no workflows; add one: labrelay workflow add FOLDER")
    for folder, problems in registry.problems().items():
        click.echo(f"{folder} is not usable: {problems[0]}; labrelay workflow lint {folder}", err=True)


@workflow.command()
@click.argument("folder", type=FOLDER)
@click.option(
    "--for", "engine", type=click.Choice(["local", "healthomics"]), default="local", help="where it shall run"
)
@json_option
def lint(folder: Path, engine: str) -> int:
    """Say all that is wrong or doubtful with a workflow's folder; exit code 1 when it cannot be added, or run there."""
    from labrelay.model.problem import errors_of
    from labrelay.workflows.healthomics.lint import lint_for_healthomics
    from labrelay.workflows.lint import lint as lint_anywhere

    find = lint_for_healthomics if engine == "healthomics" else lint_anywhere
    findings = find(_folder(folder))
    errors = errors_of(findings)
    if wants_json():
        emit([problem.model_dump(mode="json") for problem in findings])
    else:
        _findings(findings)
        click.echo(f"{counted(len(errors), 'error')}, {counted(len(findings) - len(errors), 'warning')}")
    return 1 if errors else 0


@workflow.command()
@click.argument("name")
@click.option("--template", is_flag=True, help="a JSON file to fill in, for labrelay submit --inputs")
@json_option
def inputs(name: str, template: bool) -> None:
    """List a workflow's inputs: type, default, and where each value comes from when it runs on a sample."""
    from labrelay.workflows.registry import Registry
    from labrelay.workflows.schema import input_template, schema_of

    definition = Registry(current_home().path).get(name)
    schema = schema_of(definition)
    shown = input_template(schema)
    if template:
        emit(shown)
        return
    if wants_json():
        emit(schema)
        return
    sheet = definition.samplesheet.parameter if definition.samplesheet else None
    rows: list[dict[str, Any]] = []
    for qualified, shape in schema["properties"].items():
        short = qualified.removeprefix(definition.prefix)
        spec = definition.inputs.get(short)
        rows.append(
            {
                "name": short,
                "needed": "yes" if qualified in schema["required"] else "",
                "type_or_default": str(shown[qualified]),
                "on_a_sample": "sample sheet" if qualified == sheet else spec.source.value if spec else "parameter",
                "what": shape.get("description") or (spec.label if spec else None),
            }
        )
    records(["name", "needed", "type_or_default", "on_a_sample", "what"], rows, f"{name} takes no inputs")


def _folder(folder: Path) -> Path:
    from labrelay.model.errors import UsageError

    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}")
    return folder


def _findings(findings: list[Problem]) -> None:
    for problem in findings:
        click.echo(f"{problem.severity.value}: {problem}")


@click.group()
def rules() -> None:
    """Routing rules: show, test."""


@rules.command("show")
@json_option
def show_rules() -> None:
    """Show the rules of `rules.toml`: which samples get which workflow."""
    from labrelay.steps.rules import FILE, load_rules

    home = current_home()
    found = load_rules(home.path)
    if wants_json():
        emit([rule.model_dump(mode="json") for rule in found])
        return
    rows = [
        (
            rule.name,
            " and ".join(f"{name} is {pattern}" for name, pattern in rule.when if pattern != "*") or "always",
            rule.workflow + (f" {rule.version}" if rule.version else ""),
            rule.reference,
            rule.scope,
            rule.merge,
            _where(rule),
            ", ".join(f"{name}={value}" for name, value in rule.parameters.items()),
        )
        for rule in found
    ]
    header = ["rule", "when", "workflow", "reference", "scope", "merge", "on", "parameters"]
    table(header, rows, f"no rules yet: {home.path / FILE} has an example")


def _where(rule: Rule) -> str | None:
    told: list[str] = [rule.on] if rule.on else []
    told += [f"{rule.on_large} above {rule.large_gb:g} GB"] if rule.on_large else []
    told += [f"{rule.priority} priority"] if rule.priority != "normal" else []
    return ", ".join(told) or None


@rules.command("test")
@click.argument("folder", metavar="FOLDER|FILE", type=FOLDER)
@json_option
def test_rules(folder: Path) -> int:
    """Say for each sample of a run folder what would run, and for the others why not; nothing is stored.

    Exit code 1 when nothing at all would run.
    """
    from labrelay.steps.rehearse import rehearse

    run, said = rehearse(current_home(), folder)
    if wants_json():
        emit({"run_id": run.run_id, "samples": [each.model_dump(mode="json") for each in said]})
    else:
        click.echo(f"{printable(run.name)}: {counted(len(said), 'sample')}")
        for each in said:
            _rehearsed(each)
    return 0 if any(each.why_not is None for each in said) else 1


def _rehearsed(each: Rehearsed) -> None:
    match = (
        f"{printable(each.sample)} of {printable(each.experiment or '')}, by {each.matched_by}" if each.sample else "–"
    )
    click.echo(f"\n{printable(each.label)}: {match}")
    if each.why_not and not each.rules:
        click.echo(f"  nothing runs: {printable(each.why_not, 400)}")
        return
    for rule in each.rules:
        if rule.why_not:
            click.echo(f"  not by {printable(rule.rule)}: {printable(rule.why_not, 400)}")
        else:
            on = f" against {rule.reference}" if rule.reference else ""
            where = f" on {rule.where}" if rule.where else ""
            click.echo(f"  {rule.workflow}{on}{where}, by the rule {printable(rule.rule)}")
    if each.why_not and not any(rule.why_not for rule in each.rules):
        click.echo(f"  nothing runs: {printable(each.why_not, 400)}")
