from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from labrelay.emulator import launch


def test_python_does_not_warn_of_an_emulator_that_is_meant_to_outlive_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    children = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])]
    pid = children[0].pid
    running = launch.Running("http://127.0.0.1:1", 1, pid, None, None)
    monkeypatch.setattr(launch, "_spawn", lambda _data, _options, *, leashed: children.pop())
    monkeypatch.setattr(launch, "_wait", lambda _data, _child: running)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            assert launch.detach(tmp_path) is running
        assert not [str(warning.message) for warning in warned]
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
