"""`--help` answers at once: it imports nothing heavy, and every command has one."""

from __future__ import annotations

import json
import subprocess
import sys

import click
import pytest

from labrelay.cli.main import COMMANDS, labrelay

HEAVY = {
    "pydantic",
    "numpy",
    "pysam",
    "Bio",
    "WDL",
    "rocrate",
    "sqlalchemy",
    "alembic",
    "prefect",
    "rich",
    "httpx",
    "jinja2",
    "jsonschema",
    "xlsxwriter",
}
GROUPS = {
    "catalogue": {"check", "publish", "search"},
    "audit": {"list", "verify", "export", "anchor"},
    "aws": {"policies"},
    "db": {"upgrade", "backup", "check", "copy"},
    "runs": {"list", "show", "logs", "cancel", "retry"},
    "reprocess": {"stale", "status"},
    "eln": {"check", "status", "pull", "reconcile", "settle", "link"},
    "results": {"list", "show", "get", "export", "override"},
    "reads": {"list", "uris", "activate", "export", "upload"},
    "reference": {"add", "list"},
    "workflow": {"add", "list", "lint", "inputs"},
    "rules": {"show", "test"},
    "token": {"add", "list", "revoke"},
}
PROGRAM = """
import sys, json
sys.argv = ["labrelay", *json.loads(sys.argv[1])]
from labrelay.cli.main import main
try:
    main()
except SystemExit as stopped:
    print(json.dumps([stopped.code, sorted({name.partition(".")[0] for name in sys.modules})]), file=sys.stderr)
"""


def imported_for(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(arguments)], capture_output=True, text=True, check=True
    )
    code, modules = json.loads(done.stderr)
    assert code == 0
    assert "Usage: labrelay" in done.stdout or arguments == ("--version",)
    return set(modules)


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("process", "--help"), ("runs", "list", "--help")])
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert not imported_for(*arguments) & HEAVY


def test_the_search_for_heavy_modules_finds_them_when_they_are_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import labrelay.face, sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"pydantic", "sqlalchemy"} <= set(done.stdout.split())


def test_every_command_of_the_table_is_there_with_help_and_json() -> None:
    context = click.Context(labrelay, info_name="labrelay")
    for name in COMMANDS:
        command = labrelay.get_command(context, name)
        assert command is not None, name
        members = command.commands if isinstance(command, click.Group) else {"": command}
        assert set(members) == GROUPS.get(name, {""})
        for each in members.values():
            assert each.help, name
            assert "--json" in {option for parameter in each.params for option in parameter.opts}, (name, each.name)
            assert "Usage:" in each.get_help(click.Context(each, info_name=each.name, parent=context))


def test_a_command_that_there_is_not_is_the_users_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    from shell import shell

    said = shell(monkeypatch)("proces", "x")
    assert said.code == 2
    assert "No such command 'proces'" in said.err
