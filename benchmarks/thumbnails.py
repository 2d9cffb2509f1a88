"""Seconds and peak memory of a view of a plane of many gigabytes, by how the plane lies in its file.

    .venv/bin/python -m benchmarks.thumbnails [--gigabytes 10] [--folder DIR]

Writes files of 16 bits under a temporary folder: TIFF of one strip and of strips of a row, a LIF of one plane, a CZI
of tiles without a pyramid, all sparse, so that they take no room; TIFF of tiles as they are and packed by zlib, and a
slide in colour with its pyramid, of noise (a tenth of the size, since it has to be written). Each view is taken in a
process of its own. The bound is 500 MB.
"""

from __future__ import annotations

import argparse
import os
import platform
import struct
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
from labrelay.parsers.preview import Preview, Where, preview_tiff
name = sys.argv[2]
if name.endswith(".czi"):
    from labrelay.parsers.preview_czi import preview_czi as view_of
elif name.endswith(".lif"):
    from labrelay.parsers.preview_lif import preview_lif as view_of
elif name.endswith(".svs"):
    from labrelay.parsers.preview_slide import preview_slide as view_of
else:
    view_of = lambda root, path, _where: preview_tiff(root, path)
before = time.perf_counter()
view = view_of(Path(sys.argv[1]), name, Where())
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
    for other in (lif, czi, slide):
        name, path = other(folder, side, int((gigabytes * 1e8 / 3) ** 0.5))
        yield name, path
        path.unlink()


def lif(folder: Path, side: int, _small: int) -> tuple[str, Path]:
    """Write a Leica LIF of one image, whose pixels are a hole."""
    path, size = folder / "plane.lif", side * side * 2
    axes = "".join(
        f'<DimensionDescription DimID="{number}" NumberOfElements="{side}" Length="1e-2" Unit="m" BytesInc="{step}"/>'
        for number, step in ((1, 2), (2, 2 * side))
    )
    xml = (
        '<LMSDataContainerHeader Version="2"><Element Name="p"><Children><Element Name="a"><Data><Image>'
        f'<ImageDescription><Channels><ChannelDescription Resolution="16"/></Channels><Dimensions>{axes}</Dimensions>'
        f'</ImageDescription></Image></Data><Memory Size="{size}" MemoryBlockID="MemBlock_1"/></Element></Children>'
        "</Element></LMSDataContainerHeader>"
    )
    texts = (xml.encode("utf-16-le"), "MemBlock_1".encode("utf-16-le"))
    with path.open("wb") as file:
        file.write(struct.pack("<iiBi", 0x70, len(texts[0]) + 5, 0x2A, len(xml)) + texts[0])
        file.write(struct.pack("<iiBqBi", 0x70, len(texts[1]) + 14, 0x2A, size, 0x2A, 10) + texts[1])
        file.truncate(file.tell() + size)
    return f"LIF, {side:,} × {side:,}", path


def czi(folder: Path, side: int, _small: int) -> tuple[str, Path]:
    """Write a Zeiss CZI of tiles of 2,048 pixels, all at full resolution, whose pixels are holes."""
    path, tile = folder / "plane.czi", 2048
    entries = []
    with path.open("wb") as file:
        file.seek(544)
        for number in range((side // tile) ** 2):
            place = {b"X": number % (side // tile) * tile, b"Y": number // (side // tile) * tile}
            entry = struct.pack("<2siqiiB5xi", b"DV", 1, file.tell(), 0, 0, 0, 2)
            entry += b"".join(struct.pack("<4siifi", axis, at, tile, 0.0, tile) for axis, at in place.items())
            entries.append(entry)
            size = tile * tile * 2
            head = b"ZISRAWSUBBLOCK".ljust(16, b"\0") + struct.pack("<qqiiq", size + 256, size + 256, 0, 0, size)
            file.write((head + entry).ljust(288, b"\0"))
            file.seek(size, 1)
        directory, body = file.tell(), b"".join(entries)
        sizes = struct.pack("<qq", len(body) + 128, len(body) + 128)
        file.write(
            b"ZISRAWDIRECTORY".ljust(16, b"\0") + sizes + struct.pack("<i", len(entries)).ljust(128, b"\0") + body
        )
        file.seek(0)
        file.write(b"ZISRAWFILE".ljust(16, b"\0") + struct.pack("<qqi", 512, 512, 1).ljust(68, b"\0"))
        file.write(struct.pack("<qqiq", directory, 0, 0, 0))
    return f"CZI of {len(entries):,} tiles, {side // tile * tile:,} × {side // tile * tile:,}", path


def slide(folder: Path, _side: int, small: int) -> tuple[str, Path]:
    """Write a slide as Aperio lays it out: tiles packed by zlib, each level a quarter of the one before."""
    path, edge, levels = folder / "plane.svs", small, 0
    noise = np.random.default_rng(1).integers(0, 255, (8, TILE, TILE, 3), np.uint8)
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        while edge >= TILE:
            count = (-(-edge // TILE)) ** 2
            file.write(
                (noise[number % 8] for number in range(count)),
                shape=(edge, edge, 3),
                dtype="uint8",
                tile=(TILE, TILE),
                photometric="rgb",
                compression="zlib",
                compressionargs={"level": 1},
                description="Aperio Image Library v10.0.51|MPP = 0.5",
                metadata=None,
            )
            edge, levels = edge // 4, levels + 1
    return f"slide in colour of {levels} levels, {small:,} × {small:,}", path


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
