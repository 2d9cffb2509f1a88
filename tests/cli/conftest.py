"""One tiny laboratory for the whole room, whose instrument run has been processed by the real command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from shell import Said, shell
from tiny_run import TinyLab


@pytest.fixture(scope="session")
def processed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TinyLab, Said]]:
    """Return the laboratory and what `labrelay process` said; tests must not change what it holds."""
    lab = TinyLab(tmp_path_factory.mktemp("lab"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LABRELAY_HOME", raising=False)
        run = shell(patch, lab.home)
        assert run("announce", lab.table).code == 0
        yield lab, run("process", lab.run)


@pytest.fixture
def lab(processed: tuple[TinyLab, Said]) -> TinyLab:
    return processed[0]


@pytest.fixture
def labrelay(lab: TinyLab, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Return the command with the processed home."""
    return shell(monkeypatch, lab.home)


@pytest.fixture
def fresh(tmp_path: Path) -> TinyLab:
    """Return a laboratory in which nothing has happened."""
    return TinyLab(tmp_path)


@pytest.fixture
def fresh_labrelay(fresh: TinyLab, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    return shell(monkeypatch, fresh.home)
