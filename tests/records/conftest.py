from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from postgres import Cluster

from labrelay.records.database import Database
from labrelay.records.sqlite import sqlite_url

# The results' factory is a plain module beside the tests; importlib mode puts no test folder on the path.
sys.path.insert(0, str(Path(__file__).parent))

import seed

NewUrl = Callable[[Path], str]


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def new_url(request: pytest.FixtureRequest) -> NewUrl:
    """Return a function that gives the URL of a new metadata store; what uses it runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        return lambda folder: sqlite_url(folder / "records.sqlite")
    cluster: Cluster = request.getfixturevalue("cluster")
    return lambda _folder: cluster.url(cluster.create("empty"))


@pytest.fixture
def db(new_url: NewUrl, tmp_path: Path) -> Iterator[Database]:
    """An empty metadata store."""
    made = seed.open_database(new_url(tmp_path))
    yield made
    made.close()
