"""Workflow runs and their attempts: intended before the engine is asked, moved by one reducer, recorded once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from labrelay.model.files import FileRef
from labrelay.model.problem import Frozen
from labrelay.model.runs import (
    EngineStatus,
    Priority,
    RunInput,
    RunReport,
    RunRequest,
    WorkflowVersion,
    attempt_token,
    run_id_of,
)
from labrelay.model.states import RunState, StateEvent, reduce_state
from labrelay.records import audit
from labrelay.records.database import actor, now
from labrelay.records.schema import (
    AttemptRow,
    CostRow,
    RunIORow,
    TaskRow,
    WorkflowRunRow,
    WorkflowRunSampleRow,
    WorkflowVersionRow,
)
from labrelay.records.upsert import insert_missing


class Intent(Frozen):
    """One intended execution, complete before any engine hears of it.

    Attributes:
        key: See `labrelay.model.runs.run_key`.
        samples: (sample id, revision) of those it is about.
        result_path: Where results shall lie: `<experiment>/<sample>/<workflow>-<version>`.
        request_inputs: The engine's input JSON.
        read_sets: Ids of the read sets that it leads to.
        priority: Before which others it shall go.
    """

    key: str
    experiment_id: str
    samples: tuple[tuple[str, int], ...]
    workflow: WorkflowVersion
    bundle: str
    engine: str
    parameters: dict[str, Any]
    inputs: tuple[RunInput, ...]
    input_files: tuple[tuple[str, int, FileRef], ...]
    reference_id: str | None
    rule: str | None
    generation: int
    result_path: str
    request_inputs: dict[str, Any]
    labels: dict[str, str] = {}
    read_sets: tuple[str, ...] = ()
    priority: Priority = "normal"

    @property
    def run_id(self) -> str:
        """The workflow run's id."""
        return run_id_of(self.key)


def publish(session: Session, version: WorkflowVersion, bundle_key: str, content: dict[str, Any]) -> None:
    """Write a workflow version, once per digest."""
    values = dict(version.model_dump(), bundle_key=bundle_key, content=content, created_at=now())
    if insert_missing(session, WorkflowVersionRow, [values]):
        audit.record(session, "workflow.published", version.digest[:16], name=version.name, version=version.version)


def intend(session: Session, intent: Intent) -> bool:
    """Write the workflow run and its first attempt; return False when the same was asked before.

    Nothing has been started when this returns; the token in the attempt's request makes the start idempotent.
    """
    state = {"state": RunState.QUEUED.value, "state_at": now(), "verdict": "none", "created_at": now()}
    values = intent.model_dump(
        mode="json",
        include={"key", "experiment_id", "engine", "parameters", "inputs", "reference_id", "rule", "generation"},
    )
    identity = {"id": intent.run_id, "workflow_digest": intent.workflow.digest, "created_by": actor()}
    path = _free_path(session, intent)
    if not insert_missing(session, WorkflowRunRow, [values | identity | state | {"result_path": path}]):
        return False
    samples = [{"run_id": intent.run_id, "sample_id": s, "revision": r} for s, r in intent.samples]
    insert_missing(session, WorkflowRunSampleRow, samples)
    add_io(session, intent.run_id, "in", [(name, index, ref.id, None) for name, index, ref in intent.input_files])
    add_attempt(session, intent, 1)
    asked = {"workflow": intent.workflow.name, "version": intent.workflow.version, "rule": intent.rule}
    audit.record(session, "workflow_run.intended", intent.run_id, **asked, generation=intent.generation)
    return True


def add_attempt(session: Session, intent: Intent, number: int) -> str:
    """Write one try with its token and its request; return the token."""
    token = attempt_token(intent.key, number)
    request = RunRequest(
        token=token,
        key=intent.key,
        run_id=intent.run_id,
        workflow=intent.workflow,
        bundle=intent.bundle,
        inputs=intent.request_inputs,
        labels=intent.labels,
        read_sets=intent.read_sets,
        priority=intent.priority,
    )
    _insert_attempt(session, request, intent.engine, number)
    return token


def retry(session: Session, run: WorkflowRunRow) -> str:
    """Write the next attempt of a run whose last one has ended without a result; return its token."""
    last = last_attempt(session, run.id)
    request = RunRequest.model_validate(last.request)
    token = attempt_token(run.key, last.number + 1)
    _insert_attempt(session, request.model_copy(update={"token": token}), last.engine, last.number + 1)
    run.state, run.state_at, run.failure, run.ended_at = RunState.QUEUED.value, now(), None, None
    run.recorded_at = None
    audit.record(session, "workflow_run.retried", run.id, attempt=last.number + 1)
    return token


