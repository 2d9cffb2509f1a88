"""What the emulator's tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from emulated_storage import Storage, forget_objects, new_storage, s3_in_memory


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    with s3_in_memory() as url:
        yield url


@pytest.fixture
def storage(tmp_path: Path, s3_url: str) -> Storage:
    """An emulated account with its stores, whose background work is done when the test says so."""
    forget_objects(s3_url)
    return new_storage(tmp_path / "data", s3_url)
