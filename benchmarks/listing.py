"""Listing and recognising a tree of very many files: seconds of the one walk, and of every platform's look at it.

    .venv/bin/python -m benchmarks.listing [--files 100000] [--rounds 3]

Three trees of empty files, the names of which are those of real ones: a NovaSeq X run folder with its base calls, a
plate in OME-Zarr with a file a chunk, and a flat folder of a plate's images. The aim is < 5 s for walk and detection.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import measure
from labrelay.parsers.listing import walk
from labrelay.parsers.registry import platforms

RUN_INFO = """<?xml version="1.0"?>
<RunInfo Version="6"><Run Id="{run_id}" Number="12"><Flowcell>22ABCDLT3</Flowcell><Instrument>LH00123</Instrument>
<Date>2024-05-02T10:11:12Z</Date><Reads><Read Number="1" NumCycles="151" IsIndexedRead="N" />
<Read Number="2" NumCycles="10" IsIndexedRead="Y" /></Reads>
<FlowcellLayout LaneCount="8" SurfaceCount="2" SwathCount="2" TileCount="98" /></Run></RunInfo>
"""

PLATE = '{"plate": {"version": "0.4", "rows": [{"name": "A"}], "columns": [{"name": "1"}], "wells": [{"path": "A/1"}]}}'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    trees: dict[str, Callable[[int], Iterator[str]]] = {
        "NovaSeq X": novaseq_x,
        "OME-Zarr plate": ome_zarr,
        "images in one folder": images,
    }
    rows = []
    with tempfile.TemporaryDirectory(prefix="labrelay-bench-") as folder:
        for name, paths in trees.items():
            root = Path(folder, f"20240502_LH00123_0012_{name.replace(' ', '-')}")
            make(root, paths(asked.files))
            walks, looks, found = [], [], ""
            for _ in range(asked.rounds):
                began = time.perf_counter()
                listing = walk(root)
                walked = time.perf_counter()
                seen = [each for platform in platforms() if (each := platform.detect(listing)) is not None]
                walks.append(walked - began)
                looks.append(time.perf_counter() - walked)
                best = max(seen, key=lambda each: each.confidence, default=None)
                found = best.platform if best else "nothing"
            total = statistics.median(walks) + statistics.median(looks)
            files = f"{len(listing.files):,}"
            rows.append((name, files, measure.spread(walks), measure.spread(looks), f"{total:.2f}", found))
    print(f"{asked.rounds} rounds; {len(platforms())} platforms; {measure.machine()}\n")
    measure.table(("tree", "files", "walk, s", "all platforms look, s", "both", "seen as"), rows)


def make(root: Path, paths: Iterator[str]) -> None:
    """Write the tree: empty files but for what tells a run apart."""
    folders: set[Path] = set()
    contents = {"RunInfo.xml": RUN_INFO.format(run_id=root.name), ".zgroup": '{"zarr_format": 2}', ".zattrs": PLATE}
    for path in paths:
        file = root / path
        if file.parent not in folders:
            file.parent.mkdir(parents=True, exist_ok=True)
            folders.add(file.parent)
        file.write_text(contents.get(path, ""))


def novaseq_x(count: int) -> Iterator[str]:
    """Give the paths of a NovaSeq X run: two CBCL a cycle and lane, filters, and thumbnails for the rest."""
    yield from ("RunInfo.xml", "RunParameters.xml", "RTAComplete.txt", "CopyComplete.txt", "SampleSheet.csv")
    made = 5
    for lane in range(1, 9):
        base = f"Data/Intensities/BaseCalls/L{lane:03}"
        for cycle in range(1, 162):
            yield from (f"{base}/C{cycle}.1/L{lane:03}_{surface}.cbcl" for surface in (1, 2))
        yield from (f"{base}/s_{lane}_{tile}.filter" for tile in range(1101, 1493))
        made += 2 * 161 + 392
    for number in range(max(0, count - made)):
        lane, cycle = number % 8 + 1, number // 8 % 161 + 1
        yield f"Thumbnail_Images/L{lane:03}/C{cycle}.1/s_{lane}_{1101 + number // 1288}_green.jpg"


def ome_zarr(count: int) -> Iterator[str]:
    """Give the paths of a plate in OME-Zarr 0.4: four channels of 25 chunks a well, each chunk a file."""
    yield from (".zgroup", ".zattrs")
    for number in range(count - 2):
        well, chunk = divmod(number, 100)
        row, column = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[well // 48 % 26], well % 48 + 1 + well // 1248 * 48
        channel, place = divmod(chunk, 25)
        yield f"{row}/{column}/0/0/0/{channel}/0/{place // 5}/{place % 5}"


def images(count: int) -> Iterator[str]:
    """Give the names of a plate's images."""
    for number in range(count):
        well, field = number % 384, number // 384
        yield f"PLATE7_{'ABCDEFGHIJKLMNOP'[well // 24]}{well % 24 + 1:02}f{field // 4:02}d{field % 4}.tif"


if __name__ == "__main__":
    main()
