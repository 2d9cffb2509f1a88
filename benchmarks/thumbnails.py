"""Seconds and peak memory of a view of a plane of many gigabytes, by how the plane lies in its file.

    .venv/bin/python -m benchmarks.thumbnails [--gigabytes 10] [--folder DIR]

Writes TIFF files of 16 bits under a temporary folder: one strip and strips of a row (sparse, so that they take no
room), tiles as they are and packed by zlib, with noise (a tenth of the size, since it has to be written). Each view is
taken in a process of its own. The bound is 500 MB.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

TILE = 512
PROGRAM = """
import sys, time
from pathlib import Path
from labrelay.parsers.preview import Preview, preview_tiff
before = time.perf_counter()
view = preview_tiff(Path(sys.argv[1]), sys.argv[2])
spent = time.perf_counter() - before
assert isinstance(view, Preview), view
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(spent, peak / 1024)
"""


def tiles(count: int, noise: bool) -> Iterator[NDArray[np.uint16]]:
    """Yield tiles: a few of noise in turn, or the same blank one."""
    made = np.random.default_rng(1).normal(500, 60, (8, TILE, TILE)).astype(np.uint16)
    blank = np.zeros((TILE, TILE), np.uint16)
    for number in range(count):
        yield made[number % 8] if noise else blank


def write(folder: Path, gigabytes: float) -> Iterator[tuple[str, Path]]:
    """Write the files one after another and remove each when its view was taken."""
    side = int((gigabytes * 1e9 / 2) ** 0.5)
    small = int((gigabytes * 1e8 / 2) ** 0.5)
    path = folder / "plane.tif"
    cases: list[tuple[str, int, dict[str, object]]] = [
        ("one strip", side, {}),
        ("strips of a row", side, {"rowsperstrip": 1}),
        ("tiles", small, {"tile": (TILE, TILE)}),
        ("tiles packed by zlib", small, {"tile": (TILE, TILE), "compression": "zlib", "predictor": True}),
    ]
    for name, edge, how in cases:
        if "tile" in how:
            count = (-(-edge // TILE)) ** 2
            data = tiles(count, noise=True)
            tifffile.imwrite(path, data, shape=(edge, edge), dtype="uint16", bigtiff=True, **how)
        else:
            tifffile.imwrite(path, shape=(edge, edge), dtype="uint16", bigtiff=True, **how)
        yield f"{name}, {edge:,} × {edge:,}", path
        path.unlink()


def main() -> None:
    """Take the views and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=10.0)
    parser.add_argument("--folder", type=Path, help="where the files are written; on a disk with room for a tenth")
    asked = parser.parse_args()
    print(f"{platform.python_version()}, {os.cpu_count()} cores, tifffile {tifffile.__version__}")
    print("| plane | GB | s | peak MB |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=asked.folder) as place:
        for name, path in write(Path(place), asked.gigabytes):
            size = path.stat().st_size / 1e9
            done = subprocess.run(
                [sys.executable, "-c", PROGRAM, place, path.name], check=True, capture_output=True, text=True
            )
            spent, memory = (float(word) for word in done.stdout.split())
            print(f"| {name} | {size:.1f} | {spent:.2f} | {memory:.0f} |")


if __name__ == "__main__":
    main()
