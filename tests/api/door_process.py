"""`labrelay serve` as a real process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("LABRELAY_")}


@contextmanager
def serving(home: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Yield the process and its address as soon as it says that it listens."""
    argv = [sys.executable, "-m", "labrelay.cli", "--home", str(home), "serve", "--port", "0", "--json"]
    process = subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT | environment
    )
    try:
        assert process.stdout is not None
        said = "".join(process.stdout.readline() for _line in range(3))  # a JSON object of one member
        yield process, json.loads(said)["url"]
    finally:
        process.kill()
        process.communicate()
