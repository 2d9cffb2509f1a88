"""One workflow run in full, its logs, and what a person may do with it: cancel it, try it again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.model.errors import NotFound, UsageError
from labrelay.model.names import printable
from labrelay.model.problem import Frozen
from labrelay.model.runs import Advice, CostItem, EngineStatus
from labrelay.model.states import RunState
from labrelay.model.words import counted
from labrelay.records import audit
from labrelay.records import runs as run_records
from labrelay.records.schema import AttemptRow, FileRow, RunIORow, TaskRow, WorkflowRunRow
from labrelay.steps.collect import collect
from labrelay.steps.home import Home
from labrelay.steps.listing import RunLine, find_run, run_lines
from labrelay.steps.start import start_intended
from labrelay.workflows.local.home import Attempt, EngineHome
from labrelay.workflows.local.program import Program
from labrelay.workflows.local.programs import program_of

LINES = 2000  # of a log; the sentence says where the rest is
LAST_WORDS = 20  # lines of a failed task's standard error, below the log
TAIL_BYTES = 4_000_000
WORTH_TELLING = frozenset({"NOTICE", "WARNING", "ERROR", "CRITICAL"})


class TaskLine(Frozen):
    """One task as it happened: seconds of wall clock and of processor, bytes at the peak; None when not measured."""

    name: str
    state: RunState
    started: datetime | None
    seconds: float | None
    cpu_seconds: float | None
    peak_memory_bytes: int | None
    exit_code: int | None
    cached: bool
    ran_in: str | None


class AttemptLine(Frozen):
    """One try of a run, with its tasks and the logs that the engine left.

    Attributes:
        asked: When this try was asked for.
        at: Since when it is in its state; of one that has ended its end.
        seconds: From the one to the other, or until now while it lives.
    """

    number: int
    token: str
    state: RunState
    asked: datetime
    at: datetime
    seconds: float
    message: str | None
    engine: str | None
    sandbox: str | None
    tasks: tuple[TaskLine, ...]
    costs: tuple[CostItem, ...] = ()
    advice: tuple[Advice, ...] = ()
    logs: tuple[str, ...]


class FileLine(Frozen):
    """A file that went in or came out: the name in the workflow, and the file's own key and size (bytes)."""

    name: str
    index: int
    id: str
    key: str
    size: int


class RunDetails(Frozen):
    """One workflow run in full."""

    line: RunLine
    key: str
    rule: str | None
    generation: int
    parameters: dict[str, Any]
    reference: str | None
    asked_by: str
    replaced_by: str | None
    attempts: tuple[AttemptLine, ...]
    inputs: tuple[FileLine, ...]
    outputs: tuple[FileLine, ...]


def details(home: Home, text: str) -> RunDetails:
    """Return one workflow run in full. Cost: eight queries.

    Raises:
        NotFound: There is no such run.
    """
    with home.records.read() as session:
        run = find_run(session, text)
        (line,) = run_lines(session, select(WorkflowRunRow.id).where(WorkflowRunRow.id == run.id))
        tries = session.scalars(select(AttemptRow).where(AttemptRow.run_id == run.id).order_by(AttemptRow.number)).all()
        attempts = tuple(_attempt(home, session, row) for row in tries)
        inputs, outputs = _files(session, run.id, "in"), _files(session, run.id, "out")
    known = home.reads.reference(run.reference_id) if run.reference_id else None
    return RunDetails(
        line=line,
        key=run.key,
        rule=run.rule,
        generation=run.generation,
        parameters=run.parameters.get("parameters", {}),
        reference=known.name if known else run.reference_id,
        asked_by=run.created_by,
        replaced_by=run.replaced_by,
        attempts=attempts,
        inputs=inputs,
        outputs=outputs,
    )


def _attempt(home: Home, session: Session, row: AttemptRow) -> AttemptLine:
    tasks = session.scalars(select(TaskRow).where(TaskRow.token == row.token).order_by(TaskRow.started_at)).all()
    report: Mapping[str, Any] = row.report or {}
    state, asked, at = RunState(row.state), datetime.fromisoformat(row.created_at), datetime.fromisoformat(row.state_at)
    return AttemptLine(
        number=row.number,
        token=row.token,
        state=state,
        asked=asked,
        at=at,
        seconds=max(0.0, ((at if state.terminal else datetime.now(UTC)) - asked).total_seconds()),
        message=row.message,
        engine=report.get("engine"),
        sandbox=report.get("sandbox"),
        tasks=tuple(_task(task) for task in tasks),
        costs=tuple(report.get("costs") or ()),
        advice=tuple(report.get("advice") or ()),
        logs=tuple(path for path in report.get("logs") or _log_of(home, row) if Path(path).is_file()),
    )


