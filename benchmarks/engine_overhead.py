"""What `process` costs beside the bare engine: the same samples by `labrelay process`, and each by `miniwdl run`.

    .venv/bin/python -m benchmarks.engine_overhead [--samples 50] [--rounds 3] [--sandbox host bwrap]

Makes a run folder of simulated reads (2,000 pairs of 150 bp a sample, a 5 kb genome; two tasks, cutadapt and minimap2 |
samtools). Each round runs, one after the other, (a) the command `labrelay process FOLDER` in a fresh home, (b) one
`miniwdl run` process a sample on the same files with the same sandbox and without call cache, both two at a time, and
the next round the other way about. What is judged is the median of the rounds' a/b. Processors are counted by wait4
over all processes, the detached runner's too. One scatter run of all samples in a single miniwdl is measured once. The
same is written to benchmarks/raw/engine_overhead.json. `--stages` tells where the time of `process` goes instead.
"""

from __future__ import annotations

import argparse
import configparser
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import measure, stages
from benchmarks.lab import SCATTER, Lab
from benchmarks.measure import Cost
from labrelay.workflows.local.engine import LocalEngine
from labrelay.workflows.local.sandbox import BACKENDS, bubblewrap, python_folders
from labrelay.workflows.local.tools import readable_folders, search_path, write_launchers

AT_ONCE = 2
PAIRS = 2_000
GOAL = 1.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--sandbox", nargs="+", choices=["host", "bwrap"], default=["host"])
    parser.add_argument("--stages", action="store_true", help="tell where the time of process goes")
    asked = parser.parse_args()
    measure.adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="labrelay-bench-") as folder:
        bench = Bench(Lab(Path(folder), asked.samples, asked.pairs))
        if asked.stages:
            stages.show(bench.lab, settings(asked.sandbox[0]))
            return
        figures = {sandbox: bench.compare(sandbox, asked.rounds) for sandbox in asked.sandbox}
    report(figures, asked.samples, asked.rounds)


def settings(sandbox: str) -> str:
    return f'sandbox = "{sandbox}"\nconcurrency = {AT_ONCE}\n'


