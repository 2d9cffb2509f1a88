"""What runs, what waits, and what needs a person: the numbers of one home, gathered once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from labrelay.model.errors import LabrelayError
from labrelay.model.instrument import run_name
from labrelay.model.problem import Frozen
from labrelay.model.runs import EngineStatus
from labrelay.model.states import RunState, StateEvent, reduce_state
from labrelay.model.words import counted
from labrelay.records import inbox, intake, observations, outbox, plans, runs
from labrelay.records.arrivals import PLATE
from labrelay.records.eln.registry import ARCHIVE
from labrelay.records.observations import Waiting
from labrelay.records.runs import LiveAttempt
from labrelay.records.schema import DatasetRow, InstrumentRunRow, OutboxRow, WorkflowRunRow
from labrelay.steps.assign import announced_meanwhile
from labrelay.steps.collect import by_engine
from labrelay.steps.eln import ElnStatus
from labrelay.steps.eln import status as eln_status
from labrelay.steps.home import Home
from labrelay.steps.listing import RunLine, run_lines

SHOWN = 200


class Live(Frozen):
    """A run that has not ended, as its engine says it at this moment; counts of tasks are None where none is said.

    `why` is what the engine says of it beside that, such as what it waits for.
    """

    run: str
    sample: str
    workflow: str
    state: RunState
    tasks_done: int | None
    tasks_started: int | None
    seconds: float
    why: str | None = None


class Unassigned(Frozen):
    """Reads, or a plate, whose sample nobody has named; `run_name` is what people call the instrument run.

    `announced` is the sample that has been announced for it meanwhile: `process` of `folder` takes it on.
    """

    dataset: str
    label: str
    instrument_run: str
    run_name: str
    folder: str
    announced: str | None = None


class Refused(Frozen):
    """An instrument run that was not taken, and why."""

    instrument_run: str
    folder: str
    reason: str


class Unsubmitted(Frozen):
    """Samples of a stored instrument run that got no workflow run when it was processed last, and why."""

    run_name: str
    folder: str
    why: str


class Unstarted(Frozen):
    """A workflow run that its engine could not be given when that was tried last, and why."""

    run: str
    why: str


class HeldPlan(Frozen):
    """A plan of reruns that has stopped until a person has looked, and why."""

    plan: str
    why: str


class Overview(Frozen):
    """How a home stands.

    Attributes:
        states: Workflow runs by state: what `live` says of those in it, the records of all others.
        live: Those that have not ended, at most 200, the oldest first.
        unassigned: Datasets that wait for a person.
        refused: Instrument runs that were not taken.
        landed: Folders that the last scan of the landing folders did not take; those of `refused` are not told twice.
        unasked: Why states are as the records have them: the engine could not be asked, or was asked about the first
            200 only; None when it was about all.
        unstarted: Workflow runs that could not be started; they are tried again.
        failed: Runs that ended without a result and were not replaced.
        unrecorded: Runs that have ended and whose end is not on record.
        stale: Results that are out of date.
        messages: Messages that wait to be told.
        dead_messages: Messages that were given up.
        told: Messages of lab software that nobody has worked off.
        notebook: What waits between us and the notebook; None where none is set.
        held_plans: Plans of reruns that have stopped, the newest first.
        unsubmitted: Samples that the last process of their instrument run could ask no workflow run for.
    """

    states: dict[str, int]
    live: tuple[Live, ...]
    unassigned: tuple[Unassigned, ...]
    refused: tuple[Refused, ...]
    unasked: str | None
    unstarted: tuple[Unstarted, ...]
    failed: int
    unrecorded: int
    stale: int
    messages: int
    dead_messages: int
    told: int
    notebook: ElnStatus | None = None
    held_plans: tuple[HeldPlan, ...] = ()
    landed: tuple[Waiting, ...] = ()
    unsubmitted: tuple[Unsubmitted, ...] = ()


def overview(home: Home) -> Overview:
    """Return how a home stands. Cost: seventeen queries and one look at the engine, whatever the number of runs."""
    with home.records.read() as session:
        states = _states(session)
        attempts = runs.live(session)
        first = [a.run_id for a in attempts[:SHOWN]]
        lines = {
            line.run: line for line in run_lines(session, select(WorkflowRunRow.id).where(WorkflowRunRow.id.in_(first)))
        }
        unassigned = _unassigned(session)
        refused = _refused(session)
        landed = _landed(session)
        unsubmitted = _unsubmitted(session)
        unstarted = tuple(Unstarted(run=run_id, why=why) for run_id, why in runs.unstarted(session))
        unrecorded = len(runs.unrecorded(session))
        current = WorkflowRunRow.replaced_by.is_(None)
        failed = _count(session, WorkflowRunRow.state.in_([s.value for s in _WITHOUT_RESULT]), current)
        stale = _count(session, WorkflowRunRow.stale.is_not(None), WorkflowRunRow.recorded_at.is_not(None), current)
        messages = outbox.waiting(session)
        told_us = inbox.count_waiting(session)
        held = tuple(HeldPlan(plan=row.id, why=row.reason or "") for row in plans.newest(session, SHOWN, ("held",)))
    told, unasked = _told(home, [(a.engine, a.external_id) for a in attempts[:SHOWN]])
    if len(attempts) > SHOWN:
        unasked = unasked or counted(len(attempts) - SHOWN, *_MORE)
    live = tuple(_live(lines[a.run_id], a, told.get(a.external_id or "")) for a in attempts[:SHOWN])
    return Overview(
        states=_moved(states, [(lines[each.run].state, each.state) for each in live]),
        live=live,
        unassigned=unassigned,
        refused=refused,
        unasked=unasked,
        unstarted=unstarted,
        failed=failed,
        unrecorded=unrecorded + sum(each.state.terminal for each in live),
        stale=stale,
        messages=messages.get("pending", 0) + messages.get("sending", 0),
        dead_messages=messages.get("dead", 0),
        told=told_us,
        notebook=None if home.settings.eln == ARCHIVE else eln_status(home),
        held_plans=held,
        landed=landed,
        unsubmitted=unsubmitted,
    )


def _told(home: Home, attempts: Sequence[tuple[str, str | None]]) -> tuple[dict[str, EngineStatus], str | None]:
    """Return what the engines say of attempts, or why one says nothing: to look must not fail with it."""
    told: dict[str, EngineStatus] = {}
    unasked: str | None = None
    for kind, external_ids in by_engine(attempts):
        try:
            told |= home.engine_of(kind).poll(external_ids)
        except LabrelayError as error:
            unasked = f"states are as they were recorded: {error}"
    return told, unasked


_MORE = (
    "more live run was not asked about, and counts as recorded",
    "more live runs were not asked about, and count as recorded",
)
_WITHOUT_RESULT = (RunState.EXECUTOR_ERROR, RunState.SYSTEM_ERROR)


def _states(session: Session) -> Counter[str]:
    query = select(WorkflowRunRow.state, func.count()).group_by(WorkflowRunRow.state)
    return Counter(dict(session.execute(query).all()))


def _moved(recorded: Counter[str], moves: Sequence[tuple[RunState, RunState]]) -> dict[str, int]:
    """Return how many runs are in each state once each has moved from its recorded one to what its engine says."""
    counts = recorded + Counter(now.value for _was, now in moves)
    counts -= Counter(was.value for was, _now in moves)
    return {state.value: counts[state.value] for state in RunState if counts[state.value]}


def _count(session: Session, *conditions: ColumnElement[bool]) -> int:
    return session.scalar(select(func.count()).select_from(WorkflowRunRow).where(*conditions)) or 0


def announced(home: Home) -> list[tuple[str, int]]:
    """Return the folders of instrument runs whose waiting reads have announced samples now, and how many datasets."""
    with home.records.read() as session:
        known = Counter(each.folder for each in _unassigned(session) if each.announced is not None)
    return list(known.items())


def _unassigned(session: Session) -> tuple[Unassigned, ...]:
    query = (
        select(DatasetRow.id, DatasetRow.label, InstrumentRunRow.run_id, PLATE, InstrumentRunRow.folder)
        .join(InstrumentRunRow, InstrumentRunRow.id == DatasetRow.instrument_run_id)
        .where(DatasetRow.state == "unassigned")
        .order_by(InstrumentRunRow.created_at, DatasetRow.label)
    )
    rows, known = session.execute(query).all(), announced_meanwhile(session)
    return tuple(
        Unassigned(
            dataset=i,
            label=label,
            instrument_run=run,
            run_name=run_name(run, plate),
            folder=folder,
            announced=known.get(i),
        )
        for i, label, run, plate, folder in rows
    )


def _refused(session: Session) -> tuple[Refused, ...]:
    query = select(InstrumentRunRow).where(InstrumentRunRow.state == "refused").order_by(InstrumentRunRow.created_at)
    return tuple(
        Refused(instrument_run=row.run_id, folder=row.folder, reason=row.reason or "") for row in session.scalars(query)
    )


def _unsubmitted(session: Session) -> tuple[Unsubmitted, ...]:
    row = InstrumentRunRow
    query = select(row.run_id, PLATE, row.folder, row.reason).order_by(row.created_at)
    found = session.execute(query.where(row.state == "stored", row.reason.startswith(intake.UNSUBMITTED)))
    return tuple(
        Unsubmitted(run_name=run_name(run_id, plate), folder=folder, why=why)
        for run_id, plate, folder, reason in found
        for why in (reason or "").removeprefix(intake.UNSUBMITTED).splitlines()
    )


def _landed(session: Session) -> tuple[Waiting, ...]:
    """Return what the last scan did not take, without what a person has taken since, or what is refused on record."""
    waits = observations.waiting(session)
    row = InstrumentRunRow
    query = select(row.folder, row.state, row.stored_at).where(row.folder.in_([each.folder for each in waits]))
    known = {folder: (state, stored_at or "") for folder, state, stored_at in session.execute(query)}
    return tuple(each for each in waits if not _is_told(each, *known.get(each.folder, ("", ""))))


def _is_told(waits: Waiting, state: str, stored_at: str) -> bool:
    return state == "refused" or stored_at > waits.looked_at


def _live(line: RunLine, attempt: LiveAttempt, status: EngineStatus | None) -> Live:
    state = line.state
    if status is not None:
        # As the next collect records it: an engine that is late does not take back what a person asked for.
        known = StateEvent(state=attempt.state, at=attempt.state_at)
        state = reduce_state(known, StateEvent(state=status.state, at=status.at)).state
    return Live(
        run=line.run,
        sample=line.sample,
        workflow=line.workflow,
        state=state,
        tasks_done=status.tasks_done if status and status.tasks_started else None,
        tasks_started=status.tasks_started if status and status.tasks_started else None,
        seconds=line.seconds,
        why=status.message if status else None,
    )


class OpenMessage(Frozen):
    """A message that nobody has been told yet; `state` is pending, sending or dead, `error` why the last try failed."""

    channel: str
    kind: str
    entity: str
    state: str
    tries: int
    not_before: str
    error: str | None


def open_messages(home: Home, limit: int) -> list[OpenMessage]:
    """Return the messages that wait or were given up, those given up first."""
    query = select(OutboxRow).where(OutboxRow.state != "confirmed")
    with home.records.read() as session:
        rows = session.scalars(query.order_by((OutboxRow.state == "dead").desc(), OutboxRow.id).limit(limit)).all()
    return [
        OpenMessage(
            channel=row.channel,
            kind=row.kind,
            entity=row.entity_id,
            state=row.state,
            tries=row.tries,
            not_before=row.not_before,
            error=row.error,
        )
        for row in rows
    ]