def _log_of(home: Home, row: AttemptRow) -> list[str]:
    """Return the log of an attempt that was not recorded yet."""
    return [str(_folder(home, row).log_file)] if row.engine == "local" else []


def _folder(home: Home, row: AttemptRow) -> Attempt:
    return EngineHome(home.path.resolve()).attempt(row.token)


def _task(row: TaskRow) -> TaskLine:
    started = datetime.fromisoformat(row.started_at) if row.started_at else None
    ended = datetime.fromisoformat(row.ended_at) if row.ended_at else None
    return TaskLine(
        name=row.name,
        state=RunState(row.state),
        started=started,
        seconds=(ended - started).total_seconds() if started and ended else None,
        cpu_seconds=row.cpu_seconds,
        peak_memory_bytes=row.peak_memory_bytes,
        exit_code=row.exit_code,
        cached=row.cached,
        ran_in=row.ran_in,
    )


def _files(session: Session, run_id: str, direction: str) -> tuple[FileLine, ...]:
    query = select(RunIORow, FileRow).join(FileRow, FileRow.id == RunIORow.file_id)
    rows = session.execute(query.where(RunIORow.run_id == run_id, RunIORow.direction == direction)).all()
    found = [FileLine(name=io.name, index=io.idx, id=file.id, key=file.key, size=file.size) for io, file in rows]
    return tuple(sorted(found, key=lambda f: (f.name, f.index)))


def log_lines(home: Home, text: str, task: str | None = None) -> Iterator[str]:
    """Yield the newest attempt's log as people read it, or with `task` what that task wrote to its standard error.

    The log of a try that failed ends with the last words of each task that failed, and where all its words are.

    Raises:
        NotFound: No such run or task, or its logs are gone.
    """
    with home.records.read() as session:
        row = run_records.last_attempt(session, find_run(session, text).id)
    if row.engine != "local":
        yield from _kept_log(row)
        return
    attempt = _folder(home, row)
    path = attempt.log_file if task is None else _task_log(attempt, task)
    if not path.is_file():
        raise NotFound(f"{row.run_id} has no log (yet, or any more): {path} is not there")
    yield from _tail(path, _readable if task is None else str)
    if task is None:
        failed = _failed(attempt, path)
        for name, log in sorted(_task_logs(attempt).items()):
            if log in failed and log.is_file():
                yield from ("", f"the task {name} failed; its standard error ({log}) ends with:")
                yield from (f"  {line}" for line in _tail(log, str, LAST_WORDS))


def _kept_log(row: AttemptRow) -> Iterator[str]:
    """Yield the log that was brought here when the attempt was recorded; the rest stays with its engine."""
    kept = next((Path(path) for path in (row.report or {}).get("logs") or () if Path(path).is_file()), None)
    where = f"the logs of {row.run_id} are kept by its engine, {row.engine}: look for {row.external_id} there"
    if kept is None:
        raise NotFound(where)
    yield from _tail(kept, _readable)
    yield where


def _task_logs(attempt: Attempt) -> dict[str, Path]:
    """Return the file of each task's standard error by the task's name; of WDL with its calls in front."""
    program = _program(attempt)
    if program is not None:
        names = [task.name for task in program.live_tasks(attempt)]
        return {name: said[-1] for name in names if (said := program.said(attempt, name))}
    return {
        ".".join(p.removeprefix("call-") for p in log.parent.parts if p.startswith("call-")): log.parent / "stderr.txt"
        for log in attempt.engine_folder.rglob("task.log")
    }


def _failed(attempt: Attempt, log: Path) -> set[Path]:
    """Return the files of standard error of the tasks that failed; miniwdl names them in its log."""
    program = _program(attempt)
    if program is None:
        told = (line.get("stderr_file") for line in _told(_end_of(log)[0]))
        return {Path(name) for name in told if isinstance(name, str)}
    tasks = [task.name for task in program.live_tasks(attempt) if task.exit_code]
    return {said[-1] for name in tasks if (said := program.said(attempt, name))}