class Bench:
    """One lab, measured; every run gets folders of its own."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.tools = lab.root / "tools"
        write_launchers(self.tools)
        self.path = search_path([], self.tools)
        # What a person's shell has; compiled modules are kept in one place, the same for both sides.
        self.env = measure.plain_environment(lab.root / "compiled") | {"PATH": os.pathsep.join(self.path)}
        self.count = 0

    def compare(self, sandbox: str, rounds: int) -> dict[str, list[Cost]]:
        """Return the costs of each round by what was run; a run that is not counted warms up both sides."""
        self.bare(sandbox, self.lab.names[:2])
        self.process(sandbox)
        costs: dict[str, list[Cost]] = {"process": [], "bare": []}
        for number in range(rounds):
            for side in ("process", "bare") if number % 2 else ("bare", "process"):
                cost = self.process(sandbox) if side == "process" else self.bare(sandbox, self.lab.names)
                print(f"  {sandbox} round {number + 1} {side}: {cost.wall:.1f} s", file=sys.stderr)
                costs[side].append(cost)
        costs["scatter"] = [self.scatter(sandbox)]
        return costs

    def process(self, sandbox: str) -> Cost:
        """Run the command in a fresh home; its runner is stopped and counted at the end."""
        home = self.lab.make_home(self._fresh(), settings(sandbox))
        log = home.with_suffix(".log")
        command = [sys.executable, "-m", "labrelay.cli", "--home", str(home), "process", str(self.lab.run)]
        cost = measure.run(command, log, self.env)
        LocalEngine(home).stop()
        cpu, rss = measure.reap_adopted()
        done = len(list(home.glob("results/*/*/*/ro-crate-metadata.json")))
        if done != len(self.lab.names):
            raise SystemExit(f"only {done} of {len(self.lab.names)} samples have a result: see {log}")
        shutil.rmtree(home)
        return Cost(cost.wall, cost.cpu + cpu, max(cost.rss, rss))

    def bare(self, sandbox: str, names: list[str]) -> Cost:
        """Run one miniwdl process a sample, as many at once as the home would."""
        folder = self.lab.root / self._fresh()
        folder.mkdir()
        config = self._config(folder, sandbox)
        cost = measure.run_many(list(self._bare_commands(folder, config, names)), AT_ONCE, self.env)
        shutil.rmtree(folder)
        return cost

    def scatter(self, sandbox: str) -> Cost:
        """Run all samples as one scatter in one miniwdl."""
        folder = self.lab.root / self._fresh()
        folder.mkdir()
        main = self.lab.workflow / "scatter.wdl"
        main.write_text(SCATTER)
        mates = [self.lab.mates(name) for name in self.lab.names]
        inputs = {
            "samples": self.lab.names,
            "r1": [[str(one)] for one, _ in mates],
            "r2": [[str(two)] for _, two in mates],
            "reference": str(self.lab.reference),
        }
        command = self._command(folder, "all", main, inputs, self._config(folder, sandbox))
        cost = measure.run(*command, self.env)
        shutil.rmtree(folder)
        return cost

    def _fresh(self) -> str:
        self.count += 1
        return f"run{self.count}"

    def _config(self, folder: Path, sandbox: str) -> Path:
        config = configparser.ConfigParser(interpolation=None)
        config["scheduler"] = {"container_backend": BACKENDS[sandbox]}
        config["file_io"] = {"root": "/"}
        config["call_cache"] = {"put": "false", "get": "false"}
        config["labrelay"] = {
            "sandbox": sandbox,
            "bwrap": bubblewrap() or "",
            "tool_path": os.pathsep.join(self.path),
            "read_only": json.dumps([*python_folders(), *readable_folders(self.path)]),
        }
        path = folder / "miniwdl.cfg"
        with path.open("w") as out:
            config.write(out)
        return path

    def _bare_commands(self, folder: Path, config: Path, names: list[str]) -> Iterator[tuple[list[str], Path]]:
        for name in names:
            one, two = self.lab.mates(name)
            inputs = {"sample": name, "r1": [str(one)], "r2": [str(two)], "reference": str(self.lab.reference)}
            yield self._command(folder, name, self.lab.workflow / "main.wdl", inputs, config)

    def _command(
        self, folder: Path, name: str, main: Path, inputs: dict[str, object], config: Path
    ) -> tuple[list[str], Path]:
        values = folder / f"{name}.json"
        values.write_text(json.dumps(inputs))
        argv = [sys.executable, "-m", "WDL", "run", str(main), "-i", str(values), "--cfg", str(config)]
        argv += ["--dir", f"{folder / name}/.", "-o", str(folder / f"{name}.out.json"), "--log-json", "--no-color"]
        return argv, folder / f"{name}.log"


def report(figures: dict[str, dict[str, list[Cost]]], samples: int, rounds: int) -> None:
    """Print the table and keep the raw figures."""
    print(f"{samples} samples, {AT_ONCE} at once, {rounds} rounds, {measure.machine()}\n")
    rows = []
    for sandbox, costs in figures.items():
        for side, runs in costs.items():
            ratios = [ratio_text(costs, side, kind) for kind in ("wall", "cpu")]
            wall, cpu = [c.wall for c in runs], [c.cpu for c in runs]
            rss = f"{max(c.rss for c in runs):.0f}"
            rows.append([sandbox, side, measure.spread(wall, 1), ratios[0], measure.spread(cpu, 1), ratios[1], rss])
    header = ["sandbox", "what", "s, median (range)", "x bare", "s of processors", "x bare", "peak MiB"]
    measure.table(header, rows)
    for sandbox, costs in figures.items():
        ratio = statistics.median(ratios_of(costs, "process", "wall"))
        print(f"\n{sandbox}: process takes {ratio:.3f} x the bare runs (goal: at most {GOAL})")
    kept = {s: {side: [vars(c) for c in runs] for side, runs in costs.items()} for s, costs in figures.items()}
    measure.keep("engine_overhead", {"samples": samples, "rounds": rounds, "at_once": AT_ONCE, "costs": kept})


def ratios_of(costs: dict[str, list[Cost]], side: str, kind: str) -> list[float]:
    """Return each round's ratio to the bare runs of the same round; what ran once is held against their median."""
    bare = [getattr(c, kind) for c in costs["bare"]]
    runs = [getattr(c, kind) for c in costs[side]]
    if len(runs) != len(bare):
        return [runs[0] / statistics.median(bare)]
    return [one / other for one, other in zip(runs, bare, strict=True)]


def ratio_text(costs: dict[str, list[Cost]], side: str, kind: str) -> str:
    return measure.spread(ratios_of(costs, side, kind), 3)


if __name__ == "__main__":
    main()
