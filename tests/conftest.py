"""What all tests share: the factories, settings of their own, and a skip that is a failure in CI.

The factories of the tests are plain modules; importlib mode puts no test folder on the path by itself.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "factory"))
OURS = ("LABRELAY_NO_SKIPS", "LABRELAY_SOAK_TRIALS")


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
