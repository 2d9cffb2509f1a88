"""Step 12, reprocess: exactly the results that are out of date are marked with the reason, and only those run again.

What the rules would intend today is compared with what was recorded. A failed run is no result and is not tried again
here. New conditions are tried on two runs first; two equal failures stop their workflow until a person has looked.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from labrelay.model.canonical import canonical_json
from labrelay.model.errors import LabrelayError
from labrelay.model.faults import faultpoint
from labrelay.model.problem import Frozen
from labrelay.model.runs import RunInput, WorkflowVersion
from labrelay.model.states import RunState
from labrelay.model.words import counted
from labrelay.records import audit
from labrelay.records.runs import Intent
from labrelay.records.schema import (
    CostRow,
    DatasetFileRow,
    DatasetRow,
    FileRow,
    InstrumentRunRow,
    SampleRow,
    WorkflowRunRow,
    WorkflowRunSampleRow,
    WorkflowVersionRow,
)
from labrelay.steps.collect import wait_for
from labrelay.steps.expected_cost import ExpectedCost, cost_sentence, expected_costs
from labrelay.steps.home import Home
from labrelay.steps.route import route
from labrelay.steps.staleness import BY_HAND, Recorded, Today, reasons, replacement, signature
from labrelay.steps.submit import Composer, Submitted, commit_intents

FIRST = 2  # runs under new conditions before any of them has succeeded
EQUAL_FAILURES = 2
Standing = Literal["to run", "running", "failed", "by hand"]
_Group = tuple[str, str | None, str]


class Item(Frozen):
    """One result that is out of date.

    Attributes:
        run_id: The run that made it.
        samples: Names.
        workflow: Name and version that it was made with.
        reason: Why it is out of date, one sentence.
        instead: What takes its place, or None when no rule asks for anything in its place.
        instead_id: The run that takes its place.
        standing: `to run`, `running` or `failed` (the run in its place), `by hand` (a person has to ask).
        failure: Of the run in its place.
        cpu_seconds: What the result took, as a measure of what its replacement will; None when not measured.
    """

    run_id: str
    samples: tuple[str, ...]
    workflow: str
    reason: str
    instead: str | None = None
    instead_id: str | None = None
    standing: Standing
    failure: str | None = None
    cpu_seconds: float | None = None


@dataclass
class Plan:
    """What is out of date and what would run; `intents` are today's, by run id, `costs` of those that would run."""

    items: list[Item] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    replaced: int = 0
    intents: dict[str, Intent] = field(default_factory=dict)
    costs: list[ExpectedCost] = field(default_factory=list)

    @property
    def to_run(self) -> list[str]:
        """The runs that would be submitted, each once, in order."""
        return list(dict.fromkeys(i.instead_id for i in self.items if i.standing == "to run" and i.instead_id))

    @property
    def sentence(self) -> str:
        """How much is out of date and what it would take."""
        known = [item.cpu_seconds for item in self.items if item.standing == "to run" and item.cpu_seconds is not None]
        cost = f", about {sum(known) / 3600:.2g} CPU hours" if known else ""
        stale = counted(len(self.items), "result is out of date", "results are out of date")
        instead = "it" if len(self.items) == 1 else "them"
        told = f"{stale}, {counted(len(self.to_run), 'run')} would replace {instead}{cost}"
        money = cost_sentence(self.costs, len(self.to_run))
        return f"{told}, {money}" if money else told


@dataclass
class Reprocessed(Submitted):
    """What a reprocess submitted, and which runs are held back and why."""

    held: list[tuple[str, str]] = field(default_factory=list)


def plan(home: Home) -> Plan:
    """Compare recorded results with what the rules ask for today; mark them stale, current again, or replaced.

    Cost: three queries an instrument run, one composed intent a planned run, one query for what they will cost; no
    engine is asked.

    Raises:
        RefusedInput: `rules.toml` is wrong.
    """
    made = Plan()
    intents = _intents(home, made)
    current = {signature(i.workflow.digest, i.parameters, i.inputs) for i in intents}
    made.intents = {intent.run_id: intent for intent in intents}
    with home.records.write() as session:
        today, costs = _today(home, session), _costs(session)
        for row, old in list(_recorded(session)):
            new = None if old.rule in BY_HAND else replacement(old, intents)
            why = [] if old.signature in current else reasons(old, new, today)
            _mark(session, row, "; ".join(why) or None)
            if why and not _replace(session, row, new):
                made.items.append(_item(session, old, new, why, costs.get(old.run_id)))
            elif why:
                made.replaced += 1
        made.costs = expected_costs(session, [made.intents[each] for each in made.to_run])
    faultpoint("reprocess.marked")
    return made


