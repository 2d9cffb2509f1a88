from __future__ import annotations

import pytest

from .trials import Bench


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A prepared laboratory with the engine double, made once."""
    return Bench(tmp_path_factory.mktemp("bench"))
