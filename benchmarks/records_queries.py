"""Medians of listing, searching and lineage in a metadata store of 1,000 samples with 20,000 files.

    .venv/bin/python benchmarks/records_queries.py [--samples 1000] [--json]

The store is written by the functions of the main job (`tests/records/seed.py`). Each query runs once unmeasured, then
21 times in a session of its own, as a command would.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "records"))

import seed
from sqlalchemy import func, select

from labrelay.records.lineage import Direction, lineage
from labrelay.records.schema import Base, FileRow, WorkflowRunRow
from labrelay.records.search import Kind, search
from labrelay.records.sqlite import sqlite_url
from labrelay.steps import listing
from labrelay.steps.home import Home, init_home, open_home

TIMES = 21


def queries(home: Home) -> dict[str, Callable[[], object]]:
    """Return what is measured, by what a person would call it."""
    with home.records.read() as session:
        run = session.scalars(select(WorkflowRunRow).order_by(WorkflowRunRow.created_at)).first()
        assert run is not None
        output = session.scalars(select(FileRow.id).where(FileRow.key.startswith(run.result_path))).first()
    assert output is not None
    sample = run.result_path.split("/")[1]

    def searched(text: str, kind: Kind | None = None) -> Callable[[], object]:
        def ask() -> object:
            with home.records.read() as session:
                return search(session, text, kind)

        return ask

    def traced(id: str, direction: Direction) -> Callable[[], object]:
        def ask() -> object:
            with home.records.read() as session:
                return lineage(session, id, direction)

        return ask

    return {
        "list the newest 50 runs": lambda: listing.runs(home),
        "list all runs": lambda: listing.runs(home, limit=None),
        "search a sample's name, all kinds": searched(sample),
        "search two words, all kinds": searched("clinic measles"),
        "search a part of every file's name": searched("output", "file"),
        "search nothing in particular": searched(""),
        "lineage up from an output": traced(output, "up"),
        "lineage down from a sample": traced(sample, "down"),
        "lineage down from an experiment of 50": traced("outbreak-000", "down"),
    }


def measure(ask: Callable[[], object]) -> tuple[float, float]:
    """Return the medians of a query's time by the clock and of the processor, in milliseconds."""
    ask()
    clock, processor = [], []
    for _ in range(TIMES):
        began = time.perf_counter(), time.process_time()
        ask()
        clock.append(time.perf_counter() - began[0])
        processor.append(time.process_time() - began[1])
    return round(median(clock) * 1000, 1), round(median(processor) * 1000, 1)


def main() -> None:
    """Fill a store, ask it, and print the medians."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--samples", type=int, default=1000)
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "home"
        init_home(path)
        home = open_home(path)
        assert home.records.url == sqlite_url(path / "labrelay.sqlite")
        began = time.perf_counter()
        seed.seed(home.records, given.samples)
        filled = time.perf_counter() - began
        with home.records.read() as session:
            rows = sum(session.scalar(select(func.count()).select_from(t)) or 0 for t in Base.metadata.sorted_tables)
        figures = {name: measure(ask) for name, ask in queries(home).items()}
        home.close()
    if given.json:
        print(json.dumps({"samples": given.samples, "rows": rows, "fill_seconds": filled, "median_ms": figures}))
        return
    print(f"{given.samples} samples, {rows} rows, written in {filled:.1f} s; medians of {TIMES} in ms:")
    print("    clock  processor")
    for name, (clock, processor) in figures.items():
        print(f"  {clock:7.1f}    {processor:7.1f}  {name}")


if __name__ == "__main__":
    main()