def reprocess(home: Home, planned: Plan, limit: int | None = None, *, wait: bool = False) -> Reprocessed:
    """Submit what a plan would run, within its bounds.

    Args:
        home: Where.
        planned: From `plan`.
        limit: Most runs to submit now; the others stay for the next time.
        wait: Wait for what was submitted, then go on with what was held back for the first results, until nothing
            is left to do within the limit.

    Returns:
        What was submitted, and what is held: until the first runs under new conditions have succeeded, after equal
        failures, or by the limit.
    """
    total = Reprocessed()
    while True:
        allowed, total.held = _allowed(home, planned, limit, total.new)
        done = commit_intents(home, [planned.intents[run_id] for run_id in allowed], Submitted())
        total.runs += done.runs
        total.new += done.new
        if not (wait and done.runs):
            return total
        total.failed += wait_for(home, done.runs).stuck
        planned = plan(home)


def _intents(home: Home, made: Plan) -> list[Intent]:
    """Return what the rules ask for today, each once; what cannot be composed is a problem of the plan."""
    composer, found = Composer(home), dict[str, Intent]()
    with home.records.read() as session:
        stored = select(InstrumentRunRow.id).where(InstrumentRunRow.state == "stored")
        instrument_runs = session.scalars(stored.order_by(InstrumentRunRow.created_at)).all()
    for instrument_run in instrument_runs:
        for one in route(home, instrument_run).planned:
            try:
                intent = composer.intent(one)
            except LabrelayError as error:
                made.problems.append(f"{one.subject}: {error}")
            else:
                found.setdefault(intent.key, intent)
    made.problems = list(dict.fromkeys(made.problems))
    return list(found.values())


def _recorded(session: Session) -> Iterator[tuple[WorkflowRunRow, Recorded]]:
    """Yield the results that nothing has replaced yet."""
    members: dict[str, list[tuple[str, int, str]]] = defaultdict(list)
    sample_rows = select(
        WorkflowRunSampleRow.run_id, WorkflowRunSampleRow.sample_id, WorkflowRunSampleRow.revision, SampleRow.name
    ).join(SampleRow, SampleRow.id == WorkflowRunSampleRow.sample_id)
    for run_id, sample_id, revision, name in session.execute(sample_rows.order_by(SampleRow.name)):
        members[run_id].append((sample_id, revision, name))
    query = (
        select(WorkflowRunRow, WorkflowVersionRow)
        .join(WorkflowVersionRow, WorkflowVersionRow.digest == WorkflowRunRow.workflow_digest)
        .where(WorkflowRunRow.state == RunState.COMPLETE.value, WorkflowRunRow.recorded_at.is_not(None))
        .where(WorkflowRunRow.replaced_by.is_(None))
        .order_by(WorkflowRunRow.created_at, WorkflowRunRow.id)
    )
    for row, version in session.execute(query):
        yield (
            row,
            Recorded(
                run_id=row.id,
                workflow=WorkflowVersion(**{name: getattr(version, name) for name in WorkflowVersion.model_fields}),
                parameters=row.parameters,
                inputs=tuple(RunInput.model_validate(each) for each in row.inputs),
                samples=tuple((sample_id, revision) for sample_id, revision, _name in members[row.id]),
                names=tuple(name for _id, _revision, name in members[row.id]),
                reference_id=row.reference_id,
                rule=row.rule,
            ),
        )


def _today(home: Home, session: Session) -> Today:
    samples = session.execute(select(SampleRow.id, SampleRow.revision, SampleRow.name)).all()
    files = (
        select(FileRow.storage, FileRow.key, FileRow.version, DatasetRow.sample_id)
        .join(DatasetFileRow, DatasetFileRow.file_id == FileRow.id)
        .join(DatasetRow, DatasetRow.id == DatasetFileRow.dataset_id)
    )
    return Today(
        revisions={row[0]: row[1] for row in samples},
        names={row[0]: row[2] for row in samples},
        owners={(row[0], row[1], row[2]): row[3] for row in session.execute(files)},
        references={reference.id: reference.name for reference in home.reads.references()},
    )


def _costs(session: Session) -> dict[str, float]:
    query = select(CostRow.run_id, func.sum(CostRow.quantity)).where(CostRow.unit == "s").group_by(CostRow.run_id)
    return {row[0]: row[1] for row in session.execute(query)}


