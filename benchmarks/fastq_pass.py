"""One pass over a FASTQ pair against the tools that do parts of it.

    .venv/bin/python benchmarks/fastq_pass.py [--pairs 300000] [--rounds 5] [--long]

Makes simulated paired reads (fixed seed) under benchmarks/data/, runs each case once a round in the same order after
one round to warm up, each in a process of its own, and prints medians with their ranges. The same is written to
benchmarks/raw/fastq_pass.json. `--long` also measures memory on files ten times as long. Cases whose tool is not on
PATH are left out. Wall by the clock, processors and peak memory (of the largest process) by wait4.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
DATA, RAW = HERE / "data", HERE / "raw"
READ_LENGTH = 150
BATCH = 50_000
LONG = ", ten times as long"
# What a long-lived worker sets: memory that numpy frees is kept for its next block, and BLAS starts no threads.
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}


@dataclass
class Cost:
    """Seconds by the clock, seconds of processors, peak MiB, and what the process wrote."""

    wall: float
    cpu: float
    rss: float
    output: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--long", action="store_true", help="also measure memory on files ten times as long")
    parser.add_argument("--case", help="run one case in this process (used by the benchmark itself)")
    parser.add_argument("files", nargs="*", type=Path)
    asked = parser.parse_args()
    if asked.case:
        IN_PROCESS[asked.case](*asked.files)
    else:
        compare(asked.pairs, asked.rounds, asked.long)


def compare(pairs: int, rounds: int, with_long: bool) -> None:
    # In a process of its own: a child's peak memory counts from what its parent held when it was started.
    run_all(in_process("data", Path(str(pairs))))
    mates = data_paths(pairs)
    cases = cases_for(*mates)
    costs: dict[str, list[Cost]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, commands in cases.items():
            cost = run_all(commands)
            if number:
                costs[name].append(cost)
    for name, runs in costs.items():
        if len({run.output for run in runs if name.startswith(("one pass", "dnaio"))}) > 1:
            raise SystemExit(f"{name} gave different counts in different rounds")
    report = {name: summary(runs) for name, runs in costs.items()}
    if with_long:
        longer = tuple(ten_times(mates))
        for name, commands in list(cases_for(*longer).items())[:2]:
            report[name + LONG] = summary([run_all(commands)])
        for path in longer:
            path.unlink()
    show(report, mates)
    write(report, mates, rounds)


def cases_for(first: Path, second: Path) -> dict[str, list[list[str]]]:
    cases = {"one pass (sha256, checks, statistics, mates)": ours(first, second)}
    if shutil.which("igzip"):
        cases["igzip -dc of both"] = [["igzip", "-dc", str(path)] for path in (first, second)]
    else:
        cases["isal in Python, inflating both"] = in_process("inflate", first, second)
    if shutil.which("seqkit") and shutil.which("sha256sum"):
        cases["sha256sum, then seqkit stats -a"] = [
            ["sha256sum", str(first), str(second)],
            ["seqkit", "stats", "-a", "-j", "2", str(first), str(second)],
        ]
    if shutil.which("openssl"):
        cases["openssl sha256 of both"] = [["openssl", "sha256", str(first), str(second)]]
    cases["dnaio, counting reads and bases only"] = in_process("dnaio", first, second)
    cases["starting Python with numpy and the gate"] = in_process("start")
    return cases


def ours(first: Path, second: Path) -> list[list[str]]:
    return in_process("ours", first, second)


def in_process(case: str, *files: Path) -> list[list[str]]:
    return [[sys.executable, str(Path(__file__).resolve()), "--case", case, *map(str, files)]]


def case_ours(first: Path, second: Path) -> None:
    from labrelay.parsers.fastq import scan_fastq
    from labrelay.parsers.mates import check_mates

    started = time.perf_counter()
    one, two = scan_fastq(first), scan_fastq(second)
    problems = check_mates(one, two, first, second)
    print(f"{time.perf_counter() - started:.3f}", file=sys.stderr)
    print(one.model_dump_json(), two.model_dump_json(), problems)


def case_dnaio(first: Path, second: Path) -> None:
    import dnaio

    for path in (first, second):
        reads = bases = 0
        with dnaio.open(path) as reader:
            for record in reader:
                reads += 1
                bases += len(record)
        print(reads, bases)


def case_inflate(first: Path, second: Path) -> None:
    from labrelay.parsers.inflate import Inflater

    for path in (first, second):
        inflater = Inflater(path.name)
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(1 << 20):
                for _ in inflater.feed(chunk):
                    pass
        print(list(inflater.finish()))


def case_start() -> None:
    from labrelay.parsers.fastq import scan_fastq
    from labrelay.parsers.mates import check_mates

    print(scan_fastq.__name__, check_mates.__name__)


def run_all(commands: list[list[str]]) -> Cost:
    costs = [run(command) for command in commands]
    output = "".join(cost.output for cost in costs)
    return Cost(sum(c.wall for c in costs), sum(c.cpu for c in costs), max(c.rss for c in costs), output)


def run(command: list[str]) -> Cost:
    """Run a command with its output in a file (a few lines) or, of inflating tools, thrown away."""
    keep = RAW / "output.txt"
    RAW.mkdir(exist_ok=True)
    target = Path(os.devnull) if command[0] == "igzip" else keep
    keep.write_text("")
    with target.open("wb") as out, Path(os.devnull).open("wb") as error:
        started = time.perf_counter()
        actions = [(os.POSIX_SPAWN_DUP2, out.fileno(), 1), (os.POSIX_SPAWN_DUP2, error.fileno(), 2)]
        pid = os.posix_spawnp(command[0], command, {**os.environ, **ENVIRONMENT}, file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
        wall = time.perf_counter() - started
    if status:
        raise SystemExit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, keep.read_text())


def summary(runs: list[Cost]) -> dict[str, float]:
    wall, cpu = [run.wall for run in runs], [run.cpu for run in runs]
    return {
        "wall": statistics.median(wall),
        "wall_min": min(wall),
        "wall_max": max(wall),
        "cpu": statistics.median(cpu),
        "rss_mib": max(run.rss for run in runs),
    }


def show(report: dict[str, dict[str, float]], mates: tuple[Path, ...]) -> None:
    inflating = [(name, costs) for name, costs in report.items() if name.startswith(("igzip", "isal"))]
    megabytes = sum(path.stat().st_size for path in mates) / 1e6
    print(f"{mates[0].name} and {mates[1].name}: {megabytes:.1f} MB, {machine()}\n")
    print("| case | s, median (range) | x inflating | s of processors | x inflating | peak MiB |")
    print("|---|---|---|---|---|---|")
    for name, costs in report.items():
        base = next(base for known, base in inflating if known.endswith(LONG) == name.endswith(LONG))
        wall = f"{costs['wall']:.2f} ({costs['wall_min']:.2f}-{costs['wall_max']:.2f})"
        ratios = f"{costs['wall'] / base['wall']:.1f} | {costs['cpu']:.2f} | {costs['cpu'] / base['cpu']:.1f}"
        print(f"| {name} | {wall} | {ratios} | {costs['rss_mib']:.0f} |")


def write(report: dict[str, dict[str, float]], mates: tuple[Path, ...], rounds: int) -> None:
    sizes = {path.name: path.stat().st_size for path in mates}
    content = {"machine": machine(), "rounds": rounds, "files": sizes, "cases": report}
    (RAW / "fastq_pass.json").write_text(json.dumps(content, indent=1) + "\n")


def machine() -> str:
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{os.cpu_count()} cores, load {load}, Python {platform.python_version()}"


def ten_times(mates: tuple[Path, ...]) -> Iterator[Path]:
    for path in mates:
        longer = path.with_name(f"ten-{path.name}")
        with longer.open("wb") as out:
            for _ in range(10):
                out.write(path.read_bytes())
        yield longer


def data_paths(pairs: int) -> tuple[Path, Path]:
    return DATA / f"pairs{pairs}_R1.fastq.gz", DATA / f"pairs{pairs}_R2.fastq.gz"


def case_data(wanted: Path) -> None:
    """Write both mates, gzip level 6, unless they are there; as a NovaSeq writes them, with four quality values."""
    import numpy as np

    pairs = int(wanted.name)
    paths = data_paths(pairs)
    if all(path.exists() for path in paths):
        return
    DATA.mkdir(exist_ok=True)
    source = np.random.default_rng(20)
    genome = source.choice(np.frombuffer(b"ACGT", np.uint8), 5_000_000, p=[0.295, 0.205, 0.205, 0.295])
    drafts = [path.with_suffix(".part") for path in paths]
    with gzip.open(drafts[0], "wb", compresslevel=6) as first, gzip.open(drafts[1], "wb", compresslevel=6) as second:
        for start in range(0, pairs, BATCH):
            names = [read_name(number) for number in range(start, min(start + BATCH, pairs))]
            places = source.integers(0, len(genome) - 2 * READ_LENGTH, len(names))
            for mate, out in enumerate((first, second)):
                bases = genome[places[:, None] + mate * READ_LENGTH + np.arange(READ_LENGTH)]
                levels = np.frombuffer(b"F:,#", np.uint8)
                quality = levels[source.choice(4, bases.shape, p=[0.93, 0.04, 0.02, 0.01])]
                bases[quality == ord("#")] = ord("N")
                out.write(b"".join(records(names, mate + 1, bases, quality)))
    for draft, path in zip(drafts, paths, strict=True):
        draft.rename(path)


def read_name(number: int) -> str:
    return f"@A00684:261:HNJK2DSX7:1:{1101 + number // 20000}:{1000 + number * 7919 % 31000}:{1000 + number % 36000}"


def records(names: list[str], mate: int, bases: object, quality: object) -> Iterator[bytes]:
    for name, sequence, values in zip(names, bases, quality, strict=True):  # type: ignore[call-overload]
        yield b"%b %d:N:0:CCGCGGTT+AGCGCTAG\n%b\n+\n%b\n" % (name.encode(), mate, sequence.tobytes(), values.tobytes())


IN_PROCESS = {"ours": case_ours, "dnaio": case_dnaio, "inflate": case_inflate, "start": case_start, "data": case_data}


if __name__ == "__main__":
    main()
