"""A home with tokens and a signed hook, and its front door in this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The door's factory is a plain module beside the tests; importlib mode puts no test folder on the path.
sys.path.insert(0, str(Path(__file__).parent))

from doorway import Doorway


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Doorway]:
    """Return the front door of a fresh home."""
    opened = Doorway(tmp_path)
    yield opened
    opened.close()
