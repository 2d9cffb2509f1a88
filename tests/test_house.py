"""The house keeps its rules: rooms, links, sizes, and nothing that only one machine has."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("model", "parsers", "stores", "workflows", "records", "steps", "flows", "emulator", "api", "cli")
TOP = {
    *("labrelay", "flows", "workflows", "parsers", "tests", "benchmarks", "docs", "demo", "locks"),
    *("prefect.yaml", "pyproject.toml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile"),
    *(".ci", ".gitignore", "infra"),
}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / line for line in listed.splitlines()]


def modules() -> list[Path]:
    return sorted((ROOT / "labrelay").rglob("*.py"))


def test_a_room_imports_only_rooms_to_its_left() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["flows", "workflows", "parsers"])
def test_what_people_look_for_first_is_in_sight(name: str) -> None:
    assert (ROOT / name).is_symlink()
    assert (ROOT / name).resolve() == (ROOT / "labrelay" / name).resolve()


def test_the_linter_reads_every_module_once_whatever_its_room_is_called() -> None:
    ruff = Path(sys.executable).parent / "ruff"
    done = subprocess.run([ruff, "check", ".", "--show-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    read = [Path(line) for line in done.stdout.splitlines()]
    assert [path for path in read if path.is_relative_to(ROOT / "labrelay")] == modules()
    assert not [path for path in read if {*path.relative_to(ROOT).parts[:1]} & {"flows", "workflows", "parsers"}]


def test_nothing_lies_at_the_top_without_a_reason() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in tracked()} <= TOP


def test_no_module_is_two_nouns() -> None:
    long = {str(p.relative_to(ROOT)): n for p in modules() if (n := len(p.read_text().splitlines())) > 400}
    assert long == {}


def test_every_module_says_what_it_is_for() -> None:
    assert [p for p in modules() if not p.read_text().startswith('"""')] == []


def test_the_rooms_are_these() -> None:
    found = {p.name for p in (ROOT / "labrelay").iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert found == set(ROOMS)


def test_nothing_names_a_machine_or_a_registrys_host() -> None:
    word = re.compile(r"/work/(main|shared)|\.\./shared|/root/\.pyenv|files\.pythonhosted|index-url https")
    texts = [p for p in tracked() if p.suffix in (".py", ".toml", ".md", ".txt", ".yaml", ".in", "") and p.is_file()]
    named = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in texts
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if word.search(line)
    ]
    assert named == []


def test_locks_carry_hashes_and_no_urls() -> None:
    for lock in sorted((ROOT / "locks").glob("*.txt")):
        text = lock.read_text()
        assert "--hash=sha256:" in text
        assert not re.search(r"https?://", text), lock


def test_what_make_starts_keeps_its_bytecode_also_where_the_machine_says_otherwise() -> None:
    shown = ["make", "-s", "--eval", 'shown: ; @echo "[$$PYTHONDONTWRITEBYTECODE]"', "shown"]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(shown, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
