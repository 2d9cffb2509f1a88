"""InterOp files of real runs, and folders made of them."""

from __future__ import annotations

import gzip
from pathlib import Path

from run_folders import CASES, codes, put

from labrelay.model.instrument import InstrumentRun
from labrelay.parsers.registry import read_run

STORED = CASES.parent / "interop"
MISEQ = CASES / "illumina-miseq-2014-single-read-interop/140211_M00612_0148_000000000-A7M8N"
NEXTSEQ = CASES / "illumina-nextseq500-2016-interop/160404_NS500318_0141_AHW37NBGXX"
QUALITY, TILES, EXTRACTION = "QMetricsOut.bin", "TileMetricsOut.bin", "ExtractionMetricsOut.bin"


def stored(name: str, case: str = "miseq-2014") -> bytes:
    return gzip.decompress((STORED / f"{case}.{name}.gz").read_bytes())


def run_of(tmp_path: Path, case: Path = MISEQ, **files: bytes) -> InstrumentRun:
    root = tmp_path / case.name
    for source in case.glob("*.xml"):
        put(root, source.name, source.read_bytes())
    put(root, "RTAComplete.txt")
    for name, data in files.items():
        put(root, f"InterOp/{name}.bin", data)
    return read_run(root)


def told(run: InstrumentRun) -> dict[tuple[str, str], float | None]:
    return {(m.name, m.scope): m.value for m in run.qc if (m.source or "").startswith("InterOp/")}


def interop_codes(run: InstrumentRun) -> list[str]:
    return [code for code in codes(run) if code.startswith(("INTEROP", "ZERO"))]
