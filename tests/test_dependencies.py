"""docs/dependencies.md says what we stand on: it is held against pyproject.toml and the locks."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "dependencies.md"
EXTRAS = ("tools", "aws", "emulator", "postgres", "serve", "benchling", "openlineage", "imaging", "nikon", "dev")
SECTIONS = {"Always installed": "core", **{f"Extra `{extra}`": extra for extra in EXTRAS}}


def wanted() -> dict[str, set[str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    parts = {"core": project["dependencies"], **project["optional-dependencies"]}
    names = {part: {re.match(r"[\w.-]+", line)[0].lower() for line in lines} for part, lines in parts.items()}
    return {part: found - {"labrelay"} for part, found in names.items()}


def locked() -> dict[str, set[str]]:
    """Return the versions in the lock by package; some have one for each Python."""
    found: dict[str, set[str]] = {}
    lock = (ROOT / "locks" / "dev.txt").read_text()
    for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", lock, re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def documented() -> dict[str, dict[str, list[str]]]:
    """Return the cells of each row by section and package."""
    found: dict[str, dict[str, list[str]]] = {}
    for section in re.split(r"^## ", DOCUMENT.read_text(), flags=re.MULTILINE)[1:]:
        part = SECTIONS.get(section.splitlines()[0])
        if part:
            rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| ")]
            found[part] = {row[0].strip(): [cell.strip() for cell in row] for row in rows[1:]}
    return found


@pytest.mark.parametrize("part", ["core", *EXTRAS])
def test_each_direct_dependency_has_a_row_and_each_row_a_dependency(part: str) -> None:
    assert set(documented()[part]) == wanted()[part]


def test_every_part_of_pyproject_has_its_section() -> None:
    assert set(wanted()) == set(SECTIONS.values())


def test_versions_are_those_of_the_lock() -> None:
    versions = {name: row[1] for rows in documented().values() for name, row in rows.items()}
    lock = locked()
    assert {name: lock[name] for name, version in versions.items() if version not in lock[name]} == {}


def test_each_row_says_licence_size_import_and_why() -> None:
    for rows in documented().values():
        for name, (_name, _version, licence, size, took, why) in rows.items():
            assert licence, name
            assert re.fullmatch(r"\d+\.\d MB", size), name
            assert re.fullmatch(r"\d+ ms|–", took), name
            assert len(why) > 4, name
