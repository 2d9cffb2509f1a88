"""What all tests share: the factories, settings of their own, and a skip that is a failure in CI.

The factories of the tests are plain modules; importlib mode puts no test folder on the path by itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent / "factory"))

import nursery as nursery_factory
import postgres as postgres_factory

if TYPE_CHECKING:
    from emulated import Emulated

# How long an example takes says how busy the machine is.
settings.register_profile("labrelay", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("labrelay")
OURS = ("LABRELAY_NO_SKIPS", "LABRELAY_SOAK_TRIALS", "LABRELAY_TEST_POSTGRES")
ON_POSTGRES = os.environ.get("LABRELAY_TEST_POSTGRES") == "1"  # each home that a test makes has its records there


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure when LABRELAY_NO_SKIPS is set: a test that did not run proved nothing."""
    report = yield
    if os.environ.get("LABRELAY_NO_SKIPS") == "1" and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the caller's LABRELAY_* and PREFECT_* settings out of the tests."""
    for name in list(os.environ):
        if name.startswith(("LABRELAY_", "PREFECT_")) and name not in OURS:
            monkeypatch.delenv(name)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name bytes by their number: compressed ones hold the time, and both workers have to see the same names."""
    return f"{len(val)} bytes" if isinstance(val, bytes) and len(val) > 12 else None


@pytest.fixture(scope="session", autouse=True)
def nursery() -> Iterator[nursery_factory.Nursery]:
    """Have the local engine's runners forked from one process that has paid for the imports."""
    from labrelay.workflows.local import engine

    made = nursery_factory.Nursery()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "subprocess", made)
        yield made
    made.close()


@pytest.fixture(autouse=True)
def _or_started_as_ever(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start each runner as users have it, a new Python, where a test says `cold` or how engines are started."""
    if request.node.get_closest_marker("cold") is not None or "fork_from" in request.fixturenames:
        from labrelay.workflows.local import engine

        monkeypatch.setattr(engine, "subprocess", subprocess)


@pytest.fixture(scope="session", autouse=True)
def _made_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    import once

    with once.shared(tmp_path_factory.mktemp("once")):
        yield


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    """An emulator that all tests of this process use, under names of their own."""
    from emulated import emulated

    with emulated(tmp_path_factory.mktemp("emulator")) as found:
        yield found


@pytest.fixture(scope="module")
def own_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    """An emulator for a file whose tests say what the whole account holds."""
    from emulated import emulated

    with emulated(tmp_path_factory.mktemp("own-emulator")) as found:
        yield found


@pytest.fixture(scope="session")
def cluster() -> Iterator[postgres_factory.Cluster]:
    """A real PostgreSQL whose database `empty` has today's tables; skipped where no server is installed."""
    if (reason := postgres_factory.missing()) is not None:
        pytest.skip(reason)
    import once

    from labrelay.records import postgres
    from labrelay.records.database import Database

    made = postgres_factory.Cluster()
    try:
        made.execute("CREATE DATABASE empty")
        db = Database(made.url("empty"))
        db.ensure()
        with pytest.MonkeyPatch.context() as patch:
            once.share_sql(patch, postgres, db.engine)
            db.close()
            yield made
    finally:
        made.stop()


@pytest.fixture(autouse=ON_POSTGRES)
def _homes_on_postgres(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the settings of each home that is made name a database of its own on PostgreSQL."""
    from labrelay.steps import home

    cluster: postgres_factory.Cluster = request.getfixturevalue("cluster")
    write: Callable[[Path, bytes], None] = home.write_atomic

    def with_database(path: Path, content: bytes) -> None:
        if path.name == "labrelay.toml":
            content += f'database_url = "{cluster.url(cluster.create("empty"))}"\n'.encode()
        write(path, content)

    monkeypatch.setattr(home, "write_atomic", with_database)
