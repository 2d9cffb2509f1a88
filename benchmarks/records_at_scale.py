"""Medians of search, lineage and the stale set in a metadata store of 1,000,000 files and 100,000 workflow runs.

    .venv/bin/python -m benchmarks.records_at_scale [--runs 100000] [--json] [--database postgresql+psycopg://…]

Each run reads two files of a sample and writes eight. The rows are written by plain inserts, with the index kept up as
in a home; the queries are those of the commands. Without `--database` the store is SQLite in a temporary folder.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from labrelay.records.database import Database
from labrelay.records.lineage import lineage
from labrelay.records.schema import (
    DatasetFileRow,
    DatasetRow,
    ExperimentRow,
    FileRow,
    InstrumentRunRow,
    RunIORow,
    SampleRow,
    WorkflowRunRow,
    WorkflowRunSampleRow,
    WorkflowVersionRow,
)
from labrelay.records.search import Kind, search
from labrelay.records.search_schema import SearchDocumentRow
from labrelay.records.sqlite import sqlite_url

TIMES = 21
OUTPUTS = (
    "consensus.fasta",
    "variants.vcf.gz",
    "aligned.bam",
    "depth.tsv",
    "report.html",
    "qc.json",
    "log.txt",
    "flags",
)
PROJECTS = ("measles", "influenza", "sars-cov-2", "norovirus", "wastewater")
WORKFLOWS = [("viral_variants", "1.0.0"), ("viral_variants", "1.1.0"), ("amplicon_qc", "2.0.0"), ("assembly", "0.9.1")]
MEMBERS = 100  # samples of an experiment, which are sequenced together
Rows = dict[Any, list[dict[str, Any]]]


def id_of(kind: str, *parts: object) -> str:
    """Return an id as the records make them, from whatever parts."""
    return f"{kind}_{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"


def digest_of(place: int) -> str:
    """Return the digest of one of the workflows."""
    return hashlib.sha256(repr(WORKFLOWS[place]).encode()).hexdigest()


def portion(number: int, chance: random.Random) -> Rows:
    """Return the rows of one experiment: an instrument run of 100 samples, each with a workflow run."""
    month = f"{2023 + number // 400}-{number // 34 % 12 + 1:02}"
    at, project = f"{month}-15T10:00:00.{number:06}+00:00", PROJECTS[number % len(PROJECTS)]
    name, instrument = f"{project}-{number:04}", id_of("ins", number)
    experiment = {"id": id_of("exp", number), "name": name, "title": f"Outbreak {number}", "owner": None}
    rows: Rows = {
        ExperimentRow: [experiment | {"project": project, "external_id": None, "created_at": at, "created_by": "x"}],
        InstrumentRunRow: [_instrument(instrument, number, at)],
    }
    for place in range(MEMBERS):
        for table, added in _sample(number * MEMBERS + place, experiment["id"], name, project, instrument, at, chance):
            rows.setdefault(table, []).extend(added)
    return rows


def _instrument(id: str, number: int, at: str) -> dict[str, Any]:
    run_id = f"{number:06}_M01_{number:04}_FC{number}"
    known = {"id": id, "platform": "illumina", "run_id": run_id, "folder": f"/data/{run_id}", "state": "stored"}
    return known | {"reason": None, "flow_cell": f"FC{number}", "content": {}, "created_at": at}


def _sample(
    number: int, experiment: str, name: str, project: str, instrument: str, at: str, chance: random.Random
) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    sample, run, label = id_of("smp", number), id_of("run", number), f"SMP{number:06}"
    about = {"barcode": None, "subject": f"patient {number // 3}", "assay": f"{project} amplicon", "project": project}
    known = {"id": sample, "experiment_id": experiment, "name": label, "aliases": [f"alias-{number}"], "revision": 1}
    yield SampleRow, [known | about | {"attributes": {"site": f"clinic {number % 97}"}, "created_at": at}]
    path = f"{name}/{label}/{WORKFLOWS[number % 4][0]}-{WORKFLOWS[number % 4][1]}"
    reads = [_file(f"raw/{instrument}/{label}_R{mate}_001.fastq.gz", "reads", at) for mate in (1, 2)]
    made = [_file(f"{path}/{output}", "output", at) for output in OUTPUTS]
    yield FileRow, [*reads, *made]
    dataset = id_of("dat", number)
    row = {"id": dataset, "instrument_run_id": instrument, "label": label, "sample_id": sample, "state": "assigned"}
    yield DatasetRow, [row | {"matched_by": "id", "created_at": at}]
    yield (
        DatasetFileRow,
        [{"dataset_id": dataset, "file_id": f["id"], "lane": 1, "read": m} for m, f in enumerate(reads)],
    )
    yield WorkflowRunRow, [_run(run, number, experiment, path, at, chance)]
    yield WorkflowRunSampleRow, [{"run_id": run, "sample_id": sample, "revision": 1}]
    ins = [
        {"run_id": run, "direction": "in", "name": "reads", "idx": i, "file_id": f["id"]} for i, f in enumerate(reads)
    ]
    outs = [
        {"run_id": run, "direction": "out", "name": n, "idx": 0, "file_id": f["id"]}
        for n, f in zip(OUTPUTS, made, strict=True)
    ]
    yield RunIORow, [*ins, *outs]


def _file(key: str, role: str, at: str) -> dict[str, Any]:
    digest = hashlib.sha256(key.encode()).hexdigest()
    known = {"id": id_of("fil", key), "storage": "objects", "key": key, "version": digest, "sha256": digest}
    return known | {"size": 1000, "role": role, "stats": None, "created_at": at}


def _run(run: str, number: int, experiment: str, path: str, at: str, chance: random.Random) -> dict[str, Any]:
    verdict = chance.choices(["pass", "warn", "fail"], [90, 8, 2])[0]
    stale = "viral_variants 1.1.0 is asked for" if number % 4 == 0 and chance.random() < 0.5 else None
    key = hashlib.sha256(run.encode()).hexdigest()
    known = {"id": run, "key": key, "experiment_id": experiment, "workflow_digest": digest_of(number % 4)}
    asked = {
        "engine": "local",
        "parameters": {},
        "inputs": [],
        "reference_id": None,
        "rule": "by hand",
        "generation": 0,
    }
    state = {
        "state": "COMPLETE",
        "state_at": at,
        "failure": None,
        "verdict": verdict,
        "stale": stale,
        "recorded_at": at,
    }
    return known | asked | state | {"result_path": path, "created_at": at, "created_by": "x", "ended_at": at}


def fill(db: Database, runs: int) -> None:
    """Write the rows, an experiment a transaction as a lab does."""
    chance = random.Random(7)
    with db.write() as session:
        versions = [
            {"digest": digest_of(i), "name": n, "version": v, "language": "WDL", "main": "main.wdl", "bundle_key": "x"}
            for i, (n, v) in enumerate(WORKFLOWS)
        ]
        session.execute(insert(WorkflowVersionRow), [v | {"content": {}, "created_at": "2023"} for v in versions])
    began = time.perf_counter()
    for number in range(runs // MEMBERS):
        with db.write() as session:
            for table, rows in portion(number, chance).items():
                session.execute(insert(table), rows)
        if number % 100 == 99:
            print(f"  {number + 1} experiments in {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    if db.engine.dialect.name == "postgresql":
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")  # what its own daemon does after a while


def stale_set(session: Session) -> int:
    """Return how many results of one workflow version are out of date, with why; the whole set is fetched."""
    query = select(WorkflowRunRow.id, WorkflowRunRow.stale).where(
        WorkflowRunRow.workflow_digest == digest_of(0), WorkflowRunRow.stale.is_not(None)
    )
    return len(session.execute(query).all())


def queries(runs: int) -> dict[str, Callable[[Session], object]]:
    """Return what is measured, by what a person would call it."""
    middle = runs // 2
    sample = f"SMP{middle:06}"
    path = f"{PROJECTS[middle // MEMBERS % 5]}-{middle // MEMBERS:04}/{sample}"
    output = id_of("fil", f"{path}/{WORKFLOWS[middle % 4][0]}-{WORKFLOWS[middle % 4][1]}/{OUTPUTS[0]}")
    reads = id_of("fil", f"raw/{id_of('ins', middle // MEMBERS)}/{sample}_R1_001.fastq.gz")

    def searched(text: str, kind: Kind | None = None) -> Callable[[Session], object]:
        return lambda session: search(session, text, kind)

    return {
        "lineage up of an output": lambda session: lineage(session, output, "up"),
        "lineage down of a file of reads": lambda session: lineage(session, reads, "down"),
        "stale set of a workflow version": stale_set,
        "search: nothing in particular": searched(""),
        "search: fields alone": searched("workflow:viral_variants verdict:fail stale:yes"),
        "search: a sample": searched(sample),
        "search: the beginning of samples": searched(sample[:7]),
        "search: a short beginning": searched("SMP"),
        "search: an id": searched(output),
        "search: two words": searched('"clinic 7" measles'),
        "search: a word of 100,000 files": searched("consensus", "file"),
        "search: a word of a million things": searched("viral"),
        "search: a word, narrowed": searched("measles verdict:fail month:2024-03"),
        "search: nothing fits": searched("no such thing"),
        "search: the middle of a word": searched("easle", "sample"),
    }


def measure(db: Database, ask: Callable[[Session], object]) -> tuple[float, float]:
    """Return the medians of a query's time by the clock and of this processor, in ms, each in a session of its own."""
    clock, processor = [], []
    for _ in range(TIMES + 1):
        began = time.perf_counter(), time.process_time()
        with db.read() as session:
            ask(session)
        clock.append(time.perf_counter() - began[0])
        processor.append(time.process_time() - began[1])
    return round(median(clock[1:]) * 1000, 1), round(median(processor[1:]) * 1000, 1)


