"""Recording one workflow run with 1, 10, 100 and 1,000 outputs: seconds, and SQL statements.

    .venv/bin/python -m benchmarks.record_outputs [--outputs 1 10 100 1000]

The outputs are small files; what is measured apart is the whole of `record_run` (each output hashed, stored and synced,
report, tables and crate) and its one writing transaction, with the statements that go to the database.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine as SqlEngine

from benchmarks.instant_runs import Instant, prepare
from labrelay.model.experiment import Experiment, Sample
from labrelay.model.runs import OutputFile, RunReport, WorkflowVersion
from labrelay.model.states import RunState
from labrelay.records import experiments, intake
from labrelay.records.database import Database
from labrelay.steps import collect as collecting
from labrelay.steps.home import Home, open_home
from labrelay.steps.submit import Submitted, commit_intents

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "records"))

import seed

ROUNDS = 3


class Many(Instant):
    """An engine that has made many files."""

    def __init__(self, folder: Path, count: int) -> None:
        super().__init__(folder / "0.txt")
        self.folder, self.count = folder, count

    def report(self, external_id: str) -> RunReport:  # noqa: ARG002 - all are alike
        moment = datetime.now(UTC)
        files = [OutputFile(output="parts", index=n, path=str(self.folder / f"{n}.txt")) for n in range(self.count)]
        counts = OutputFile(output="counts", index=0, path=str(self.folder / "counts.json"))
        return RunReport(
            state=RunState.COMPLETE, engine="instant", started=moment, ended=moment, files=(counts, *files)
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outputs", type=int, nargs="+", default=[1, 10, 100, 1000])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="labrelay-bench-") as folder:
        path = Path(folder) / "home"
        version = prepare(path, None)
        for count in asked.outputs:
            rows = [measured(path, version, count, turn) for turn in range(ROUNDS)]
            whole, writing, statements = (sorted(each)[ROUNDS // 2] for each in zip(*rows, strict=True))
            sys.stdout.write(
                f"{count:5} outputs: record_run {whole:.3f} s, its transaction {writing:.3f} s, "
                f"{statements} statements\n"
            )
            sys.stdout.flush()


def measured(path: Path, version: WorkflowVersion, count: int, turn: int) -> tuple[float, float, int]:
    """Return the seconds of recording a run, those of its longest transaction, and its statements."""
    folder = path / "work" / f"made-{count}-{turn}"
    folder.mkdir()
    (folder / "counts.json").write_text('{"reads": 1}')
    for number in range(count):
        (folder / f"{number}.txt").write_text(f"{count} {turn} {number}\n")
    home = open_home(path)
    home.engine = Many(folder, count)
    submit(home, version, f"{count}-{turn}")
    statements: Counter[str] = Counter()

    def counted(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements[statement.split()[0]] += 1

    event.listen(SqlEngine, "before_cursor_execute", counted)
    with timed_writes() as writes:
        began = time.monotonic()
        done = collecting.collect(home)
        whole = time.monotonic() - began
    event.remove(SqlEngine, "before_cursor_execute", counted)
    assert len(done.recorded) == 1, done
    home.close()
    return whole, max(writes), statements.total()


@contextmanager
def timed_writes() -> Iterator[list[float]]:
    """Time each writing transaction while the block runs."""
    found: list[float] = []
    before = Database.write

    @contextmanager
    def timed(self: Database) -> Iterator[Any]:
        began = time.monotonic()
        with before(self) as session:
            yield session
        found.append(time.monotonic() - began)

    Database.write = timed  # type: ignore[method-assign]
    try:
        yield found
    finally:
        Database.write = before  # type: ignore[method-assign]


def submit(home: Home, version: WorkflowVersion, name: str) -> None:
    """Announce a sample and ask for its run."""
    experiment = Experiment(name=f"exp-{name}", project="benchmark")
    sample = Sample(experiment_id=experiment.id, name=f"S-{name}")
    reads = [home.objects.put_bytes(f"raw/{name}/R{n}.fastq", b"") for n in (1, 2)]
    with home.records.write() as session:
        experiments.announce(session, experiment, [sample], correct=False)
        intake.add_files(session, [(ref, "reads", None) for ref in reads])
    asked = commit_intents(home, [seed.intent_of(experiment, sample, reads, version)], Submitted())
    assert (asked.new, asked.failed) == (1, [])


if __name__ == "__main__":
    main()
