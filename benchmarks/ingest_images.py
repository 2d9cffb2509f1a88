"""Ingest of many small image files beside plain copies of them: seconds, how that compares, and peak memory.

    .venv/bin/python -m benchmarks.ingest_images [--files 100000] [--kb 10 200] [--rounds 1] [--cold] [--where FOLDER]

The files have 10 to 200 kB of bytes that do not compress and lie in one folder, named as a plate's images. Ours is the
whole `ingest` (listed and parsed before, which is told apart); each file is hashed, durable, and on record. Beside it
are `cp -r` with one `sync` at the end, and the floor of what is written in Python: a loop that reads, hashes and writes
each file, with one `sync`, without records. Each has a process of its own, one after the other, the next round the
other way about. Nothing is removed before the end, as ext4 makes new files slowly for minutes after many were removed;
so three copies a round have to fit on the disk (100,000 files of the default sizes: 11 GB each). The images are read
from memory, where they were just written; with --cold from the disk, as those that an instrument wrote over hours are.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from benchmarks import measure

OURS = """
import resource, sys, time
from pathlib import Path
from labrelay.parsers.registry import read_run
from labrelay.steps.home import init_home, open_home
from labrelay.steps.ingest import ingest
from labrelay.stores.copiers import POOL
source, target = map(Path, sys.argv[1:])
init_home(target)
home = open_home(target)
began = time.monotonic()
run = read_run(source)
read, before = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
began, cpu = time.monotonic(), time.process_time()
done = ingest(home, run, source)
took, cpu = time.monotonic() - began, time.process_time() - cpu
home.close()
POOL.end()  # what its helpers have used is counted when they have ended
of_helpers = resource.getrusage(resource.RUSAGE_CHILDREN)
cpu += of_helpers.ru_utime + of_helpers.ru_stime
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(done.stored, f"{read:.2f} {before:.0f} {took:.2f} {cpu:.2f} {peak:.0f}")
"""
FLOOR = """
import hashlib, os, sys
source, target = sys.argv[1:]
os.mkdir(target)
for name in sorted(os.listdir(source)):
    file, out = os.open(f"{source}/{name}", os.O_RDONLY), os.open(f"{target}/{name}", os.O_WRONLY | os.O_CREAT, 0o444)
    hasher = hashlib.sha256()
    while chunk := os.read(file, 2 << 20):
        hasher.update(chunk)
        os.write(out, chunk)
    hasher.hexdigest()
    os.close(file)
    os.close(out)
os.sync()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--cold", action="store_true", help="the images are not in memory when they are read")
    parser.add_argument("--where", type=Path, help="a folder on the disk that is asked about")
    parser.add_argument("--kb", type=int, nargs=2, default=(10, 200), help="of the smallest and the largest file")
    asked = parser.parse_args()
    sizes = (asked.kb[0] * 1000, asked.kb[1] * 1000)
    costs: dict[str, list[measure.Cost]] = {"labrelay": [], "cp -r, sync": [], "bare Python loop": []}
    with tempfile.TemporaryDirectory(prefix="labrelay-bench-", dir=asked.where) as folder:
        root = Path(folder)
        wanted = asked.files * sum(sizes) // 2 * (3 * asked.rounds + 1)
        if shutil.disk_usage(root).free < wanted * 1.1:
            raise SystemExit(f"{wanted * 1.1 / 1e9:.0f} GB have to be free in {root}: ask for fewer files or rounds")
        total = make_plate(root / "plate", asked.files, *sizes)
        for turn in range(asked.rounds):
            for name in sorted(costs, reverse=bool(turn % 2)):
                costs[name].append(measured(name, root, cold=asked.cold))
                sys.stderr.write(f"{name}: {costs[name][-1].wall:.1f} s\n")
        told = (root / "log-labrelay").read_text()
        # Before all is removed, which takes longer than it took to make.
        from_disk = ", from the disk" if asked.cold else ""
        tell(costs, f"{asked.files} files, {total / 1e6:.0f} MB, {asked.rounds} rounds{from_disk}", told)
    measure.keep(
        f"ingest_images_{asked.files}_{asked.kb[1]}{'_cold' if asked.cold else ''}",
        {name: [vars(cost) for cost in each] for name, each in costs.items()},
    )


def tell(costs: dict[str, list[measure.Cost]], what: str, told: str) -> None:
    """Print the table, and what the last ingest has told of itself."""
    print(f"{what}; {measure.machine()}\n")
    copied = [cost.wall for cost in costs["cp -r, sync"]]
    rows = []
    for name, each in costs.items():
        walls = [cost.wall for cost in each]
        rates = [plain / wall for plain, wall in zip(copied, walls, strict=True)]
        cpu, rss = statistics.median(cost.cpu for cost in each), max(cost.rss for cost in each)
        rows.append((name, measure.spread(walls, 1), measure.spread(rates), f"{cpu:.1f}", f"{rss:.0f}"))
    measure.table(("what", "s, median (range)", "rate beside cp", "s of processors", "peak MiB"), rows)
    _stored, read, before, _took, _cpu, peak = told.split()[-6:]
    print(f"\nOf the last round: listed and parsed in {read} s, {before} MiB then; {peak} MiB at its peak.", flush=True)


def make_plate(folder: Path, count: int, smallest: int, largest: int) -> int:
    """Write the images of a plate of 384 wells, of so many bytes each; return how many all have."""
    folder.mkdir()
    chance, total = random.Random(7), 0
    noise = os.urandom(2 * largest)
    for number in range(count):
        size, start = chance.randint(smallest, largest), chance.randrange(largest)
        well, field = number % 384, number // 384
        name = f"PLATE7_{'ABCDEFGHIJKLMNOP'[well // 24]}{well % 24 + 1:02}f{field // 4:02}d{field % 4}.tif"
        (folder / name).write_bytes(number.to_bytes(8, "big") + noise[start : start + size - 8])
        total += size
    os.sync()
    return total


def forget(copies: Iterable[Path]) -> None:
    """Take what was written before out of memory, so that each program has as much of it that is free."""
    for copy in copies:
        for folder, _folders, names in os.walk(copy):
            for name in names:
                handle = os.open(f"{folder}/{name}", os.O_RDONLY)
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(handle)


def measured(name: str, root: Path, *, cold: bool) -> measure.Cost:
    """Store or copy the plate in a process of its own, everything before it flushed."""
    target = root / f"target-{len(list(root.glob('target-*')))}"
    os.sync()
    forget(root.glob("*" if cold else "target-*"))
    source = str(root / "plate")
    program = {
        "labrelay": [sys.executable, "-c", OURS, source, str(target)],
        "cp -r, sync": ["sh", "-c", 'cp -r "$1" "$2" && sync', "sh", source, str(target)],
        "bare Python loop": [sys.executable, "-c", FLOOR, source, str(target)],
    }[name]
    log = root / f"log-{name.split()[0].strip(',')}"
    cost = measure.run(program, log)
    if name == "labrelay":
        # Without Python's start and the making of a home.
        cost.wall, cost.cpu = map(float, log.read_text().split()[-3:-1])
    return cost


if __name__ == "__main__":
    main()
