"""`labrelay aws`: what a lab's own administrators need of us. Asks AWS nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from labrelay.cli.show import emit, json_option, wants_json


@click.group()
def aws() -> None:
    """Least-privilege policies for AWS, filled in from the settings."""


@aws.command("policies")
@click.argument("role", required=False)
@click.option(
    "--set", "given", multiple=True, metavar="NAME=VALUE", help="fill in a name, such as account=111122223333"
)
@click.option("--document", metavar="NAME", help="only this document of the role: trust, permissions, queue or deny")
@click.option("--to", type=click.Path(path_type=Path), help="write the documents into this folder, ROLE.DOCUMENT.json")
@json_option
def policies(role: str | None, given: tuple[str, ...], document: str | None, to: Path | None) -> None:
    """Print what each role may do, ready for IAM; without ROLE, list the roles.

    Names are taken from the home's settings; what is not known stays as ${name} and is said at the end.
    """
    from labrelay.steps import aws_policies as book

    values = _values(given)
    rendered = {name: book.render(name, values) for name in ([role] if role else book.ROLES)}
    missing = sorted(set().union(*(book.placeholders(name) for name in rendered)) - set(values))
    if to is not None:
        written = _write(to, rendered)
        if wants_json():
            emit({"written": [str(path) for path in written], "missing": missing})
        else:
            for path in written:
                click.echo(str(path))
    elif role is not None:
        emit(_one(role, rendered[role], document))
    elif wants_json():
        emit({name: {"about": book.about(name), **documents} for name, documents in rendered.items()})
    else:
        for name in book.ROLES:
            click.echo(f"{name:<11} {', '.join(book.documents(name)):<19} {book.about(name)}")
        click.echo("\none of them: labrelay aws policies ROLE; all as files: labrelay aws policies --to FOLDER")
    if missing and (role is not None or to is not None):
        click.echo("not known yet: " + ", ".join(f"--set {name}=…" for name in missing), err=True)


def _values(given: tuple[str, ...]) -> dict[str, str]:
    """Return the values for the placeholders; a home is not needed, and what is given wins."""
    from labrelay.model.errors import UsageError
    from labrelay.steps.aws_policies import ROLES, placeholders, values_of
    from labrelay.steps.settings import FILE, find_home, load_settings

    home = find_home(click.get_current_context().find_root().obj["home"])
    values = values_of(load_settings(home) if (home / FILE).is_file() else None)
    known = set().union(*(placeholders(role) for role in ROLES))
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or name not in known:
            raise UsageError(f"--set {each}: give NAME=VALUE, where NAME is one of {', '.join(sorted(known))}")
        values[name] = value
        if name == "bucket":
            values.setdefault("runs_bucket", value)
    return values


def _one(role: str, documents: dict[str, dict[str, Any]], document: str | None) -> dict[str, Any]:
    from labrelay.model.errors import UsageError

    if document is None:
        # A role with one document is printed as AWS wants it, without a name around it.
        return next(iter(documents.values())) if len(documents) == 1 else documents
    if document not in documents:
        raise UsageError(f"{role} has no document {document}: {', '.join(documents)}")
    return documents[document]


def _write(folder: Path, rendered: dict[str, dict[str, dict[str, Any]]]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for role, documents in rendered.items():
        for name, document in documents.items():
            path = folder / f"{role}.{name}.json"
            path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
            written.append(path)
    return written
