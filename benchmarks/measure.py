"""What the benchmarks share: costs of process trees by wait4, medians, tables, and the raw figures as JSON."""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RAW = Path(__file__).resolve().parent / "raw"
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


@dataclass
class Cost:
    """Seconds by the clock, seconds of processors, and the peak memory of the largest process in MiB."""

    wall: float
    cpu: float
    rss: float


def plain_environment(compiled: Path) -> dict[str, str]:
    """Return our environment without settings of Labrelay and Python; compiled modules are kept in `compiled`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LABRELAY_", "PYTHON"))}
    return kept | {"PYTHONPYCACHEPREFIX": str(compiled)}


def adopt_orphans() -> None:
    """Become the parent of what our children leave running, so that wait4 counts that too."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def run(command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> Cost:
    """Run a command with its output in `log`; return what it and its waited-for children cost."""
    with log.open("wb") as out:
        started = time.perf_counter()
        # A session of its own, as the engines of a home have: a busy machine shares its cores out by session.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=env,
            start_new_session=True,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}; see {log}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def run_many(commands: Iterable[tuple[Sequence[str], Path]], at_once: int, env: Mapping[str, str] | None) -> Cost:
    """Run the commands, so many at once, each starting when another has ended; return what all cost together."""
    started = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        costs = list(pool.map(lambda command: run(*command, env), commands))
    return Cost(time.perf_counter() - started, sum(c.cpu for c in costs), max(c.rss for c in costs))


def reap_adopted() -> tuple[float, float]:
    """Wait for every adopted process; return their seconds of processors and the largest one's peak MiB."""
    cpu = rss = 0.0
    while True:
        try:
            _, _, usage = os.wait4(-1, 0)
        except ChildProcessError:
            return cpu, rss
        cpu += usage.ru_utime + usage.ru_stime
        rss = max(rss, usage.ru_maxrss / 1024)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return `median (lowest-highest)`."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a Markdown table."""
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")


def keep(name: str, content: Mapping[str, object]) -> None:
    """Write the raw figures to `raw/<name>.json`."""
    RAW.mkdir(exist_ok=True)
    (RAW / f"{name}.json").write_text(json.dumps({"machine": machine(), **content}, indent=1) + "\n")


def machine() -> str:
    """Return what the figures were measured on, and how busy it is."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{os.cpu_count()} cores, load {load}, Python {platform.python_version()}, {sys.platform}"


def team(work: Callable[..., None], parts: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Run `work(*part, start, times)` for each part in a fresh process; return what each has put into `times`.

    All wait at `start`, so that what they measure begins when the last of them is ready. What each puts begins with the
    time when it began and the time when it ended.
    """
    spawn = multiprocessing.get_context("spawn")
    start, times = spawn.Barrier(len(parts)), spawn.Queue()
    workers = [spawn.Process(target=work, args=(*part, start, times)) for part in parts]
    for each in workers:
        each.start()
    spans = [times.get() for _ in workers]
    for each in workers:
        each.join()
        assert each.exitcode == 0
    return spans


def between(spans: Sequence[tuple[Any, ...]]) -> float:
    """Return the seconds from the first beginning to the last end of what a team has put."""
    return float(max(span[1] for span in spans) - min(span[0] for span in spans))