def last_attempt(session: Session, run_id: str) -> AttemptRow:
    """Return the newest attempt of a run."""
    query = select(AttemptRow).where(AttemptRow.run_id == run_id).order_by(AttemptRow.number.desc()).limit(1)
    return session.scalars(query).one()


class LiveAttempt(Frozen):
    """What a look at the engine needs to know of an attempt that has not ended."""

    token: str
    run_id: str
    engine: str
    external_id: str | None
    state: RunState
    state_at: datetime


def live(session: Session) -> list[LiveAttempt]:
    """Return the attempts that have not ended, oldest first, without their requests: they are asked about often."""
    columns = [getattr(AttemptRow, name) for name in LiveAttempt.model_fields]
    rows = session.execute(select(*columns).where(_not_ended()).order_by(AttemptRow.created_at))
    return [LiveAttempt.model_validate(dict(row)) for row in rows.mappings()]


def unattached(session: Session) -> dict[str, list[RunRequest]]:
    """Return, by the engine's kind, the requests of the attempts that it is not known to have taken, oldest first."""
    query = select(AttemptRow.engine, AttemptRow.request).where(_not_ended(), AttemptRow.external_id.is_(None))
    found: dict[str, list[RunRequest]] = {}
    for engine, request in session.execute(query.order_by(AttemptRow.created_at)):
        found.setdefault(engine, []).append(RunRequest.model_validate(request))
    return found


def _not_ended() -> ColumnElement[bool]:
    return AttemptRow.state.not_in([state.value for state in RunState if state.terminal])


def unrecorded(session: Session) -> Sequence[WorkflowRunRow]:
    """Return the runs that have ended and whose end has not been recorded yet, oldest first."""
    ended = [state.value for state in RunState if state.terminal]
    query = select(WorkflowRunRow).where(WorkflowRunRow.state.in_(ended), WorkflowRunRow.recorded_at.is_(None))
    return session.scalars(query.order_by(WorkflowRunRow.created_at)).all()


def tokens_of(session: Session, external_ids: Sequence[str]) -> dict[str, str]:
    """Return the attempts' tokens by the engine's own ids; ids that are not ours are left out."""
    found: dict[str, str] = {}
    for start in range(0, len(external_ids), 500):
        these = AttemptRow.external_id.in_(external_ids[start : start + 500])
        for key, token in session.execute(select(AttemptRow.external_id, AttemptRow.token).where(these)):
            found[str(key)] = token
    return found


def engines_of(session: Session, run_ids: Sequence[str]) -> set[str]:
    """Return the kinds of the engines that runs are on. Cost: a query per 500 runs."""
    found: set[str] = set()
    for start in range(0, len(run_ids), 500):
        these = WorkflowRunRow.id.in_(run_ids[start : start + 500])
        found.update(session.scalars(select(WorkflowRunRow.engine).where(these).distinct()))
    return found


def attach(session: Session, token: str, external_id: str) -> None:
    """Write the engine's own id of an attempt, after it took the request."""
    row = session.get_one(AttemptRow, token)
    if row.external_id is None:
        row.external_id, row.message = external_id, None
        audit.record(session, "attempt.submitted", row.run_id, token=token, external_id=external_id)


def keep_waiting(session: Session, token: str, why: str) -> None:
    """Write why an attempt could not be given to its engine; it is tried again until the engine has it."""
    here = (AttemptRow.token == token) & AttemptRow.external_id.is_(None) & _not_ended()
    session.execute(update(AttemptRow).where(here).values(message=why))


def unstarted(session: Session) -> list[tuple[str, str]]:
    """Return (run, why) of the attempts that could not be given to their engine when that was tried last."""
    query = select(AttemptRow.run_id, AttemptRow.message).where(
        _not_ended(), AttemptRow.external_id.is_(None), AttemptRow.message.is_not(None)
    )
    return [(run_id, why or "") for run_id, why in session.execute(query.order_by(AttemptRow.created_at))]


