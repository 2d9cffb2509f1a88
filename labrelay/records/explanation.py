"""Everything that explains one workflow run, read from the records alone in a constant number of queries.

What is explained: which reads, which reference, which workflow, who asked, where it ran, what it took, how it was
judged, and what is different from the result before it. `explanation_text` says it in sentences.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from labrelay.model.instrument import run_name
from labrelay.model.problem import Frozen
from labrelay.model.qc import Override, Threshold, Verdict
from labrelay.model.states import RunState


class ReadsFile(Frozen):
    """A file that went in: its role, the sample and lane that it is of, its count of reads where the gate counted."""

    id: str
    name: str
    role: str
    sha256: str
    size: int
    reads: int | None = None
    lane: int | None = None
    mate: int | None = None
    sample: str | None = None


class ReadsSource(Frozen):
    """The files that came from one instrument run; from nowhere in the records when `run_id` is None."""

    id: str | None = None
    run_id: str | None = None
    platform: str | None = None
    model: str | None = None
    serial: str | None = None
    flow_cell: str | None = None
    plate: str | None = None
    started: datetime | None = None
    files: tuple[ReadsFile, ...]

    @property
    def name(self) -> str:
        """What people call the instrument run."""
        return run_name(self.run_id or "", self.plate)

    @property
    def lanes(self) -> tuple[int, ...]:
        """The lanes, sorted."""
        return tuple(sorted({file.lane for file in self.files if file.lane is not None}))

    @property
    def reads(self) -> int | None:
        """How many reads were counted in the files; None when one was not counted."""
        counts = [file.reads for file in self.files]
        return None if None in counts or not counts else sum(count or 0 for count in counts)


class SampleUsed(Frozen):
    """A sample at the revision that was used, and the revision that it has now."""

    id: str
    name: str
    revision: int
    newest: int


class ReferenceRead(Frozen):
    """The reference: its id, its name where the read store still knows it, and the file with its checksum."""

    id: str | None
    name: str | None = None
    file: ReadsFile | None = None


class WorkflowUsed(Frozen):
    """The workflow that ran, by name, version and the digest of its bundle."""

    name: str
    version: str
    title: str
    digest: str
    language: str


class ParameterUsed(Frozen):
    """A parameter that was set; `default` is the definition's, None when it states none."""

    name: str
    value: Any
    default: Any = None

    @property
    def differs(self) -> bool:
        """Whether it is something else than the definition's default."""
        return bool(self.value != self.default)


class Asked(Frozen):
    """Who asked for it, when, and by which rule; generation counts from 0, attempts from 1."""

    by: str
    at: datetime
    rule: str | None
    generation: int
    attempt: int


class Ran(Frozen):
    """Where it ran and in what.

    Attributes:
        place: The kind of engine: `local`, `healthomics`, `batch`.
        engine: Name and version of what ran it.
        sandbox: What held it.
        tools: Versions of the tools, as the run told them.
        tasks, cached, failed: How many tasks, how many took an earlier result, the names of those that failed.
        held_by: What held the tasks, each once.
        declared: Container images that the workflow declares, each once.
        machines: Instance types, each once.
    """

    place: str
    engine: str | None
    sandbox: str | None
    tools: dict[str, str] = {}
    tasks: int = 0
    cached: int = 0
    failed: tuple[str, ...] = ()
    held_by: tuple[str, ...] = ()
    declared: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()


class Took(Frozen):
    """How long the attempt took (s of the clock and of processors) and what was billed (USD), None where unknown."""

    seconds: float | None
    cpu_seconds: float | None
    usd: float | None


class Judged(Frozen):
    """A metric with its limits and verdict; `before` is its value in the result before, `source` where it was read."""

    name: str
    label: str | None
    value: float | None
    unit: str
    scope: str
    verdict: Verdict
    limits: Threshold | None = None
    before: float | None = None
    source: str | None = None


class Output(Frozen):
    """A file that came out: its output in the workflow and the task that made it."""

    id: str
    name: str
    key: str
    task: str | None
    sha256: str
    size: int


class Change(Frozen):
    """What is different from the result before: `what` in a word (`workflow`, `parameters` …), and a phrase."""

    what: str
    phrase: str


class Before(Frozen):
    """The last earlier result of the same workflow for the same samples, and what changed since."""

    run_id: str
    ended: datetime | None
    workflow: str
    verdict: Verdict
    changes: tuple[Change, ...]


class Explanation(Frozen):
    """One workflow run, explained; see the module.

    Attributes:
        state, verdict: As recorded.
        overruled: Who set the verdict in place of the one that the numbers gave, and why.
        failure: Why it failed, one sentence.
        stale: Why the result is out of date.
        replaced_by: The run whose result counts instead.
        replaces: The runs whose older results it takes the place of; `because` says why there is a new one.
        sources: The reads by instrument run.
        others: Files that went in and are neither reads of an instrument run nor the reference.
        file: The output that was asked about.
        metric: The name of the metric that was asked about.
    """

    run_id: str
    experiment: str
    state: RunState
    verdict: Verdict
    overruled: Override | None = None
    failure: str | None = None
    stale: str | None = None
    replaced_by: str | None = None
    replaces: tuple[str, ...] = ()
    because: str | None = None
    samples: tuple[SampleUsed, ...] = ()
    sources: tuple[ReadsSource, ...] = ()
    others: tuple[ReadsFile, ...] = ()
    reference: ReferenceRead | None = None
    workflow: WorkflowUsed
    parameters: tuple[ParameterUsed, ...] = ()
    asked: Asked
    ran: Ran
    took: Took
    metrics: tuple[Judged, ...] = ()
    outputs: tuple[Output, ...] = ()
    before: Before | None = None
    file: Output | None = None
    metric: str | None = None
