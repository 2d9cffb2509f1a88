"""A generated Illumina run of raw base calls: BCL, filter and locs files of one tile a lane, as MiSeq writes them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

CODES = {"A": 0, "C": 1, "G": 2, "T": 3}
QUALITY = 37


class Cluster(NamedTuple):
    """The bases of a cluster in the order of the cycles (`N` is a no-call), and whether it passed the filter."""

    bases: str
    passed: bool = True


def run_info(run_id: str, recipe: Sequence[tuple[int, str]], lanes: int) -> str:
    """Return a RunInfo.xml; a read is its cycles and its attributes, such as `IsIndexedRead="Y"`."""
    reads = "".join(
        f'<Read Number="{number}" NumCycles="{cycles}" {attributes}/>'
        for number, (cycles, attributes) in enumerate(recipe, 1)
    )
    layout = f'<FlowcellLayout LaneCount="{lanes}" SurfaceCount="1" SwathCount="1" TileCount="1"/>'
    who = f"<Flowcell>{run_id.rpartition('_')[2]}</Flowcell><Instrument>{run_id.split('_')[1]}</Instrument>"
    number = int(run_id.split("_")[2])
    head = f'<RunInfo Version="6"><Run Id="{run_id}" Number="{number}">'
    return f"{head}{who}<Reads>{reads}</Reads>{layout}</Run></RunInfo>"


def write_lane(folder: Path, lane: int, clusters: Sequence[Cluster]) -> None:
    """Write the base calls of a lane: a byte a cluster and cycle, quality over base; 0 is a no-call."""
    intensities = folder / "Data" / "Intensities"
    calls, count = intensities / "BaseCalls" / f"L{lane:03d}", len(clusters)
    for cycle in range(len(clusters[0].bases)):
        place = calls / f"C{cycle + 1}.1"
        place.mkdir(parents=True)
        column = (each.bases[cycle] for each in clusters)
        codes = bytes(QUALITY << 2 | CODES[base] if base in CODES else 0 for base in column)
        (place / f"s_{lane}_1101.bcl").write_bytes(struct.pack("<I", count) + codes)
    passed = bytes(each.passed for each in clusters)
    (calls / f"s_{lane}_1101.filter").write_bytes(struct.pack("<III", 0, 3, count) + passed)
    places = b"".join(struct.pack("<ff", 10.0 * n, 5.0 * n) for n in range(count))
    (intensities / f"L{lane:03d}").mkdir(exist_ok=True)
    (intensities / f"L{lane:03d}" / f"s_{lane}_1101.locs").write_bytes(struct.pack("<IfI", 1, 1.0, count) + places)


def write_run(folder: Path, run_id: str, recipe: Sequence[tuple[int, str]], lanes: Sequence[Sequence[Cluster]]) -> Path:
    """Write a whole run folder without a sheet; return it."""
    folder.mkdir(parents=True)
    (folder / "RunInfo.xml").write_text(run_info(run_id, recipe, len(lanes)))
    (folder / "RTAComplete.txt").write_text("")
    (folder / "CopyComplete.txt").write_text("")
    for number, clusters in enumerate(lanes, 1):
        write_lane(folder, number, clusters)
    return folder
