"""Kill -9 trials of the real command with the real engine: `labrelay process`, its runner, miniwdl and a task.

The command runs in a process forked from one that has its imports (they would be two thirds of the time), and so do
its runner and miniwdl, but where the runner is what dies: there they are started as always, as the keepers and the
task are everywhere. The task calls `witness`, a program on PATH that appends its working folder to a file beside
itself: what was really computed is counted by nobody of ours.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import pytest
from tiny_run import TinyLab

from labrelay.cli.main import main
from labrelay.workflows.local import engine
from labrelay.workflows.local.processes import boot_id, started_at, stop_recorded

from .invariants import Expected, check_invariants, differences, grow_old, snapshot
from .trials import DONE, in_child

WITNESS = '#!/bin/sh\necho "$PWD" >> "$(dirname "$0")/witnessed"\n'
IN_RUNNER = ("runner.", "bundle.unpacked")  # points that the runner passes
SETTINGS = 'sandbox = "host"\nconcurrency = 2\n'


@dataclass
class Shop:
    """A prepared home whose workflow calls `witness`, and what the undisturbed command makes of it."""

    root: Path
    samples: Mapping[str, int] = field(default_factory=lambda: {"alpha": 12})

    def __post_init__(self) -> None:
        self.lab = TinyLab(self.root / "prepared", samples=dict(self.samples), settings=SETTINGS)
        wdl = self.lab.home / "definitions" / "count_reads" / "main.wdl"
        wdl.write_text(wdl.read_text().replace("set -eu\n", "set -eu\n    witness\n", 1))
        assert in_child(lambda: cli(self.lab.home, "announce", str(self.lab.table)), self.root / "log") == DONE
        self._warm()
        folder = self.fresh("undisturbed")
        code = self.process(folder, {"LABRELAY_FAULT_LOG": str(self.root / "points")})
        assert code == DONE, (folder / "log").read_text()
        self.points = Counter((self.root / "points").read_text().split())
        self.wanted = snapshot(folder / "home")
        assert self.wrong(folder) == []
        assert [*starts(folder).values()] == [*witnessed(folder).values()] == [1] * len(self.samples)

    def fresh(self, name: str) -> Path:
        """Return a new folder with a copy of the prepared home and a witness of its own."""
        folder = self.root / name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.lab.home, folder / "home")
        witness = folder / "bin" / "witness"
        witness.parent.mkdir()
        witness.write_text(WITNESS)
        witness.chmod(0o755)
        return folder

    def process(self, folder: Path, environment: Mapping[str, str] | None = None) -> int:
        """Run `labrelay process` on the run; return its exit code."""
        return self.command(folder, "process", str(self.lab.run), environment=environment)

    def command(self, folder: Path, *words: str, environment: Mapping[str, str] | None = None) -> int:
        """Run a command on the trial's home; return its exit code."""
        path = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
        return in_child(lambda: cli(folder / "home", *words), folder / "log", {**path, **(environment or {})})

    def wrong(self, folder: Path) -> list[str]:
        """Return what is wrong with a trial's home after a sweep."""
        grow_old(folder / "home")
        code = self.command(folder, "sweep")
        found = [] if code == DONE else [f"the sweep ended with {code}: {(folder / 'log').read_text()[-1500:]}"]
        found += check_invariants(folder / "home", Expected((self.lab.run,), starts(folder)))
        found += [f"the task of {token} ran {n} times" for token, n in witnessed(folder).items() if n > 1]
        return found + differences(self.wanted, snapshot(folder / "home"))

    def stop(self) -> None:
        """Stop the runners that still wait for work."""
        for lock in self.root.glob("*/home/engine/runner.lock"):
            text = lock.read_text().strip()
            if text and (began := started_at(int(text))) is not None and b"runner" in line_of(int(text)):
                stop_recorded(int(text), began, boot_id(), 1.0)

    def _warm(self) -> None:
        """Do all of it once in this process: forks find its imports, mappers and templates made."""
        folder = self.fresh("warm")
        path = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
        for words in (["process", str(self.lab.run)], ["sweep"]):
            given = ["labrelay", "--home", str(folder / "home"), *words]
            with (
                patch.dict(os.environ, path),
                patch.object(sys, "argv", given),
                redirect_stdout(io.StringIO()),
                pytest.raises(SystemExit) as end,
            ):
                main()
            assert not end.value.code, words


def cli(home: Path, *words: str) -> None:
    """Be the `labrelay` command in this process; return when it ends with 0.

    Raises:
        SystemExit: With its exit code, if that is not 0.
    """
    sys.argv = ["labrelay", "--home", str(home), *words]
    if os.environ.get("LABRELAY_FAULT", "").startswith(IN_RUNNER):
        engine.subprocess = subprocess
    try:
        main()
    except SystemExit as end:
        if end.code:
            os._exit(int(str(end.code)))


def starts(folder: Path) -> Counter[str]:
    """Return how often the runners of a trial's home have started each attempt."""
    runs = folder / "home" / "runs"
    return Counter({p.parent.name: len(p.read_text().splitlines()) for p in runs.glob("*/starts")})


def witnessed(folder: Path) -> Counter[str]:
    """Return how often the task of each attempt was really run, as the witness tells."""
    told = folder / "bin" / "witnessed"
    lines = told.read_text().splitlines() if told.exists() else []
    return Counter(Path(line).parents[1].name for line in lines)


def runners(folder: Path) -> set[int]:
    """Return the processes that started attempts in a trial's home."""
    files = (folder / "home" / "runs").glob("*/starts")
    return {json.loads(line)["runner"] for file in files for line in file.read_text().splitlines()}


def line_of(pid: int) -> bytes:
    """Return the command line of a process, nothing if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
