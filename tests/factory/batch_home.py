"""A home of the profile healthomics on the emulator that has AWS Batch as well."""

from __future__ import annotations

from pathlib import Path

import pytest
from batch_queues import enabled_queue
from emulated import Emulated

from labrelay.steps.cloud import set_up
from labrelay.steps.home import Home, init_home, open_home
from labrelay.steps.settings import load_settings


def home_with_batch(emulator: Emulated, patch: pytest.MonkeyPatch, path: Path, name: str) -> Home:
    """Make and open a home with stores, a bucket, a run role and a queue of its own; the caller closes it."""
    for variable, value in emulator.environment.items():
        patch.setenv(variable, value)
    enabled_queue(emulator.client("batch"), name)
    init_home(path)
    with (path / "labrelay.toml").open("a") as settings:
        settings.write(f'start_run_rate = 100\nbatch_queue = "{name}"\nbatch_image = "labrelay:test"\n')
        settings.write('batch_role_arn = "arn:aws:iam::123456789012:role/labrelay-jobs"\n')
    role = "arn:aws:iam::123456789012:role/labrelay-runs"
    set_up(path, load_settings(path), name=name, bucket=f"labrelay-{name}", role_arn=role)
    return open_home(path)
