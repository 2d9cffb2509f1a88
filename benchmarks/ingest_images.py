"""Ingest of many small image files beside plain copies of them: seconds, how that compares, and peak memory.

    .venv/bin/python -m benchmarks.ingest_images [--files 100000] [--rounds 1] [--where FOLDER]

The files have 10 to 200 kB of bytes that do not compress and lie in one folder, named as a plate's images. Ours is the
whole `ingest` (listed and parsed before, which is told apart); each file is hashed, durable, and on record. Beside it
are `cp -r` with one `sync` at the end, and a plain copy in Python with an fsync a file. Each has a process of its own,
one after the other, the next round the other way about. Nothing is removed before the end, as ext4 makes new files
slowly for minutes after many were removed; so three copies a round have to fit on the disk (100,000 files: 11 GB each).
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks import measure

OURS = """
import resource, sys, time
from pathlib import Path
from labrelay.parsers.registry import read_run
from labrelay.steps.home import init_home, open_home
from labrelay.steps.ingest import ingest
source, target = map(Path, sys.argv[1:])
init_home(target)
home = open_home(target)
began = time.monotonic()
run = read_run(source)
read, before = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
began = time.monotonic()
done = ingest(home, run, source)
took = time.monotonic() - began
home.close()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(done.stored, f"{read:.2f} {before:.0f} {took:.2f} {peak:.0f}")
"""
PLAIN = """
import os, shutil, sys
from pathlib import Path
source, target = map(Path, sys.argv[1:])
target.mkdir()
for file in sorted(source.iterdir()):
    with file.open("rb") as opened, (target / file.name).open("xb") as out:
        shutil.copyfileobj(opened, out, 1 << 20)
        out.flush()
        os.fsync(out.fileno())
handle = os.open(target, os.O_RDONLY)
os.fsync(handle)
"""
SMALLEST, LARGEST = 10_000, 200_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--where", type=Path, help="a folder on the disk that is asked about")
    asked = parser.parse_args()
    costs: dict[str, list[measure.Cost]] = {"labrelay": [], "cp -r, sync": [], "python, fsync a file": []}
    with tempfile.TemporaryDirectory(prefix="labrelay-bench-", dir=asked.where) as folder:
        root = Path(folder)
        wanted = asked.files * (SMALLEST + LARGEST) // 2 * (3 * asked.rounds + 1)
        if shutil.disk_usage(root).free < wanted * 1.1:
            raise SystemExit(f"{wanted * 1.1 / 1e9:.0f} GB have to be free in {root}: ask for fewer files or rounds")
        total = make_plate(root / "plate", asked.files)
        for turn in range(asked.rounds):
            for name in sorted(costs, reverse=bool(turn % 2)):
                costs[name].append(measured(name, root))
                sys.stderr.write(f"{name}: {costs[name][-1].wall:.1f} s\n")
        told = (root / "log-labrelay").read_text()
    print(f"{asked.files} files, {total / 1e6:.0f} MB, {asked.rounds} rounds; {measure.machine()}\n")
    copied = [cost.wall for cost in costs["cp -r, sync"]]
    rows = []
    for name, each in costs.items():
        walls = [cost.wall for cost in each]
        rates = [plain / wall for plain, wall in zip(copied, walls, strict=True)]
        cpu, rss = statistics.median(cost.cpu for cost in each), max(cost.rss for cost in each)
        rows.append((name, measure.spread(walls, 1), measure.spread(rates), f"{cpu:.1f}", f"{rss:.0f}"))
    measure.table(("what", "s, median (range)", "rate beside cp", "s of processors", "peak MiB"), rows)
    _stored, read, before, _took, peak = told.split()[-5:]
    print(f"\nOf the last round: listed and parsed in {read} s, {before} MiB then; {peak} MiB at its peak.")
    measure.keep("ingest_images", {name: [vars(cost) for cost in each] for name, each in costs.items()})


def make_plate(folder: Path, count: int) -> int:
    """Write the images of a plate of 384 wells; return how many bytes they have."""
    folder.mkdir()
    chance, total = random.Random(7), 0
    noise = os.urandom(2 * LARGEST)
    for number in range(count):
        size, start = chance.randint(SMALLEST, LARGEST), chance.randrange(LARGEST)
        well, field = number % 384, number // 384
        name = f"PLATE7_{'ABCDEFGHIJKLMNOP'[well // 24]}{well % 24 + 1:02}f{field // 4:02}d{field % 4}.tif"
        (folder / name).write_bytes(number.to_bytes(8, "big") + noise[start : start + size - 8])
        total += size
    os.sync()
    return total


def measured(name: str, root: Path) -> measure.Cost:
    """Store or copy the plate in a process of its own, everything before it flushed."""
    target = root / f"target-{len(list(root.glob('target-*')))}"
    os.sync()
    source = str(root / "plate")
    program = {
        "labrelay": [sys.executable, "-c", OURS, source, str(target)],
        "cp -r, sync": ["sh", "-c", 'cp -r "$1" "$2" && sync', "sh", source, str(target)],
        "python, fsync a file": [sys.executable, "-c", PLAIN, source, str(target)],
    }[name]
    log = root / f"log-{name.split()[0].strip(',')}"
    cost = measure.run(program, log)
    if name == "labrelay":
        cost.wall = float(log.read_text().split()[-2])  # without Python's start and the making of a home
    return cost


if __name__ == "__main__":
    main()