def _mark(session: Session, row: WorkflowRunRow, reason: str | None) -> None:
    if row.stale != reason:
        row.stale = reason
        audit.record(session, "workflow_run.stale" if reason else "workflow_run.current", row.id, reason=reason)


def _replace(session: Session, row: WorkflowRunRow, new: Intent | None) -> bool:
    """Write that a result was replaced, when what takes its place is there; tell whether it is."""
    instead = None if new is None else session.get(WorkflowRunRow, new.run_id)
    if instead is None or instead.state != RunState.COMPLETE.value or instead.recorded_at is None:
        return False
    row.replaced_by = instead.id
    # A rule that was changed and changed back makes the first result the current one again.
    instead.replaced_by = None
    _mark(session, instead, None)
    audit.record(session, "workflow_run.replaced", row.id, by=instead.id)
    return True


def _item(session: Session, old: Recorded, new: Intent | None, why: Sequence[str], cpu: float | None) -> Item:
    instead = None if new is None else session.get(WorkflowRunRow, new.run_id)
    standing: Standing = "by hand" if new is None else "to run" if instead is None else "running"
    failed = instead is not None and RunState(instead.state).terminal and instead.state != RunState.COMPLETE.value
    return Item(
        run_id=old.run_id,
        samples=old.names,
        workflow=f"{old.workflow.name} {old.workflow.version}",
        reason="; ".join(why),
        instead=None if new is None else f"{new.workflow.name} {new.workflow.version}",
        instead_id=None if new is None else new.run_id,
        standing="failed" if failed else standing,
        failure=instead.failure or instead.state if instead is not None and failed else None,
        cpu_seconds=cpu,
    )


def _allowed(home: Home, planned: Plan, limit: int | None, done: int) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the run ids that may be submitted now, after `done` others, and those that may not, with the reason."""
    stopped = _stopped(planned)
    left = None if limit is None else limit - done
    with home.records.read() as session:
        succeeded, live = _experience(session)
    started: Counter[_Group] = Counter(live)
    allowed: list[str] = []
    held: list[tuple[str, str]] = []
    for run_id in planned.to_run:
        intent = planned.intents[run_id]
        group = _group(intent.workflow.digest, intent.reference_id, intent.parameters)
        if intent.workflow.digest in stopped:
            held.append((run_id, stopped[intent.workflow.digest]))
        elif left is not None and limit is not None and len(allowed) >= left:
            held.append((run_id, f"the limit of {counted(limit, 'run')} is reached"))
        elif group not in succeeded and started[group] >= FIRST:
            what = f"{intent.workflow.name} {intent.workflow.version}"
            held.append((run_id, f"it waits for the first result of {what} under these conditions"))
        else:
            started[group] += 1
            allowed.append(run_id)
    return allowed, held


def _stopped(planned: Plan) -> dict[str, str]:
    """Return the workflows whose reruns failed alike, by digest, with the sentence."""
    failures: dict[tuple[str, str], set[str]] = defaultdict(set)
    for item in planned.items:
        if item.standing == "failed" and item.instead_id is not None:
            workflow = planned.intents[item.instead_id].workflow
            failures[(workflow.digest, alike(item.failure or ""))].add(item.instead_id)
    return {
        workflow_digest: f"{len(runs)} reruns failed alike ({', '.join(sorted(runs)[:2])}): look at their logs, then "
        "mend the workflow or rule, or retry one of them"
        for (workflow_digest, _text), runs in failures.items()
        if len(runs) >= EQUAL_FAILURES
    }


def alike(failure: str) -> str:
    """Return a failure's text without what differs between runs that fail alike: paths, ids and numbers."""
    return re.sub(r"\S*/\S*|\b[0-9a-z]{3}_[0-9a-f]{16}\b|[0-9a-f]{8,}|\d+", "#", failure)


def _experience(session: Session) -> tuple[set[_Group], Counter[_Group]]:
    """Return under which conditions runs have succeeded, and how many live runs there are under each."""
    columns = (WorkflowRunRow.workflow_digest, WorkflowRunRow.reference_id, WorkflowRunRow.parameters)
    succeeded, live = set(), Counter[_Group]()
    for state, digest, reference, parameters in session.execute(select(WorkflowRunRow.state, *columns)):
        group = _group(digest, reference, parameters)
        if state == RunState.COMPLETE.value:
            succeeded.add(group)
        elif not RunState(state).terminal:
            live[group] += 1
    return succeeded, live


def _group(workflow_digest: str, reference_id: str | None, parameters: dict[str, object]) -> _Group:
    asked: object = parameters.get("parameters")
    return workflow_digest, reference_id, canonical_json(asked)  # type: ignore[arg-type]
