"""Runs that take no time, through submit, collect, record and deliver: how many a second, with how many workers.

    .venv/bin/python -m benchmarks.instant_runs [--runs 1000] [--workers 1 2] [--postgres]

What is measured is Labrelay's own work for a run: intent and attempt, the engine's answer, the stored output, report,
tables and crate, the records, the notebook's archive. The engine is a double that has an output ready. Each worker is a
process with experiments of its own, 50 samples each, on one metadata store: SQLite, and with `--postgres` a PostgreSQL
that is started for it with its durability on.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "records"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "factory"))

import seed
from postgres import Cluster

from benchmarks.measure import between, team
from labrelay.model.experiment import Experiment, Sample
from labrelay.model.instrument import InstrumentRun
from labrelay.model.runs import EngineStatus, OutputFile, RunReport, RunRequest, WorkflowVersion
from labrelay.model.states import RunState
from labrelay.records import experiments, intake, runs
from labrelay.steps.collect import collect
from labrelay.steps.deliver import deliver
from labrelay.steps.home import Home, init_home, open_home
from labrelay.steps.submit import Composer, Submitted, commit_intents

GROUP = 50  # samples of an experiment, submitted together
WDL = """version 1.0
workflow instant { call made  output { File counts = made.counts } }
task made { command <<< echo '{"reads": 1}' > counts.json >>>  output { File counts = "counts.json" } }
"""
DEFINITION = 'name = "instant"\nversion = "1"\ntitle = "Instant"\n[metrics.reads]\noutput = "counts"\nunit = "count"\n'


class Instant:
    """An engine that has done everything when it is asked."""

    kind = "local"

    def __init__(self, output: Path) -> None:
        self.output = output

    def submit(self, request: RunRequest) -> str:
        return request.token

    def poll(self, external_ids: Sequence[str]) -> Mapping[str, EngineStatus]:
        return {each: EngineStatus(state=RunState.COMPLETE, at=datetime.now(UTC)) for each in external_ids}

    def report(self, external_id: str) -> RunReport:  # noqa: ARG002 - all are alike
        moment = datetime.now(UTC)
        made = OutputFile(output="counts", index=0, path=str(self.output))
        return RunReport(state=RunState.COMPLETE, engine="instant", started=moment, ended=moment, files=(made,))

    def cancel(self, external_id: str) -> None:
        raise NotImplementedError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--postgres", action="store_true")
    asked = parser.parse_args()
    cluster = Cluster(durable=True) if asked.postgres else None
    try:
        for workers in asked.workers:
            measure("SQLite", None, asked.runs, workers)
            if cluster is not None:
                measure("PostgreSQL", cluster, asked.runs, workers)
    finally:
        if cluster is not None:
            cluster.stop()


def measure(name: str, cluster: Cluster | None, count: int, workers: int) -> None:
    """Print the runs a second of so many workers, of the first tenth and of the last."""
    with tempfile.TemporaryDirectory(prefix="labrelay-bench-") as folder:
        path = Path(folder) / "home"
        version = prepare(path, cluster)
        spans = team(work, [(path, version, range(n, count // GROUP, workers)) for n in range(workers)])
        took = between(spans)
        first, last = (sum(marks[place] for _, _, marks in spans) / len(spans) for place in (0, -1))
        done = count // GROUP * GROUP
        sys.stdout.write(
            f"{name}, {workers} worker(s): {done} runs in {took:.1f} s, {done / took:.1f} a second; "
            f"an experiment of {GROUP}: {first:.2f} s the first, {last:.2f} s the last\n"
        )
        sys.stdout.flush()


def prepare(path: Path, cluster: Cluster | None) -> WorkflowVersion:
    """Make the home with its workflow and its output to be."""
    init_home(path)
    if cluster is not None:
        cluster.give(path)
    folder = path / "definitions" / "instant"
    folder.mkdir(parents=True)
    (folder / "main.wdl").write_text(WDL)
    (folder / "definition.toml").write_text(DEFINITION)
    (path / "work").mkdir()
    (path / "work" / "counts.json").write_text('{"reads": 1}')
    home = open_home(path)
    _definition, version, _schema = Composer(home).workflow("instant", None)
    home.close()
    return version


def work(path: Path, version: WorkflowVersion, groups: range, start: object, times: object) -> None:
    """Take groups of runs from their intents to the notebook."""
    home = open_home(path)
    home.engine = Instant(path / "work" / "counts.json")
    start.wait()  # type: ignore[attr-defined]
    began, marks = time.monotonic(), []
    for number in groups:
        before = time.monotonic()
        one_group(home, version, number)
        marks.append(time.monotonic() - before)
    times.put((began, time.monotonic(), marks))  # type: ignore[attr-defined]
    home.close()


def one_group(home: Home, version: WorkflowVersion, number: int) -> None:
    """One experiment: its samples are announced and taken in, then its runs go all the way."""
    experiment = Experiment(name=f"exp-{number:05}", project="benchmark")
    members = [Sample(experiment_id=experiment.id, name=f"S{number:05}-{n:02}") for n in range(GROUP)]
    run = InstrumentRun(run_id=f"run-{number:05}", folder_name=f"run-{number:05}", platform="illumina")
    intents = []
    with home.records.write() as session:
        experiments.announce(session, experiment, members, correct=False)
        intake.see(session, run, run.run_id)
        for sample in members:
            reads = [home.objects.put_bytes(f"raw/{run.run_id}/{sample.name}_R{n}.fastq", b"") for n in (1, 2)]
            intake.add_files(session, [(ref, "reads", None) for ref in reads])
            intents.append(seed.intent_of(experiment, sample, reads, version))
        intake.mark_stored(session, run.id, "fingerprint", "manifests/x.json")
    asked = commit_intents(home, intents, Submitted())
    assert (asked.new, asked.failed) == (GROUP, [])
    while len(runs_left(home, asked.runs)):
        assert collect(home).stuck == []
    deliver(home)


def runs_left(home: Home, ids: Sequence[str]) -> set[str]:
    """Return those runs that are not recorded yet; another worker's collect may have taken some."""
    with home.records.read() as session:
        return {row.id for row in runs.unrecorded(session)}.union(each.run_id for each in runs.live(session)) & set(ids)


if __name__ == "__main__":
    main()
