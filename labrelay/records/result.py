"""One workflow run with everything that explains it, gathered for the documents made from it.

The crate, the `.eln` archive, the HTML report and the tables read this and nothing else, so that they cannot disagree.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from labrelay.model.experiment import Experiment, Sample
from labrelay.model.files import FileRef, FileRole
from labrelay.model.problem import Frozen
from labrelay.model.qc import Override, QCMetric, Threshold, Verdict
from labrelay.model.reads import Contig
from labrelay.model.runs import RunReport, WorkflowVersion


class ResultFile(Frozen):
    """A file of a result: which output (or input role) of the workflow it is, and where it can be read now.

    Attributes:
        asked_as: What the engine was told to read, where that is another name of the same bytes: a read set's file.
    """

    name: str
    role: FileRole
    ref: FileRef
    path: Path
    index: int = 0
    media_type: str | None = None
    task: str | None = None
    asked_as: str | None = None


class InstrumentSource(Frozen):
    """The instrument run that the reads came from, as provenance names it.

    Attributes:
        lanes: Those that the reads came from; none when they are merged or unknown.
        samples: Ids of the samples that were read there.
        files: Ids of the files of reads that came of it.
    """

    run_id: str
    platform: str
    instrument_model: str | None = None
    instrument_serial: str | None = None
    flow_cell: str | None = None
    started: datetime | None = None
    lanes: tuple[int, ...] = ()
    samples: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


class ReferenceUsed(Frozen):
    """The reference that the run used; `annotation` is its GFF3, when it has one."""

    id: str
    name: str
    file: ResultFile
    annotation: ResultFile | None = None
    contigs: tuple[Contig, ...] = ()


class Result(Frozen):
    """A sample's (or cohort's) result of one workflow run.

    Attributes:
        run_id: `run_…`.
        key: The workflow run's identity.
        attempt: Which try gave this result, from 1.
        samples: One, or all of a cohort.
        definition: The unpacked bundle's folder, for the crate.
        parameters: What was asked, without files.
        inputs: Reads and other files that went in.
        outputs: What came out and was stored.
        metrics: QC metrics of the workflow, with units.
        thresholds: What they were judged by.
        verdict: The worst of the judged metrics, or what a person set.
        override: Who set it and why, when a person did; it holds what was computed.
        verdicts: Verdict of each judged metric.
        labels: The definition's headings of metrics, by metric name; a metric without one is named by its words.
        output_labels: What a person calls each output, by its name in the workflow.
        started, ended: Of the attempt, zone-aware.
        started_by: Who or what asked for it.
        replaces: The workflow runs whose older results it takes the place of.
        because: Why there is a new result, one sentence; None when it is the first.
        rule: The routing rule that asked for it; None or `by hand` when a person did.
    """

    run_id: str
    key: str
    attempt: int
    experiment: Experiment
    samples: tuple[Sample, ...]
    instrument_runs: tuple[InstrumentSource, ...] = ()
    workflow: WorkflowVersion
    workflow_title: str
    definition: Path
    parameters: dict[str, Any] = {}
    reference: ReferenceUsed | None = None
    inputs: tuple[ResultFile, ...] = ()
    outputs: tuple[ResultFile, ...] = ()
    metrics: tuple[QCMetric, ...] = ()
    thresholds: tuple[Threshold, ...] = ()
    verdict: Verdict = Verdict.NONE
    override: Override | None = None
    verdicts: dict[str, Verdict] = {}
    labels: dict[str, str] = {}
    output_labels: dict[str, str] = {}
    report: RunReport
    started: datetime
    ended: datetime
    started_by: str
    replaces: tuple[str, ...] = ()
    because: str | None = None
    rule: str | None = None

    @property
    def title(self) -> str:
        """Sample names (or the cohort's size) and the workflow, for headings."""
        names = self.samples[0].name if len(self.samples) == 1 else f"{len(self.samples)} samples"
        return f"{names}: {self.workflow.name} {self.workflow.version}"

    def output(self, name: str) -> ResultFile | None:
        """Return the first output file of this name, or None."""
        return next((f for f in self.outputs if f.name == name), None)

    def metric(self, name: str) -> float | None:
        """Return the value of the metric of this name, or None."""
        return next((m.value for m in self.metrics if m.name == name), None)
