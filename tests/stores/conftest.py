"""Every object store and read store runs through the same contract tests: a new one adds its factory here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from labrelay.stores.folder import FolderObjectStore
from labrelay.stores.ports import ObjectStore

OBJECT_STORES: dict[str, Callable[[Path], ObjectStore]] = {
    "folder": lambda tmp_path: FolderObjectStore(tmp_path / "objects"),
}


@pytest.fixture(params=sorted(OBJECT_STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return OBJECT_STORES[request.param](tmp_path)


class Recorder:
    """A watcher that keeps what it saw, and can do something at its first chunk."""

    def __init__(self, at_first: Callable[[], None] | None = None) -> None:
        self.seen = b""
        self.closed = 0
        self._at_first = at_first

    def feed(self, chunk: bytes) -> None:
        if self._at_first is not None and not self.seen:
            self._at_first()
        self.seen += chunk

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def recorder() -> type[Recorder]:
    return Recorder
