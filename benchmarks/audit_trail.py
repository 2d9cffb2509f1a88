"""Rows of an audit trail written and verified a second, and the verifier's memory.

    .venv/bin/python benchmarks/audit_trail.py [--rows 200000] [--json]

The trail is written by the functions of the main job, 1,000 decisions a transaction. It is verified by the file that
needs nothing but Python, in a process of its own, from the SQLite database and from an export of it.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from labrelay.model.canonical import canonical_json
from labrelay.records import anchors, audit, audit_verify
from labrelay.records.database import Database
from labrelay.records.sqlite import sqlite_url
from labrelay.stores.folder import FolderObjectStore

A_TRANSACTION = 1_000
ROUNDS = 3
PROGRAM = Path(audit_verify.__file__)
MEASURED = """
import sys, time
sys.path.insert(0, sys.argv.pop(1))
import audit_verify
before = time.perf_counter()
code = audit_verify.main(sys.argv[1:])
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
sys.stdout.write(f"\\n{code} {time.perf_counter() - before} {peak}\\n")
"""


def write(folder: Path, rows: int) -> float:
    """Write a trail with an anchor a transaction; return the rows written a second."""
    db, store = Database(sqlite_url(folder / "trail.sqlite")), FolderObjectStore(folder / "objects")
    db.ensure()
    spent = 0.0
    for start in range(0, rows, A_TRANSACTION):
        before = time.perf_counter()
        with db.write() as session:
            for number in range(start, min(rows, start + A_TRANSACTION)):
                token = f"{number:040x}-1"
                audit.record(session, "workflow_run.ended", f"run_{number:016x}", state="COMPLETE", token=token)
        spent += time.perf_counter() - before
        with db.read() as session:
            head = audit.head(session)
        assert head is not None
        anchors.put(store, head)
    with db.read() as session, (folder / "trail.jsonl").open("w") as export:
        export.writelines(f"{canonical_json(row)}\n" for row in audit.exported(session))
    db.close()
    return rows / spent


def verify(rows: int, *arguments: str | Path) -> dict[str, float]:
    """Return rows verified a second (the median of some rounds) and the process's peak memory."""
    argv = [sys.executable, "-I", "-S", "-c", MEASURED, str(PROGRAM.parent), *map(str, arguments)]
    seconds, peaks = [], []
    for _ in range(ROUNDS):
        said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
        assert said[-3] == "0", "the trail is not whole"
        seconds.append(float(said[-2]))
        peaks.append(float(said[-1]))
    return {"rows_a_second": rows / median(seconds), "peak_mib": max(peaks)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        written = write(folder, asked.rows)
        kept = folder / "objects" / anchors.FOLDER
        found = {
            "from the database": verify(asked.rows, "--sqlite", folder / "trail.sqlite", "--anchors", kept),
            "from an export": verify(asked.rows, "--jsonl", folder / "trail.jsonl", "--anchors", kept),
        }
    ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if asked.json:
        print(json.dumps({"rows": asked.rows, "written_a_second": written, "writer_peak_mib": ours, **found}))
        return
    print(f"{asked.rows:,} rows; written {written:,.0f} a second ({A_TRANSACTION:,} a transaction)\n")
    print("| verified | rows a second | peak MiB |\n|---|---|---|")
    for what, told in found.items():
        print(f"| {what} | {told['rows_a_second']:,.0f} | {told['peak_mib']:.0f} |")


if __name__ == "__main__":
    main()
