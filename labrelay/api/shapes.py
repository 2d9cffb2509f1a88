"""What is answered, field by field, with units: the front door's promise to programs."""

from __future__ import annotations

from datetime import datetime
from typing import Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from labrelay.model.qc import Verdict
from labrelay.model.states import RunState
from labrelay.records.schema import InboxRow
from labrelay.steps.listing import RunLine
from labrelay.steps.results import ResultRow, Shown
from labrelay.steps.run_details import AttemptLine, FileLine, RunDetails

Item = TypeVar("Item", bound=BaseModel)


class Shape(BaseModel):
    """An answer, or a part of one."""

    model_config = ConfigDict(frozen=True)


class Page(Shape, Generic[Item]):
    """A part of a list, the newest first."""

    items: tuple[Item, ...] = Field(description="this part")
    next: str | None = Field(description="the `cursor` of the next part; null when this was the last one")


class Accepted(Shape):
    """A message is durable here; what comes of it stands at `url` when it was worked off."""

    id: str = Field(description="`msg_…`")
    url: str = Field(description="where its outcome can be read; a path when the setting base_url is not set")
    new: bool = Field(description="false when this message had been taken before")


class MessageState(Shape):
    """A message and what has become of it."""

    id: str = Field(description="`msg_…`")
    source: str = Field(description="`token:NAME` or `hook:NAME`")
    state: Literal["waiting", "done", "refused"] = Field(description="`waiting` until a collect has worked it off")
    received_at: datetime = Field(description="when it was taken, UTC")
    done_at: datetime | None = Field(description="when it was worked off, UTC")
    outcome: str | None = Field(description="what came of it, or what it waits for, one sentence")
    error: str | None = Field(description="why it was refused, one sentence")

    @classmethod
    def of(cls, row: InboxRow) -> Self:
        """Return the state of an inbox row."""
        state: Literal["waiting", "done", "refused"] = "refused" if row.error else "done" if row.done_at else "waiting"
        times = {"received_at": datetime.fromisoformat(row.received_at)}
        done = datetime.fromisoformat(row.done_at) if row.done_at else None
        said = {"source": row.source, "outcome": row.outcome, "error": row.error}
        return cls(id=f"msg_{row.id}", state=state, done_at=done, **times, **said)


class Run(Shape):
    """A workflow run in one line."""

    run: str = Field(description="`run_…`")
    experiment: str = Field(description="the experiment's name")
    sample: str = Field(description="the sample's name, or `N samples` of a cohort")
    workflow: str = Field(description="name and version")
    engine: str = Field(description="where it runs: `local`, `healthomics`, `batch`")
    state: RunState = Field(description="as GA4GH WES 1.1 has it")
    verdict: Verdict = Field(description="of its quality metrics")
    attempts: int = Field(description="how many tries there were")
    asked: datetime = Field(description="when it was asked for, UTC")
    ended: datetime | None = Field(description="its end, UTC; null while it lives")
    seconds: float = Field(description="of its newest attempt, until its end or now, s")
    reason: str | None = Field(description="why it failed")
    stale: str | None = Field(description="why its result is out of date")
    recorded: bool = Field(description="whether its end is on record")
    result_path: str = Field(description="its result's folder, below `results/` of the home")

    @classmethod
    def of(cls, line: RunLine) -> Self:
        """Return a listed run."""
        return cls(**line.model_dump())


class File(Shape):
    """A file that went into a workflow run or came out of it."""

    name: str = Field(description="the input or output of the workflow")
    index: int = Field(description="which of several files of this name, from 0")
    id: str = Field(description="`fil_…`, as lineage has it")
    key: str = Field(description="where it lies in its store")
    size: int = Field(description="bytes")

    @classmethod
    def of(cls, file: FileLine) -> Self:
        """Return a run's file."""
        return cls(**file.model_dump())


class Task(Shape):
    """A task as it happened; null is not measured."""

    name: str = Field(description="its name in the workflow")
    state: RunState = Field(description="as GA4GH WES 1.1 has it")
    started: datetime | None = Field(description="its start, UTC")
    seconds: float | None = Field(description="by the clock, s")
    cpu_seconds: float | None = Field(description="of processors, s")
    peak_memory_bytes: int | None = Field(description="bytes")
    exit_code: int | None = Field(description="of its command")
    cached: bool = Field(description="whether its outputs were those of an earlier run")


class Attempt(Shape):
    """One try of a workflow run."""

    number: int = Field(description="from 1")
    state: RunState = Field(description="as GA4GH WES 1.1 has it")
    asked: datetime = Field(description="when this try was asked for, UTC")
    at: datetime = Field(description="since when it is in its state, UTC")
    seconds: float = Field(description="from the one to the other, or until now while it lives, s")
    message: str | None = Field(description="what the engine says")
    tasks: tuple[Task, ...] = Field(description="in the order of their starts")

    @classmethod
    def of(cls, attempt: AttemptLine) -> Self:
        """Return one try, without the paths of logs on the server."""
        tasks = tuple(Task(**task.model_dump(exclude={"ran_in"})) for task in attempt.tasks)
        named = attempt.model_dump(include={"number", "state", "asked", "at", "seconds", "message"})
        return cls(tasks=tasks, **named)


