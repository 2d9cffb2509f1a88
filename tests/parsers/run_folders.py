"""Small run folders for the tests of this room."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from labrelay.model.instrument import InstrumentRun
from labrelay.parsers.registry import read_run

RUN_ID = "231108_M04586_0992_000000000-L7342"
CASES = Path(__file__).parents[1] / "data" / "instruments"
BASECALLS = "Data/Intensities/BaseCalls"
RUN_INFO = """<?xml version="1.0"?>
<RunInfo Version="2"><Run Id="{run_id}" Number="{number}"><Flowcell>000000000-L7342</Flowcell>
<Instrument>{serial}</Instrument><Date>{date}</Date><Reads>
<Read Number="3" NumCycles="151" IsIndexedRead="N" /><Read Number="1" NumCycles="151" IsIndexedRead="N" />
<Read Number="2" NumCycles="12" IsIndexedRead="Y" /></Reads>
<FlowcellLayout LaneCount="1" SurfaceCount="2" SwathCount="1" TileCount="14" /></Run></RunInfo>
"""


def put(root: Path, path: str, content: str | bytes = b"x") -> Path:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content if isinstance(content, bytes) else content.encode())
    return target


def illumina_run(
    parent: Path,
    files: Iterable[str] = (),
    sheet: str | None = "[Data]\nSample_ID,index\nA,ACGT\n",
    markers: Iterable[str] = ("RTAComplete.txt",),
    run_id: str = RUN_ID,
    serial: str = "M04586",
) -> Path:
    """Return a run folder named by its id, with one-byte files at the given paths."""
    root = parent / run_id
    date, _, number, *_ = run_id.split("_")
    put(root, "RunInfo.xml", RUN_INFO.format(run_id=run_id, serial=serial, number=int(number), date=date))
    if sheet is not None:
        put(root, "SampleSheet.csv", sheet)
    for path in (*markers, *files):
        put(root, path)
    return root


def mates(stem: str, folder: str = BASECALLS) -> list[str]:
    return [f"{folder}/{stem}_R{number}_001.fastq.gz" for number in (1, 2)]


def codes(run: InstrumentRun, severity: str | None = None) -> list[str]:
    return sorted(p.code for p in run.problems if severity in (None, p.severity.value))


def case(path: str) -> InstrumentRun:
    return read_run(CASES / path)


def unpacked(name: str, parent: Path) -> Path:
    """Return a copy of a case in which the empty files that its list names are there, too."""
    root = parent / name
    shutil.copytree(CASES / name, root)
    listed = root / "EMPTY_FILES.txt"
    for path in listed.read_text().splitlines():
        put(root, path, b"")
    listed.unlink()
    return root
