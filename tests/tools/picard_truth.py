"""Does `labrelay demultiplex` find in Picard's own test runs the reads that Picard's tests expect?

    python tests/tools/picard_truth.py PICARD     a checkout of broadinstitute/picard (MIT)

Each case gets a RunInfo.xml and a sheet of its barcodes, and its filters let every cluster pass, since Picard's tests
keep those that did not. The bases of each sample's reads are compared with Picard's expected FASTQ files, whatever
their order. Qualities are not: these tests mask the ends of reads by EAMSS, which BCL Convert and we do not.
"""

from __future__ import annotations

import gzip
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from labrelay.steps.demultiplex import demultiplex
from labrelay.steps.home import init_home, open_home

ILLUMINA = "testdata/picard/illumina"
Reads = Counter[str]


class Case(NamedTuple):
    """A run of Picard's: its folder, its reads (cycles, whether an index), its barcodes, and whether it has CBCLs.

    Those hold nothing of what did not pass the filter.
    """

    name: str
    recipe: tuple[tuple[int, bool], ...]
    barcodes: str
    indexes: int
    packed: bool = False


CASES = (
    Case("25T8B25T", ((25, False), (8, True), (25, False)), "mp_barcode.params", 1),
    Case("25T8B8B25T", ((25, False), (8, True), (8, True), (25, False)), "barcode_double.params", 2),
    Case("25T8B8B25T_hiseqx", ((25, False), (8, True), (8, True), (25, False)), "barcode_double.params", 2),
    Case(
        "151T8B8B151T_cbcl", ((151, False), (8, True), (8, True), (151, False)), "barcode_double.params", 2, packed=True
    ),
)


def as_run(case: Case, source: Path, folder: Path) -> list[str]:
    """Make a run folder of a case; return its barcodes. One with a no-call in it (`.`) can stand in no sheet."""
    shutil.copytree(source / "Data", folder / "Data")
    for filters in () if case.packed else folder.rglob("*.filter"):
        data = filters.read_bytes()
        filters.write_bytes(data[:12] + b"\1" * (len(data) - 12))  # 12 bytes of version and count, a byte a cluster
    reads = "".join(
        f'<Read Number="{number}" NumCycles="{cycles}" IsIndexedRead="{"Y" if index else "N"}"/>'
        for number, (cycles, index) in enumerate(case.recipe, 1)
    )
    info = '<Run Id="130101_M00001_0007_FC1" Number="7"><Flowcell>FC1</Flowcell><Instrument>M00001</Instrument>'
    layout = '<FlowcellLayout LaneCount="2" SurfaceCount="1" SwathCount="1" TileCount="1"/>'
    (folder / "RunInfo.xml").write_text(f'<RunInfo Version="2">{info}<Reads>{reads}</Reads>{layout}</Run></RunInfo>')
    (folder / "RTAComplete.txt").write_text("")
    rows = [line.split("\t")[: case.indexes] for line in (source / "fastq" / case.barcodes).read_text().split("\n")[1:]]
    usable = [row for row in rows if row[0] and not set("".join(row)) <= {"N"} and "." not in "".join(row)]
    # Its samples are barcodes that were seen, many of them a mistake apart.
    sheet = [
        "[Settings]",
        "BarcodeMismatchesIndex1,0",
        "[Data]",
        f"Lane,Sample_ID,index{',index2' * (case.indexes - 1)}",
    ]
    sheet += [",".join(["1", "".join(row), *row]) for row in usable]
    (folder / "SampleSheet.csv").write_text("\n".join(sheet) + "\n")
    return ["".join(row) for row in usable]


def reads_of(path: Path) -> Reads:
    """Return the reads' bases in a FASTQ file, plain or gzip; nothing where there is none."""
    if not path.is_file():
        return Counter()
    data = path.read_bytes()
    return Counter((gzip.decompress(data) if path.suffix == ".gz" else data).decode().split("\n")[1::4])


def compare(case: Case, picard: Path, temp: Path) -> tuple[int, int]:
    """Return how many reads (mates of both kinds) were expected, and how many are others or missing."""
    source = picard / ILLUMINA / case.name
    samples = as_run(case, source, temp / "run")
    init_home(temp / "home")
    home = open_home(temp / "home")
    try:
        demultiplex(home, temp / "run", temp / "out", converter="picard")
    finally:
        home.close()
    expected, wrong = 0, 0
    for number, sample in enumerate(samples, 1):
        for mate in (1, 2):
            truth = reads_of(source / "fastq" / f"{sample}.{mate}.fastq")
            made = reads_of(temp / "out" / f"{sample}_S{number}_L001_R{mate}_001.fastq.gz")
            expected += truth.total()
            wrong += max((truth - made).total(), (made - truth).total())
    return expected, wrong


def main() -> int:
    """Print a line a case; exit with 1 when a read differs."""
    picard, bad = Path(sys.argv[1]), 0
    for case in CASES:
        with tempfile.TemporaryDirectory() as temp:
            expected, wrong = compare(case, picard, Path(temp))
        bad += wrong
        sys.stdout.write(f"{case.name}: {expected} reads expected, {wrong} missing or other\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
