from __future__ import annotations

import pytest
from postgres import Cluster

from .trials import Bench


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A prepared laboratory with the engine double, made once."""
    return Bench(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="session")
def bench_on_postgres(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Bench:
    """The same with its records on PostgreSQL."""
    return Bench(tmp_path_factory.mktemp("bench-postgres"), cluster=cluster)
