"""What the documents say is true: links lead somewhere, commands exist, examples run, and the map is whole."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest
from tiny_run import TinyLab

from labrelay import announce, process, results
from labrelay.cli.main import labrelay
from labrelay.steps.collect import wait_for
from labrelay.steps.direct import submit_direct
from labrelay.steps.results import results_table
from labrelay.steps.rules import load_rules
from labrelay.workflows.lint import lint

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    page
    for page in [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *ROOT.glob("demo/*.md"),
        *ROOT.glob("benchmarks/*.md"),
    ]
)
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]+)(?:#[^)]*)?\)")
COMMAND = re.compile(r"`(labrelay [^`]+)`")
EXAMPLE_RUN = "/data/runs/231108_M04586_0992_000000000-L7342"


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of one language in a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tests" / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands() -> list[str]:
    """Return every command line of `labrelay` in the pages, from blocks for the shell and from the text."""
    found: set[str] = set()
    for page in PAGES:
        text = page.read_text()
        lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
        found |= {line.strip() for line in lines if line.startswith("labrelay ")}
        found |= {" ".join(command.split()) for command in COMMAND.findall(text)}
    return sorted(found)


def mistake_in(line: str) -> str | None:
    """Say which command or option of a command line there is not."""
    command: click.Command = labrelay
    context = click.Context(command, info_name="labrelay")
    words = [word for word in shlex.split(line)[1:] if not word.endswith("…")]
    values = 0
    for place, word in enumerate(words):
        if values:
            values -= 1
        elif word.startswith("-"):
            options = {name: o for o in command.params if isinstance(o, click.Option) for name in o.opts}
            names = set(options) | set(context.help_option_names)
            if word not in names:
                return f"{' '.join(words[:place])} has no {word}"
            values = 0 if word not in options or options[word].is_flag else 1
        elif isinstance(command, click.Group) and word != "COMMAND":
            inner = command.get_command(context, word)
            if inner is None:
                return f"there is no {' '.join(words[: place + 1])}"
            command, context = inner, click.Context(inner, parent=context, info_name=word)
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    links = LINK.findall(page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("line", commands())
def test_every_command_in_the_documents_exists_with_its_options(line: str) -> None:
    assert mistake_in(line) is None


def test_a_command_or_option_that_is_not_there_is_noticed() -> None:
    assert mistake_in("labrelay proces FOLDER") == "there is no proces"
    assert mistake_in("labrelay runs lst") == "there is no runs lst"
    assert mistake_in("labrelay process FOLDER --fast") == "process FOLDER has no --fast"
    assert mistake_in("labrelay --home lab results get alpha --to copies") is None
    assert len(commands()) > 30


def test_pictures_of_the_documents_load_nothing_from_elsewhere() -> None:
    for picture in (ROOT / "docs" / "images").glob("*.svg"):
        text = picture.read_text()
        assert "@font-face" not in text
        assert re.findall(r"url\((?!#|\"#)[^)]*\)|\bhref=", text) == []


def test_the_python_example_of_the_readme_runs(tmp_path: Path) -> None:
    lab = TinyLab(tmp_path)
    [example] = blocks(ROOT / "README.md", "python")
    assert EXAMPLE_RUN in example
    done = subprocess.run(
        [sys.executable, "-c", example.replace(EXAMPLE_RUN, str(lab.run))],
        cwd=tmp_path,
        env=os.environ | {"LABRELAY_HOME": str(lab.home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "alpha 100 pass\nbeta 60 warn\n"


def test_the_workflow_in_the_documents_has_no_fault_and_runs(tmp_path: Path) -> None:
    lab = TinyLab(tmp_path)
    page = ROOT / "docs" / "workflows.md"
    folder = lab.home / "definitions" / "count_reads"
    [wdl], [definition, _] = blocks(page, "wdl"), blocks(page, "toml")
    (folder / "main.wdl").write_text(wdl)
    (folder / "definition.toml").write_text(definition)
    assert lint(folder) == []
    announce(lab.table, home=lab.home)
    assert process(lab.run, home=lab.home).failed == []
    assert {row.sample: row.verdict.value for row in results(home=lab.home)} == {"alpha": "warn", "beta": "warn"}


def test_the_command_in_the_documents_has_no_fault_and_runs(tmp_path: Path) -> None:
    lab = TinyLab(tmp_path)
    folder = lab.home / "definitions" / "depth"
    folder.mkdir()
    (folder / "definition.toml").write_text(blocks(ROOT / "docs" / "workflows.md", "toml")[1])
    assert lint(folder) == []
    home = lab.open()
    bam = str(ROOT / "tests" / "data" / "alignments" / "range.bam")
    for more, least in (({}, 10), ({"min_quality": 255}, 0)):
        (run,) = submit_direct(home, "depth", inputs={"bam": bam, **more}).runs
        wait_for(home, [run])
        (row,) = [row for row in results_table(home) if row.run == run]
        text = (home.path / "results" / row.result_path / "depth.tsv").read_text()
        assert len(text.splitlines()) >= least
        assert bool(text) is bool(least)
    home.close()


def test_the_rules_in_the_documents_are_rules(tmp_path: Path) -> None:
    [text] = blocks(ROOT / "docs" / "rules.md", "toml")
    (tmp_path / "rules.toml").write_text(text)
    [rule] = load_rules(tmp_path)
    assert (rule.workflow, rule.when.assay, rule.parameters) == ("viral_variants", "measles*", {"min_depth": 20})


def test_the_page_of_settings_is_what_the_program_says() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    assert page == tool("settings_table").document(), "run: python tests/tools/settings_table.py --write"


def test_every_module_stands_in_the_map_and_every_path_of_the_map_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    listed = re.findall(r"^- `(labrelay/[^`]+)`: \S", text, re.MULTILINE)
    there = [str(module) for module in tool("code_map").modules()]
    assert sorted(listed) == sorted(there), "run: python tests/tools/code_map.py"


def test_every_decision_stands_in_their_list() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = LINK.findall((folder / "README.md").read_text())
    assert listed == sorted(page.name for page in folder.glob("0*.md"))
