"""What `process` itself costs a sample, and its memory: all steps are real, only the engine is a double.

    .venv/bin/python -m benchmarks.own_cost [--samples 50 500]

Each run folder (two pairs of reads a sample) is taken in, matched, imported, routed, submitted, recorded with report
and
crate, and delivered, in a process of its own and a fresh home. The engine ends every run at once with one small output,
so that what is left is ours. The same is written to benchmarks/raw/own_cost.json.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import measure
from benchmarks.lab import Lab


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, nargs="+", default=[1, 50, 500])
    parser.add_argument("--child", nargs=2, type=Path, help="home and run folder (used by the benchmark itself)")
    asked = parser.parse_args()
    if asked.child:
        run_in_process(*asked.child)
        return
    with tempfile.TemporaryDirectory(prefix="labrelay-bench-") as folder:
        env = measure.plain_environment(Path(folder) / "compiled")
        cost_of(Path(folder) / "warm-up", 1, env)
        costs = {count: cost_of(Path(folder) / str(count), count, env) for count in asked.samples}
    print(f"steps of process with an engine double, {measure.machine()}\n")
    base = costs[min(costs)]
    rows = []
    for count, cost in costs.items():
        more = count - min(costs)
        each = f"{1000 * (cost.cpu - base.cpu) / more:.0f}" if more else "–"
        rows.append([str(count), f"{cost.wall:.1f}", f"{cost.cpu:.1f}", each, f"{cost.rss:.0f}"])
    measure.table(["samples", "s", "s of processors", "ms of processor a further sample", "peak MiB"], rows)
    measure.keep("own_cost", {"costs": {str(count): vars(cost) for count, cost in costs.items()}})


def cost_of(root: Path, samples: int, env: Mapping[str, str]) -> measure.Cost:
    """Return what all steps cost for so many samples."""
    root.mkdir()
    lab = Lab(root, samples, pairs=2, trivial=True)
    home = lab.make_home("home", "")
    command = [sys.executable, "-m", "benchmarks.own_cost", "--child", str(home), str(lab.run)]
    cost = measure.run(command, root / "log", env)
    done = len(list(home.glob("results/*/*/*/ro-crate-metadata.json")))
    if done != samples:
        raise SystemExit(f"only {done} of {samples} samples have a result: see {root / 'log'}")
    return cost


def run_in_process(path: Path, folder: Path) -> None:
    """Do all steps of a run folder in this process."""
    from labrelay.model.runs import EngineStatus, OutputFile, RunReport, RunRequest
    from labrelay.model.states import RunState
    from labrelay.steps.home import open_home
    from labrelay.steps.process import process

    class EndsAtOnce:
        """An engine port whose runs have one small output and no time."""

        kind = "local"

        def submit(self, request: RunRequest) -> str:
            made = path / "work" / request.token
            made.mkdir(parents=True)
            (made / "metrics.json").write_text('{"reads": 4, "mapped_percent": 100}')
            return request.token

        def poll(self, external_ids: Sequence[str]) -> Mapping[str, EngineStatus]:
            return {each: EngineStatus(state=RunState.COMPLETE, at=datetime.now(UTC)) for each in external_ids}

        def report(self, external_id: str) -> RunReport:
            file = OutputFile(output="metrics", path=str(path / "work" / external_id / "metrics.json"), task="count")
            return RunReport(
                state=RunState.COMPLETE,
                started=datetime.now(UTC),
                ended=datetime.now(UTC),
                engine="double",
                files=(file,),
                values={},
                tasks=(),
            )

        def cancel(self, external_id: str) -> None:
            raise NotImplementedError(external_id)

    home = open_home(path)
    home.engine = EndsAtOnce()
    process(home, folder)
    home.close()


if __name__ == "__main__":
    main()