def apply_event(session: Session, token: str, status: EngineStatus) -> bool:
    """Move an attempt, and its run, by what an engine said; return whether the state changed.

    This is the only writer of states. Events of an earlier attempt move that attempt but not the run.
    """
    row = session.get_one(AttemptRow, token)
    before = StateEvent(state=RunState(row.state), at=datetime.fromisoformat(row.state_at))
    after = reduce_state(before, StateEvent(state=status.state, at=status.at))
    if after == before or after.state is before.state:
        return False
    row.state, row.state_at, row.message = after.state.value, after.at.isoformat(), status.message
    run = session.get_one(WorkflowRunRow, row.run_id)
    if last_attempt(session, run.id).token == token:
        run.state, run.state_at = row.state, row.state_at
        if after.state.terminal:
            run.ended_at = row.state_at
            run.failure = status.message if after.state is not RunState.COMPLETE else None
            audit.record(session, "workflow_run.ended", run.id, state=row.state, token=token)
    return True


def earlier(session: Session, run: WorkflowRunRow) -> list[WorkflowRunRow]:
    """Return the earlier generations of the same question that nothing has taken the place of."""
    same = (WorkflowRunRow.workflow_digest == run.workflow_digest) & (WorkflowRunRow.engine == run.engine)
    older = same & (WorkflowRunRow.generation < run.generation) & WorkflowRunRow.replaced_by.is_(None)
    query = select(WorkflowRunRow).where(older, WorkflowRunRow.experiment_id == run.experiment_id)
    return [row for row in session.scalars(query) if row.parameters == run.parameters and row.inputs == run.inputs]


def add_io(session: Session, run_id: str, direction: str, files: Iterable[tuple[str, int, str, str | None]]) -> None:
    """Write which files (name, index, file id, task) went in or came out."""
    rows = [
        {"run_id": run_id, "direction": direction, "name": name, "idx": index, "file_id": file, "task": task}
        for name, index, file, task in files
    ]
    insert_missing(session, RunIORow, rows)


def add_report(session: Session, token: str, report: RunReport) -> None:
    """Write what happened in an attempt: its report, its tasks, what it used and what it cost."""
    row = session.get_one(AttemptRow, token)
    row.report = report.model_dump(mode="json", exclude={"tasks"})
    insert_missing(session, TaskRow, [_task(token, task.model_dump(mode="json")) for task in report.tasks])
    costs: list[dict[str, Any]] = [
        {"item": item.what, "quantity": item.quantity, "unit": item.unit, "amount": item.usd, "currency": "USD"}
        for item in report.costs
    ]
    charged = _charged(session, row)
    used = [
        task.cpu_seconds
        for task in report.tasks
        if task.cpu_seconds is not None and not (task.cached and task.name in charged)
    ]
    if used:
        costs.append({"item": "cpu", "quantity": sum(used), "unit": "s", "amount": None, "currency": None})
    named = [cost | {"run_id": row.run_id, "item": f"{cost['item']}, attempt {row.number}"} for cost in costs]
    insert_missing(session, CostRow, named)


def _charged(session: Session, attempt: AttemptRow) -> set[str]:
    """Return the tasks whose use stands in the records of the run's earlier attempts: a cached task repeats it."""
    query = select(TaskRow.name).join(AttemptRow, AttemptRow.token == TaskRow.token)
    earlier = (AttemptRow.run_id == attempt.run_id) & (AttemptRow.number < attempt.number)
    return set(session.scalars(query.where(earlier, TaskRow.cpu_seconds.is_not(None))))


def _task(token: str, task: dict[str, Any]) -> dict[str, Any]:
    values = {name: task[name] for name in (c.name for c in TaskRow.__table__.columns) if name in task}
    return values | {"token": token, "started_at": task["started"], "ended_at": task["ended"]}


def _insert_attempt(session: Session, request: RunRequest, engine: str, number: int) -> None:
    state = {"state": RunState.QUEUED.value, "state_at": now(), "created_at": now()}
    values = {"token": request.token, "run_id": request.run_id, "number": number, "engine": engine}
    insert_missing(session, AttemptRow, [values | state | {"request": request.model_dump(mode="json")}])


def _free_path(session: Session, intent: Intent) -> str:
    """Return the wished result path, or with the run's digits behind it when another run has that path."""
    holder = session.scalar(select(WorkflowRunRow.key).where(WorkflowRunRow.result_path == intent.result_path))
    return intent.result_path if holder in (None, intent.key) else f"{intent.result_path}-{intent.key[:8]}"
