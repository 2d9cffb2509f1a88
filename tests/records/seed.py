"""A metadata store full of a lab's work, written by the same functions as the real thing; for speed checks."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from labrelay.model.experiment import Experiment, Sample
from labrelay.model.files import FileRef, FileRole
from labrelay.model.instrument import InstrumentRun, SheetSample
from labrelay.model.reads import ReadSource
from labrelay.model.runs import EngineStatus, RunInput, WorkflowVersion, attempt_token, run_key
from labrelay.model.states import RunState
from labrelay.records import audit, experiments, intake, runs
from labrelay.records.database import Database, now
from labrelay.records.runs import Intent
from labrelay.records.schema import DatasetRow, WorkflowRunRow

WORKFLOW = WorkflowVersion(name="viral_variants", version="1.0.0", digest="ab" * 32, language="WDL", main="main.wdl")
SAMPLES_OF_EXPERIMENT = 50


def open_database(url: str) -> Database:
    """Return the metadata store of this URL with today's tables."""
    db = Database(url)
    db.ensure()
    return db


def stored(key: str, storage: str = "objects") -> FileRef:
    """Return a stored file whose content is its own name."""
    sha256 = hashlib.sha256(key.encode()).hexdigest()
    return FileRef(storage=storage, key=key, version=sha256, sha256=sha256, size=1000)


def seed(db: Database, samples: int, outputs: int = 18) -> None:
    """Fill the store: experiments and instrument runs of 50 samples, and for each sample one recorded workflow run.

    Args:
        db: An empty store.
        samples: How many.
        outputs: Files that each workflow run made; two more a sample are its reads.
    """
    with db.write() as session:
        runs.publish(session, WORKFLOW, "bundles/viral.zip", {})
        for start in range(0, samples, SAMPLES_OF_EXPERIMENT):
            batch = range(start, min(samples, start + SAMPLES_OF_EXPERIMENT))
            seed_batch(session, start // SAMPLES_OF_EXPERIMENT, batch, outputs)


def seed_batch(session: Session, number: int, batch: range, outputs: int) -> None:
    """Write one experiment with its instrument run and its samples' workflow runs."""
    experiment = Experiment(name=f"outbreak-{number:03}", project="measles")
    members = [
        Sample(
            experiment_id=experiment.id,
            name=f"SMP{n:05}",
            aliases=(f"alias-{n}",),
            subject=f"patient {n}",
            assay="measles amplicon",
            project="measles",
            attributes={"site": f"clinic {n % 7}"},
        )
        for n in batch
    ]
    experiments.announce(session, experiment, members, correct=False)
    rows = tuple(SheetSample(sample_id=m.name) for m in members)
    run = InstrumentRun(
        run_id=f"2611{number:02}_M01_{number:04}_FC{number}",
        folder_name="x",
        platform="illumina",
        flow_cell=f"FC{number}",
        samples=rows,
    )
    intake.see(session, run, f"/data/{run.run_id}")
    for sample in members:
        reads = take_in(session, run, sample)
        run_workflow(session, experiment, sample, reads, outputs)
    intake.mark_stored(session, run.id, "fingerprint", "manifests/x.json")


def take_in(session: Session, run: InstrumentRun, sample: Sample) -> list[FileRef]:
    """Write a sample's two files of reads, its dataset and its read set; return the files."""
    refs = [stored(f"raw/illumina/{run.run_id}/{sample.name}_R{mate}_001.fastq.gz") for mate in (1, 2)]
    intake.add_files(session, [(ref, FileRole.READS.value, {"reads": 10}) for ref in refs])
    made = intake.dataset_id(run.id, sample.name)
    row = intake.add_dataset(session, run.id, sample.name, "assigned", sample.id, "id")
    intake.link_files(session, made, [(ref.id, 1, mate) for mate, ref in enumerate(refs, 1)])
    source = ReadSource(sample_id=sample.id, name=sample.name, file_type="FASTQ", files=tuple(refs))
    assert isinstance(row, DatasetRow)
    read_set = intake.add_read_set(session, row, source, "reads", 1)
    intake.settle_read_sets(session, "imp_1", [(read_set, "ACTIVE", None)])
    return refs


def intent_of(
    experiment: Experiment,
    sample: Sample,
    reads: list[FileRef],
    workflow: WorkflowVersion = WORKFLOW,
    generation: int = 0,
) -> Intent:
    """Return the intent to run the workflow on a sample's reads; another generation is another run."""
    inputs = tuple(RunInput(role=f"reads.r{mate}", identity=ref.identity) for mate, ref in enumerate(reads, 1))
    asked = {"parameters": {}, "samples": [[sample.id, sample.revision]]}
    return Intent(
        key=run_key("local", workflow.digest, asked, inputs, generation),
        experiment_id=experiment.id,
        samples=((sample.id, sample.revision),),
        workflow=workflow,
        bundle="bundles/viral.zip",
        engine="local",
        parameters=asked,
        inputs=inputs,
        input_files=tuple((f"reads.r{mate}", 0, ref) for mate, ref in enumerate(reads, 1)),
        reference_id=None,
        rule="measles genomes",
        generation=0,
        result_path=f"{experiment.name}/{sample.name}/{workflow.name}-{workflow.version}",
        request_inputs={},
    )


def run_workflow(
    session: Session, experiment: Experiment, sample: Sample, reads: list[FileRef], outputs: int
) -> Intent:
    """Write a complete, recorded workflow run with its output files; return what was intended."""
    intent = intent_of(experiment, sample, reads)
    runs.intend(session, intent)
    token = attempt_token(intent.key, 1)
    runs.attach(session, token, token)
    runs.apply_event(session, token, EngineStatus(state=RunState.COMPLETE, at=datetime.now(UTC)))
    made = [stored(f"{intent.result_path}/output-{n}.tsv", "results") for n in range(outputs)]
    intake.add_files(session, [(ref, FileRole.OUTPUT.value, None) for ref in made])
    runs.add_io(session, intent.run_id, "out", [(f"output_{n}", 0, ref.id, None) for n, ref in enumerate(made)])
    row = session.get_one(WorkflowRunRow, intent.run_id)
    row.verdict, row.recorded_at = "pass", now()
    return intent


def audit_something(session: Session, entity_id: str) -> None:
    """Write one more row of the audit trail."""
    audit.record(session, "workflow_run.recorded", entity_id, state="COMPLETE")
