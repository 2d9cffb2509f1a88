"""Step 12, reprocess: exactly the results that are out of date are marked with the reason, and what may replace them.

What the rules would intend today is compared with what was recorded. A failed run is no result and is not tried again
here. What is then run, and within which bounds, is a plan of its own: `labrelay.steps.reprocess_plans`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from labrelay.model.errors import LabrelayError, NotFound
from labrelay.model.faults import faultpoint
from labrelay.model.names import printable
from labrelay.model.problem import Frozen
from labrelay.model.reads import ReadSource
from labrelay.model.runs import RunInput, WorkflowVersion
from labrelay.model.states import RunState
from labrelay.model.words import counted
from labrelay.records import audit, outbox, plans, stale, superseded
from labrelay.records.database import now
from labrelay.records.runs import Intent
from labrelay.records.schema import (
    CostRow,
    DatasetFileRow,
    DatasetRow,
    FileRow,
    InstrumentRunRow,
    ReadSetRow,
    RunIORow,
    SampleRow,
    WorkflowRunRow,
    WorkflowRunSampleRow,
    WorkflowVersionRow,
)
from labrelay.records.stale import Cause, Wanted
from labrelay.steps.assign import find_experiment
from labrelay.steps.catalogue import post_result
from labrelay.steps.expected_cost import ExpectedCost, cost_sentence, expected_costs
from labrelay.steps.expected_time import By, expected_seconds
from labrelay.steps.home import Home
from labrelay.steps.imports import READY
from labrelay.steps.route import route
from labrelay.steps.staleness import (
    BY_HAND,
    Asked,
    Identity,
    Reason,
    Recorded,
    Today,
    causes,
    gained,
    given_away,
    reasons,
    signature,
)
from labrelay.steps.submit import Composer

CHUNK = 500
Standing = Literal["to run", "planned", "running", "failed", "by hand", "replaced"]


class Item(Frozen):
    """One result that is out of date.

    Attributes:
        run_id: The run that made it.
        samples: Names.
        workflow: Name and version that it was made with.
        causes: What it is filtered by.
        reason: Why it is out of date, one sentence.
        instead: What takes its place, or None when no rule asks for anything in its place.
        instead_id: The run that takes its place.
        standing: `to run`, `planned` (of a plan that is not done yet), `running` or `failed` (the run in its place),
            `by hand` (a person has to ask), `replaced` (since it was found, `instead_id` has taken its place).
        plan: The plan that has it, when it is `planned`.
        failure: Of the run in its place.
        cpu_seconds: What the result took, as a measure of what its replacement will; None when not measured.
    """

    run_id: str
    samples: tuple[str, ...]
    workflow: str
    causes: tuple[Cause, ...] = ()
    reason: str
    instead: str | None = None
    instead_id: str | None = None
    standing: Standing
    plan: str | None = None
    failure: str | None = None
    cpu_seconds: float | None = None


@dataclass
class Plan:
    """What is out of date and what would run.

    Attributes:
        intents: What the rules ask for today, by run id.
        origins: After which instrument run each of them is asked for.
        costs: Of those that would run.
        seconds: The time of one run, by workflow and engine.
        replaced: How many results were found to be replaced already.
    """

    items: list[Item] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    replaced: int = 0
    intents: dict[str, Intent] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    costs: list[ExpectedCost] = field(default_factory=list)
    seconds: dict[By, float] = field(default_factory=dict)

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


@dataclass(frozen=True)
class _There:
    """How a run stands that is asked for today and is in the records."""

    state: RunState
    recorded: bool
    failure: str | None


def plan(home: Home, wanted: Wanted | None = None) -> Plan:
    """Compare recorded results with what the rules ask for today; mark them stale, current again, or replaced.

    Args:
        home: Where.
        wanted: Which of the results that are out of date the plan is about; all are marked.

    Cost: three queries an instrument run, one composed intent a planned run, a query for 500 of them; no engine is
    asked.

    Raises:
        RefusedInput: `rules.toml` is wrong.
        NotFound: There is no such experiment, or no result of such a workflow.
    """
    wanted = wanted or Wanted()
    if wanted.workflow is not None:
        with home.records.read() as session:
            _refuse_unknown(session, wanted.workflow)
    made = Plan()
    intents = intents_of(home, made, _stored(home))
    current = {signature(i.workflow.digest, i.parameters, i.inputs) for i in intents}
    with home.records.write() as session:
        if wanted.experiment is not None:
            wanted = wanted.model_copy(update={"experiment": find_experiment(session, wanted.experiment).id})
        compare(home, session, made, current, wanted)
        to_run = [made.intents[each] for each in made.to_run]
        made.costs, made.seconds = expected_costs(session, to_run), expected_seconds(session, to_run)
    faultpoint("reprocess.marked")
    return made


def _refuse_unknown(session: Session, workflow: str) -> None:
    names = session.scalars(select(WorkflowVersionRow.name).distinct().order_by(WorkflowVersionRow.name)).all()
    if workflow not in names:
        known = ", ".join(names) or "nothing so far"
        raise NotFound(f"no result was made with a workflow {printable(workflow)}; there are results of: {known}")


def compare(
    home: Home, session: Session, made: Plan, current: set[str], wanted: Wanted, only: set[str] | None = None
) -> None:
    """Mark every result with the causes for which it is out of date, and say in `made` which of those are wanted.

    Args:
        home: Where.
        session: In a writing transaction.
        made: Has what the rules ask for.
        current: The signatures of that.
        wanted: What is told.
        only: Look at these runs alone, which may go on, and mark those alone to whose inputs files came, or of whose
            inputs some were given to another sample.
    """
    anew = _count_again(home, session, made, current)
    asked, today, costs = Asked(list(made.intents.values())), today_of(home, session, only), _costs(session, only)
    there, open_plans, before = _there(session, list(made.intents)), plans.open_items(session), stale.known(session)
    marks: dict[str, dict[Cause, str]] = {}
    for row, old in list(_recorded(session, only)):
        new = None if old.rule in BY_HAND else asked.replacement(old)
        why = [] if old.signature in current else reasons(old, new, today)
        mine = causes(why)
        lacks = only is None or ("reads" in mine and bool(gained(old, new, today)))
        if not lacks and not given_away(old, today):
            continue  # for another cause `plan` marks it, which knows all that is asked for
        if mine != {cause: sentence for cause, (sentence, _since) in before.get(row.id, {}).items()}:
            marks[row.id] = mine
        _mark(session, row, "; ".join(reason.phrase for reason in why) or None)
        standing = there.get(new.run_id) if new is not None else None
        if why and new is not None and standing and standing.recorded and standing.state is RunState.COMPLETE:
            _replace(home, session, row, new.run_id)
            marks.setdefault(new.run_id, {})
            made.replaced += 1
            anew.add(row.experiment_id)
        elif why and lacks and _is_wanted(row, old, before, mine, wanted):
            made.items.append(_item(old, new, why, standing, open_plans, costs.get(old.run_id)))
    stale.mark(session, marks, before)
    for experiment_id in sorted(anew):
        outbox.post(session, "eln", experiment_id, "result", f"eln:counts:{experiment_id}:{now()}")


def _count_again(home: Home, session: Session, made: Plan, current: set[str]) -> set[str]:
    """Let what is asked for today count again where it does not; return the experiments whose pages that changes."""
    rows = superseded.count_again(session, list(made.intents), lambda run: _signature(run) in current)
    for row in rows:
        post_result(home, session, row.id, f"again:{row.id}:{now()}")
    return {row.experiment_id for row in rows}


def _signature(run: WorkflowRunRow) -> str:
    return signature(run.workflow_digest, run.parameters, [RunInput.model_validate(each) for each in run.inputs])


def _is_wanted(
    row: WorkflowRunRow,
    old: Recorded,
    before: Mapping[str, Mapping[Cause, tuple[str, str]]],
    mine: Mapping[Cause, str],
    wanted: Wanted,
) -> bool:
    if wanted.workflow not in (None, old.workflow.name) or wanted.experiment not in (None, row.experiment_id):
        return False
    times = before.get(row.id, {})
    return any(wanted.takes(cause, times[cause][1] if cause in times else stale.NEW) for cause in mine)


def _stored(home: Home) -> Sequence[str]:
    with home.records.read() as session:
        stored = select(InstrumentRunRow.id).where(InstrumentRunRow.state == "stored")
        return session.scalars(stored.order_by(InstrumentRunRow.created_at)).all()


def intents_of(home: Home, made: Plan, instrument_runs: Sequence[str]) -> list[Intent]:
    """Return what the rules ask for today, each once; what cannot be composed is a problem of the plan."""
    composer = Composer(home)
    for instrument_run in instrument_runs:
        for intent in intents_after(home, composer, instrument_run, made.problems):
            if intent.run_id not in made.intents:
                made.intents[intent.run_id], made.origins[intent.run_id] = intent, instrument_run
    made.problems = list(dict.fromkeys(made.problems))
    return list(made.intents.values())


def intents_after(home: Home, composer: Composer, instrument_run: str, problems: list[str]) -> Iterator[Intent]:
    """Yield what the rules ask for today after an instrument run; what cannot be composed is told in `problems`."""
    for one in route(home, instrument_run).planned:
        try:
            yield composer.intent(one)
        except LabrelayError as error:
            problems.append(f"{one.subject}: {error}")


def _there(session: Session, run_ids: Sequence[str]) -> dict[str, _There]:
    """Return how those of the runs stand that are in the records."""
    found: dict[str, _There] = {}
    columns = (WorkflowRunRow.id, WorkflowRunRow.state, WorkflowRunRow.recorded_at, WorkflowRunRow.failure)
    for start in range(0, len(run_ids), CHUNK):
        these = WorkflowRunRow.id.in_(run_ids[start : start + CHUNK])
        for run_id, state, recorded, failure in session.execute(select(*columns).where(these)):
            found[run_id] = _There(RunState(state), recorded is not None, failure)
    return found


def _recorded(session: Session, only: set[str] | None = None) -> Iterator[tuple[WorkflowRunRow, Recorded]]:
    """Yield the results that nothing has replaced yet, or `only` these runs, which may go on."""
    members: dict[str, list[tuple[str, int, str]]] = defaultdict(list)
    sample_rows = select(
        WorkflowRunSampleRow.run_id, WorkflowRunSampleRow.sample_id, WorkflowRunSampleRow.revision, SampleRow.name
    ).join(SampleRow, SampleRow.id == WorkflowRunSampleRow.sample_id)
    if only is not None:
        sample_rows = sample_rows.where(WorkflowRunSampleRow.run_id.in_(only))
    for run_id, sample_id, revision, name in session.execute(sample_rows.order_by(SampleRow.name)):
        members[run_id].append((sample_id, revision, name))
    query = (
        select(WorkflowRunRow, WorkflowVersionRow)
        .join(WorkflowVersionRow, WorkflowVersionRow.digest == WorkflowRunRow.workflow_digest)
        .where(WorkflowRunRow.replaced_by.is_(None))
        .order_by(WorkflowRunRow.created_at, WorkflowRunRow.id)
    )
    if only is None:
        query = query.where(WorkflowRunRow.state == RunState.COMPLETE.value, WorkflowRunRow.recorded_at.is_not(None))
    else:
        query = query.where(WorkflowRunRow.id.in_(only))
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


def today_of(home: Home, session: Session, only: set[str] | None = None) -> Today:
    """Return how samples, reads and references stand now, of all files or of those that went into `only` these runs.

    Cost: three queries, one of which reads a row a file.
    """
    samples = session.execute(select(SampleRow.id, SampleRow.revision, SampleRow.name)).all()
    files = (
        select(FileRow.storage, FileRow.key, FileRow.version, DatasetRow.sample_id)
        .join(DatasetFileRow, DatasetFileRow.file_id == FileRow.id)
        .join(DatasetRow, DatasetRow.id == DatasetFileRow.dataset_id)
    )
    if only is not None:
        files = files.where(FileRow.id.in_(select(RunIORow.file_id).where(RunIORow.run_id.in_(only))))
    return Today(
        revisions={row[0]: row[1] for row in samples},
        names={row[0]: row[2] for row in samples},
        owners={(row[0], row[1], row[2]): row[3] for row in session.execute(files)},
        references={reference.id: reference.name for reference in home.reads.references()},
        together=_together(session),
    )


def _together(session: Session) -> dict[Identity, frozenset[Identity]]:
    """Return all files of each set that is in the place of a smaller one, by each of them."""
    grown = select(ReadSetRow.dataset_id).where(ReadSetRow.status == "SUPERSEDED")
    query = select(ReadSetRow.source).where(ReadSetRow.status == READY, ReadSetRow.dataset_id.in_(grown))
    found: dict[Identity, frozenset[Identity]] = {}
    for source in session.scalars(query):
        files = frozenset(file.identity for file in ReadSource.model_validate(source).files)
        found |= dict.fromkeys(files, files)
    return found


def _costs(session: Session, only: set[str] | None = None) -> dict[str, float]:
    query = select(CostRow.run_id, func.sum(CostRow.quantity)).where(CostRow.unit == "s").group_by(CostRow.run_id)
    if only is not None:
        query = query.where(CostRow.run_id.in_(only))
    return {row[0]: row[1] for row in session.execute(query)}


def _mark(session: Session, row: WorkflowRunRow, reason: str | None) -> None:
    if row.stale != reason:
        row.stale = reason
        audit.record(session, "workflow_run.stale" if reason else "workflow_run.current", row.id, reason=reason)


def _replace(home: Home, session: Session, row: WorkflowRunRow, by: str) -> None:
    # A rule that was changed and changed back makes the first result the current one again.
    superseded.replace(session, [row.id], by, again=True)
    _mark(session, session.get_one(WorkflowRunRow, by), None)
    post_result(home, session, by, f"again:{by}:{row.id}:{now()}")


def _item(
    old: Recorded,
    new: Intent | None,
    why: Sequence[Reason],
    instead: _There | None,
    open_plans: Mapping[str, str],
    cpu: float | None,
) -> Item:
    plan_id = None if new is None or instead is not None else open_plans.get(new.run_id)
    standing: Standing = "by hand" if new is None else "planned" if plan_id else "to run"
    failed = instead is not None and instead.state.terminal and instead.state is not RunState.COMPLETE
    if instead is not None:
        standing = "failed" if failed else "running"
    return Item(
        run_id=old.run_id,
        samples=old.names,
        workflow=f"{old.workflow.name} {old.workflow.version}",
        causes=tuple(causes(why)),
        reason="; ".join(reason.phrase for reason in why),
        instead=None if new is None else f"{new.workflow.name} {new.workflow.version}",
        instead_id=None if new is None else new.run_id,
        standing=standing,
        plan=plan_id,
        failure=instead.failure or instead.state.value if instead is not None and failed else None,
        cpu_seconds=cpu,
    )
