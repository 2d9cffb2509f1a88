"""The real Kadi server for the tests of this folder, and the way to its plain modules."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kadi_server import Kadi, NotHere, kadi_server

# The contract and the fake are plain modules beside the tests; importlib mode puts no test folder on the path.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def kadi() -> Iterator[Kadi]:
    """The real Kadi4Mat server, started once a session."""
    try:
        with kadi_server() as running:
            yield running
    except NotHere as lacking:
        pytest.skip(str(lacking))