def main() -> None:
    """Fill a store, ask it, and print the medians."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=100_000)
    options.add_argument("--database", help="the URL of an empty database; default: SQLite in a temporary folder")
    options.add_argument("--json", action="store_true")
    options.add_argument("--keep", type=Path, help="a folder for the SQLite file, which is used again when it is there")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = given.keep or Path(folder)
        db = Database(given.database or sqlite_url(place / "records.sqlite"))
        db.ensure()
        began = time.perf_counter()
        with db.read() as session:
            there = session.scalar(select(func.count()).select_from(WorkflowRunRow)) or 0
        if not there:
            fill(db, given.runs)
        filled = time.perf_counter() - began
        with db.read() as session:
            things = session.scalar(select(func.count()).select_from(SearchDocumentRow))
        figures = {name: measure(db, ask) for name, ask in queries(given.runs).items()}
        kind = db.engine.dialect.name
        db.close()
    if given.json:
        told = {"database": kind, "runs": given.runs, "searched": things, "fill_seconds": filled, "median_ms": figures}
        print(json.dumps(told))
        return
    print(f"{kind}: {given.runs} runs, {things} things to search, written in {filled:.0f} s; medians of {TIMES} in ms:")
    print("     clock  processor")
    for name, (clock, processor) in figures.items():
        print(f"  {clock:8.1f}   {processor:8.1f}  {name}")


if __name__ == "__main__":
    main()