def _program(attempt: Attempt) -> Program | None:
    """Return what ran the attempt, None for WDL, whose tasks are found by their folders without it."""
    request = attempt.request()
    language = request.workflow.language if request is not None else "WDL"
    return None if language == "WDL" else program_of(language)


def _task_log(attempt: Attempt, task: str) -> Path:
    calls = _task_logs(attempt)
    if task not in calls:
        known = ", ".join(sorted(calls)) or "none, or its work folder was cleaned away"
        raise NotFound(f"the run has no task {task}; it has {known}")
    return calls[task]


def _end_of(path: Path) -> tuple[list[str], int]:
    """Return the last lines of a file, and how many bytes before them were not read."""
    with path.open("rb") as handle:
        start = max(0, path.stat().st_size - TAIL_BYTES)
        handle.seek(start)
        return handle.read().decode(errors="replace").splitlines(), start


def _tail(path: Path, shown: Callable[[str], str], most: int = LINES) -> Iterator[str]:
    lines, start = _end_of(path)
    if len(lines) > most or start:
        yield f"… earlier lines are in {path}" if start else _earlier(len(lines) - most, path)
    for line in lines[-most:]:
        text = shown(line)
        if text:
            yield printable(text, 4000)


def _earlier(number: int, path: Path) -> str:
    return f"… {counted(number, 'earlier line is', 'earlier lines are')} in {path}"


def _told(lines: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield what an engine's log says, one JSON object a line; lines that are something else are left out."""
    for line in lines:
        with suppress(ValueError, RecursionError):
            told = json.loads(line)
            if isinstance(told, dict):
                yield told


def _readable(line: str) -> str:
    """Return a line of the engine's log (JSON) as time, level, place and message; nothing for its small talk."""
    try:
        told = json.loads(line)
        if told.get("level") not in WORTH_TELLING:
            return ""
        at = datetime.fromtimestamp(told["timestamp"], UTC)
        more = " ".join(f"{key}={told[key]}" for key in ("job", "error", "exit_status", "stderr_file") if key in told)
        return f"{at:%Y-%m-%d %H:%M:%S} {told['level'].lower():<7} {told['message']} {more}".rstrip()
    except (ValueError, KeyError, TypeError, AttributeError):
        return line


def cancel(home: Home, text: str) -> RunLine:
    """Ask the engine to stop a run, and return how it stands; it ends as CANCELED at the next collect.

    One that its engine does not have yet, because its queue is disabled, say, ends at once.

    Raises:
        NotFound: There is no such run, or its engine has forgotten it.
        UsageError: It has ended.
    """
    with home.records.read() as session:
        run = find_run(session, text)
        attempt = run_records.last_attempt(session, run.id)
    if RunState(run.state).terminal:
        raise UsageError(f"{run.id} has ended as {run.state}: there is nothing to cancel")
    state, message = RunState.CANCELING, "a person asked for it"
    try:
        home.engine_of(attempt.engine).cancel(attempt.external_id or attempt.token)
    except NotFound:
        if attempt.external_id is not None:
            raise
        state, message = RunState.CANCELED, "a person asked for it before it was started"
    with home.records.write() as session:
        asked = EngineStatus(state=state, at=datetime.now(UTC), message=message)
        run_records.apply_event(session, attempt.token, asked)
        audit.record(session, "workflow_run.cancel_asked", run.id, token=attempt.token)
    return _line(home, run.id)


def retry(home: Home, text: str) -> RunLine:
    """Start the next attempt of a run that ended without a result; tasks that were done are not done again.

    Raises:
        NotFound: There is no such run.
        UsageError: It lives, or it has a result.
    """
    collect(home)  # the engine may know of an end that the records do not
    with home.records.write() as session:
        run = find_run(session, text)
        state = RunState(run.state)
        if state is RunState.COMPLETE:
            raise UsageError(f"{run.id} has a result: compute it again with `labrelay submit … --force`")
        if not state.terminal:
            raise UsageError(f"{run.id} is {state}: cancel it first with `labrelay runs cancel {run.id}`")
        run_records.retry(session, run)
    start_intended(home)
    return _line(home, run.id)


def _line(home: Home, run_id: str) -> RunLine:
    with home.records.read() as session:
        (line,) = run_lines(session, select(WorkflowRunRow.id).where(WorkflowRunRow.id == run_id))
    return line
