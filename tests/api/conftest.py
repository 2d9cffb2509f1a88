"""A home with tokens and a signed hook, and its front door in this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres import Cluster

from labrelay.records.sqlite import sqlite_url

# The door's factory is a plain module beside the tests; importlib mode puts no test folder on the path.
sys.path.insert(0, str(Path(__file__).parent))

from doorway import Doorway


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Doorway]:
    """Return the front door of a fresh home."""
    opened = Doorway(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def file_door(tmp_path: Path) -> Iterator[Doorway]:
    """Return the same with its records in a file, whatever the other tests have."""
    opened = Doorway(tmp_path, sqlite_url(tmp_path / "records.sqlite"))
    yield opened
    opened.close()


@pytest.fixture(params=["sqlite", "postgres"])
def each_door(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Doorway]:
    """Return the front door of a fresh home on each kind of database."""
    if request.param == "sqlite":
        url = sqlite_url(tmp_path / "records.sqlite")
    else:
        cluster: Cluster = request.getfixturevalue("cluster")
        url = cluster.url(cluster.create("empty"))
    opened = Doorway(tmp_path, url)
    yield opened
    opened.close()
