"""A home in which things change: workflows, rules, references, samples and reads; its engine runs nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select

from labrelay.model.experiment import Experiment, Sample
from labrelay.model.instrument import InstrumentRun
from labrelay.model.runs import EngineStatus, RunReport, RunRequest
from labrelay.model.states import RunState
from labrelay.records import experiments, intake, runs
from labrelay.records.database import now
from labrelay.records.schema import WorkflowRunRow
from labrelay.steps.home import Home
from labrelay.steps.imports import import_reads
from labrelay.steps.route import route
from labrelay.steps.submit import submit_planned

EXPERIMENT = Experiment(name="exp")
RULE = '[[rule]]\nname = "counts"\nworkflow = "count"\nreference = "virus"\n'
WDL = """version 1.0
workflow count {{
  input {{ {reads} r1  File reference  Int depth = 1 }}
  output {{ Int n = {n} }}
}}
"""
DEFINITION = """name = "count"
version = "{version}"
title = "Counts"
main = "main.wdl"
scope = "{scope}"
[inputs.r1]
from = "reads.r1"
[inputs.reference]
from = "reference.fasta"
"""


class Engine:
    """Takes everything and runs nothing."""

    kind = "local"

    def submit(self, request: RunRequest) -> str:
        return request.token

    def poll(self, external_ids: Sequence[str]) -> Mapping[str, EngineStatus]:
        return {}

    def report(self, external_id: str) -> RunReport:
        raise NotImplementedError

    def cancel(self, external_id: str) -> None:
        raise NotImplementedError


def lab_with_results(home: Home, folder: Path, *names: str) -> Lab:
    """Return a lab with recorded results of these samples, all of one instrument run."""
    home.engine = Engine()
    made = Lab(home, folder)
    made.announce(*names)
    made.submit(made.take_in("fc-1", *names))
    made.end()
    return made


class Lab:
    """A home in which things change."""

    def __init__(self, home: Home, folder: Path) -> None:
        self.home, self.folder = home, folder
        self.rule()
        self.definition()
        self.reference("ACGT")

    def rule(self, more: str = "") -> None:
        (self.home.path / "rules.toml").write_text(RULE + more)

    def definition(self, version: str = "1.0", n: int = 1, scope: str = "sample") -> None:
        folder = self.home.path / "definitions" / "count"
        folder.mkdir(parents=True, exist_ok=True)
        reads = "Array[File]" if scope == "sample" else "Array[Array[File]]"
        (folder / "main.wdl").write_text(WDL.format(n=n, reads=reads))
        (folder / "definition.toml").write_text(DEFINITION.format(version=version, scope=scope))

    def reference(self, sequence: str) -> None:
        source = self.folder / "virus.fasta"
        source.write_text(f">virus\n{sequence}\n")
        self.home.reads.add_reference(source, "virus")

    def announce(self, *names: str, **changes: str) -> None:
        members = [Sample(experiment_id=EXPERIMENT.id, name=name, **changes) for name in names]  # type: ignore[arg-type]
        with self.home.records.write() as session:
            experiments.announce(session, EXPERIMENT, members, correct=bool(changes), reason="it was wrong")

    def take_in(self, run_id: str, *names: str) -> str:
        """Take in an instrument run with one file for each of these samples; return its id."""
        run = InstrumentRun(run_id=run_id, folder_name=run_id, platform="illumina")
        with self.home.records.write() as session:
            intake.see(session, run, run_id)
            for name in names:
                ref = self.home.objects.put_bytes(f"raw/{run_id}/{name}.fastq", f"@{run_id}{name}\nA\n+\nI\n".encode())
                intake.add_files(session, [(ref, "reads", None)])
                sample = Sample(experiment_id=EXPERIMENT.id, name=name)
                dataset = intake.add_dataset(session, run.id, name, "assigned", sample.id, "id")
                intake.link_files(session, dataset.id, [(ref.id, 1, 1)])
            intake.mark_stored(session, run.id, "f", "m")
        import_reads(self.home, run.id)
        return run.id

    def submit(self, instrument_run: str) -> None:
        assert not submit_planned(self.home, route(self.home, instrument_run).planned).failed

    def end(self, state: RunState = RunState.COMPLETE, failure: str | None = None) -> None:
        """End and record all live runs."""
        with self.home.records.write() as session:
            for attempt in runs.live(session):
                status = EngineStatus(state=state, at=datetime.now(UTC), message=failure)
                runs.apply_event(session, attempt.token, status)
                session.get_one(WorkflowRunRow, attempt.run_id).recorded_at = now()

    def rows(self) -> list[WorkflowRunRow]:
        with self.home.records.read() as session:
            return list(session.scalars(select(WorkflowRunRow).order_by(WorkflowRunRow.created_at)))