class RunInFull(Run):
    """A workflow run with its attempts and files."""

    reference: str | None = Field(description="the reference's name")
    rule: str | None = Field(description="the routing rule that asked for it")
    generation: int = Field(description="rises when the same is computed again on purpose, from 0")
    asked_by: str = Field(description="who asked for it")
    replaced_by: str | None = Field(description="the run whose result counts instead")
    tries: tuple[Attempt, ...] = Field(description="all attempts, the first one first")
    inputs: tuple[File, ...] = Field(description="what went in")
    outputs: tuple[File, ...] = Field(description="what came out")

    @classmethod
    def of_details(cls, found: RunDetails) -> Self:
        """Return a run in full."""
        named = found.model_dump(include={"reference", "rule", "generation", "asked_by", "replaced_by"})
        return cls(
            **(found.line.model_dump() | named),
            tries=tuple(Attempt.of(attempt) for attempt in found.attempts),
            inputs=tuple(File.of(file) for file in found.inputs),
            outputs=tuple(File.of(file) for file in found.outputs),
        )


class ResultLine(Shape):
    """A result in one line; a number that the workflow does not give is null."""

    run: str = Field(description="`run_…`, the result's id too")
    sample: str = Field(description="the sample's name, or `N samples` of a cohort")
    experiment: str = Field(description="the experiment's name")
    workflow: str = Field(description="name and version")
    verdict: Verdict = Field(description="of its quality metrics")
    reads: int | None = Field(description="single reads that went in")
    mapped_percent: float | None = Field(description="of the reads after trimming, %")
    mean_depth: float | None = Field(description="over the whole reference, x")
    breadth_10x_percent: float | None = Field(description="of the reference at depth 10 or more, %")
    variants: int | None = Field(description="how many were called")
    cells: int | None = Field(description="how many were counted, in all wells")
    positive_percent: float | None = Field(description="of those cells, %")
    ended: datetime = Field(description="when it was there, UTC")
    stale: str | None = Field(description="why it is out of date")
    result_path: str = Field(description="its folder, below `results/` of the home")

    @classmethod
    def of(cls, row: ResultRow) -> Self:
        """Return a listed result."""
        return cls(**row.model_dump())


class Metric(Shape):
    """A number with its unit and what was made of it."""

    name: str = Field(description="as the workflow has it")
    value: float | None = Field(description="in `unit`; null when it could not be measured")
    unit: str = Field(description="such as `%`, `x`, `count`")
    verdict: Verdict | None = Field(description="null when no threshold judges it")


class ResultFile(Shape):
    """A file of a result."""

    name: str = Field(description="the output of the workflow")
    id: str = Field(description="`fil_…`, as lineage has it")
    file: str = Field(description="its own name")
    size: int = Field(description="bytes")
    sha256: str = Field(description="64 hexadecimal digits")


class Result(Shape):
    """One result: its numbers and its files."""

    run: str = Field(description="`run_…`")
    title: str = Field(description="what it is, for people")
    experiment: str = Field(description="the experiment's name")
    samples: tuple[str, ...] = Field(description="the samples' names")
    workflow: str = Field(description="name and version")
    verdict: Verdict = Field(description="the worst of the judged metrics, or what a person set")
    stale: str | None = Field(description="why it is out of date")
    started: datetime = Field(description="of the attempt that gave it, UTC")
    ended: datetime = Field(description="of the same, UTC")
    metrics: tuple[Metric, ...] = Field(description="all numbers that the workflow gives")
    outputs: tuple[ResultFile, ...] = Field(description="the files that were kept")

    @classmethod
    def of(cls, shown: Shown) -> Self:
        """Return a shown result, without the paths of its files on the server."""
        found = shown.result
        metrics = (
            Metric(name=m.name, value=m.value, unit=m.unit, verdict=found.verdicts.get(m.name)) for m in found.metrics
        )
        outputs = (
            ResultFile(name=f.name, id=f.ref.id, file=f.ref.name, size=f.ref.size, sha256=f.ref.sha256)
            for f in found.outputs
        )
        return cls(
            run=found.run_id,
            title=found.title,
            experiment=found.experiment.name,
            samples=tuple(sample.name for sample in found.samples),
            workflow=f"{found.workflow.name} {found.workflow.version}",
            verdict=found.verdict,
            stale=shown.stale,
            started=found.started,
            ended=found.ended,
            metrics=tuple(metrics),
            outputs=tuple(outputs),
        )


class Health(Shape):
    """Whether the front door can take messages."""

    status: Literal["ok"] = Field(description="`ok`; when the metadata store does not answer, the status is 503")
    version: str = Field(description="of Labrelay")
