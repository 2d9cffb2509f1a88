"""Where the time of `process` goes: each stage by the clock and by this process's processor, and parts of recording."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import time
from collections import defaultdict
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import measure

# Functions of the main job by what a person would call them; a part lies within what stands before it.
PARTS = {
    "record (all)": ("labrelay.steps.collect", "record_run"),
    "  engine's report": ("labrelay.workflows.local.engine", "report_of"),
    "  outputs stored": ("labrelay.steps.record", "_store_outputs"),
    "  gathered": ("labrelay.steps.record", "gather"),
    "  report page": ("labrelay.steps.documents", "write_report"),
    "  crate": ("labrelay.steps.documents", "write_crate"),
    "  committed": ("labrelay.steps.record", "_commit"),
}


def show(lab: Any, settings: str) -> None:
    """Run `process` once in a process of its own and print its stages."""
    home = lab.make_home("stages", settings)
    started = time.perf_counter()
    argv = [sys.executable, "-m", "benchmarks.stages", str(home), str(lab.run)]
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=True)
    wall = time.perf_counter() - started
    from labrelay.workflows.local.engine import LocalEngine

    LocalEngine(home).stop()
    measure.reap_adopted()
    told = json.loads(done.stdout)
    told["start-up and end"] = [wall - sum(v[0] for n, v in told.items() if n not in PARTS), told.pop("imports")[1], 1]
    rows = [[name, str(n), f"{clock:.2f}", f"{cpu:.2f}"] for name, (clock, cpu, n) in told.items()]
    print(f"{len(lab.names)} samples, {measure.machine()}\n")
    measure.table(["stage", "times", "s", "s of process's own processor"], rows)
    measure.keep("stages", {"samples": len(lab.names), "stages": told})


class Clock:
    """Adds up clock and processor by name."""

    def __init__(self) -> None:
        self.told: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0])
        self._open: dict[str, tuple[float, float]] = {}

    def stage(self, name: str, _text: str) -> None:
        self._open[name] = time.perf_counter(), time.process_time()

    def advance(self, what: str, done: int, total: int | None) -> None:
        pass

    def done(self, name: str, _text: str, *, ok: bool = True) -> None:  # noqa: ARG002 (the protocol's)
        clock, cpu = self._open.pop(name)
        entry = self.told[name]
        entry[0] += time.perf_counter() - clock
        entry[1] += time.process_time() - cpu
        entry[2] += 1

    def watch(self, name: str, module: str, function: str) -> None:
        """Time every call of a module's function."""
        where = import_module(module)
        original = getattr(where, function)

        @functools.wraps(original)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self.stage(name, "")
            try:
                return original(*args, **kwargs)
            finally:
                self.done(name, "")

        setattr(where, function, timed)


def main(home: Path, folder: Path) -> None:
    began = time.process_time()
    from labrelay.steps.home import open_home
    from labrelay.steps.process import process

    clock = Clock()
    for name, (module, function) in PARTS.items():
        clock.watch(name, module, function)
    opened = open_home(home, clock)
    imports = time.process_time() - began
    process(opened, folder)
    opened.close()
    clock.told["imports"] = [0.0, imports, 1]
    print(json.dumps(clock.told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
