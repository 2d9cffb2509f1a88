"""A home in a temporary folder, for the tests of this room."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labrelay.steps.home import Home, init_home, open_home

# The seed of the records' tests is a plain module; importlib mode puts no test folder on the path.
sys.path.insert(0, str(Path(__file__).parents[1] / "records"))

MakeHome = Callable[..., Home]


@pytest.fixture
def make_home(tmp_path: Path) -> Iterator[MakeHome]:
    """Return a function that makes (or opens again) the home with these lines in its settings."""
    opened: list[Home] = []

    def make(settings: str = "") -> Home:
        path = tmp_path / "home"
        init_home(path)
        if settings:
            file = path / "labrelay.toml"
            kept = [line for line in file.read_text().splitlines() if line.startswith("database_url")]
            file.write_text("\n".join([*kept, settings]), encoding="utf-8")
        opened.append(open_home(path))
        return opened[-1]

    yield make
    for home in opened:
        home.close()


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    """Return a folder that instruments write into."""
    folder = tmp_path / "landing"
    folder.mkdir()
    return folder
