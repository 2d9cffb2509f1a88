"""Step 9, collect: hear what the engines say, start what waits for it, and hand each end to `record`.

State first, details after: the state of every run is written before the outputs of any are touched, and a run whose
outputs cannot be recorded does not hold up the others.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from labrelay.model.errors import LabrelayError
from labrelay.model.faults import faultpoint
from labrelay.model.runs import EngineStatus, RunReport
from labrelay.model.states import RunState
from labrelay.model.words import counted
from labrelay.records import runs
from labrelay.records.runs import LiveAttempt
from labrelay.records.schema import AttemptRow, WorkflowRunRow
from labrelay.steps.eln_signs import sign_runs
from labrelay.steps.home import Home
from labrelay.steps.record import record_run
from labrelay.steps.run_telling import FAIL, tell_run
from labrelay.steps.start import start_intended

log = logging.getLogger(__name__)
FIRST_WAIT, LONGEST_WAIT = 0.2, 2.0
STARTING_SECONDS = 60.0  # of a look; what is not started in them has the next look
TASKS_TOLD = 3  # kinds of tasks at work that fit on a line
PATIENCE_SECONDS = 600.0  # of a wait, with a service that has answered and now fails each time it is asked
FIRST_PATIENCE_SECONDS = 20.0  # with one that has not answered yet
LOOKS = 3  # an engine that does not know a run so often in a row is not waited for
FORGOTTEN = "the engine does not know this run; `labrelay sweep` gives it up after a while and tries it again"


@dataclass
class Worked:
    """How many messages of lab software were worked off, how many of these were refused, and how many wait still."""

    done: int = 0
    refused: int = 0
    waiting: int = 0

    def __add__(self, other: Worked) -> Worked:
        """Return both together."""
        return Worked(self.done + other.done, self.refused + other.refused, self.waiting + other.waiting)


@dataclass
class Collected:
    """What a collect did: runs recorded now, runs started again, and those whose end could not be recorded.

    Attributes:
        seen: What the engine said, by the run's id.
        waiting: Runs whose reads are archived; they are being made readable, and the run is started when they are.
        unknown: Attempts that the engine should know and does not; the sweep gives them up after a bounded time.
        told: Messages of lab software that were worked off.
        silent: Engines that could not be asked, by kind, with the reason; what the others say is settled all the same.
    """

    started: int = 0
    recorded: list[str] = field(default_factory=list)
    retried: list[str] = field(default_factory=list)
    stuck: list[tuple[str, str]] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    seen: dict[str, EngineStatus] = field(default_factory=dict)
    unknown: list[LiveAttempt] = field(default_factory=list)
    silent: dict[str, LabrelayError] = field(default_factory=dict)
    told: Worked = field(default_factory=Worked)


def collect(home: Home) -> Collected:
    """Work off what lab software told, then settle every live attempt once.

    First the states, then records of what has ended, then new attempts where one is due.

    Cost: one look at each engine for all its attempts; one transaction for all states, one a recorded run.

    Raises:
        LabrelayError: An engine could not be asked; what the others say was settled before.
    """
    # Only here: telling of a run folder may start the whole main job, which collects in its end.
    from labrelay.steps.messages import look_at_folders, work_off

    told = work_off(home)
    outcome = _settled(home)
    outcome.told = told + look_at_folders(home)
    for error in outcome.silent.values():
        raise error
    return outcome


def _settled(home: Home) -> Collected:
    outcome = look(home)
    settle(home, outcome)
    return outcome


def look(home: Home) -> Collected:
    """Ask each engine once for all its live attempts, write the states that moved, then start what was intended."""
    outcome = Collected()
    with home.records.read() as session:
        live = {attempt.external_id: attempt for attempt in runs.live(session) if attempt.external_id is not None}
    statuses, outcome.silent = _ask(home, live)
    outcome.seen = {live[external_id].run_id: status for external_id, status in statuses.items()}
    outcome.unknown = [a for key, a in live.items() if key not in statuses and a.engine not in outcome.silent]
    faultpoint("collect.polled")
    # most looks find most runs as they were, and a transaction for nothing would hold up other writers
    moved = {key: status for key, status in statuses.items() if status.state is not live[key].state}
    if moved:
        moment = datetime.now(UTC)
        with home.records.write() as session:
            for external_id, status in moved.items():
                back = live[external_id].state is RunState.UNKNOWN and not status.state.terminal
                # The engine's own time may lie before the time when it was not known.
                told = status.model_copy(update={"at": moment}) if back else status
                runs.apply_event(session, live[external_id].token, told)
            # Ends are told when they are on record.
            going = [live[key].run_id for key, status in moved.items() if not status.state.terminal]
            sign_runs(home, session, "moved", going, moment.isoformat())
    faultpoint("collect.states_written")
    outcome.started = start_intended(home, outcome.stuck, STARTING_SECONDS, outcome.waiting)
    return outcome


def _ask(home: Home, live: Mapping[str, LiveAttempt]) -> tuple[dict[str, EngineStatus], dict[str, LabrelayError]]:
    """Return what the engines say, by external id, and the engines that could not be asked, with the reason."""
    statuses: dict[str, EngineStatus] = {}
    silent: dict[str, LabrelayError] = {}
    for kind, external_ids in by_engine((attempt.engine, attempt.external_id) for attempt in live.values()):
        try:
            statuses |= home.engine_of(kind).poll(external_ids)
        except LabrelayError as error:
            silent[kind] = error
    return statuses, silent


def by_engine(attempts: Iterable[tuple[str, str | None]]) -> Iterator[tuple[str, list[str]]]:
    """Yield each engine's kind with the external ids of those of the attempts (engine, external id) that it has."""
    grouped: dict[str, list[str]] = {}
    for kind, external_id in attempts:
        if external_id is not None:
            grouped.setdefault(kind, []).append(external_id)
    yield from grouped.items()


def settle(home: Home, outcome: Collected) -> None:
    """Record what has ended, or try it again where the platform failed; what cannot be recorded is told in `stuck`."""
    with home.records.read() as session:
        ended = [(row.id, RunState(row.state)) for row in runs.unrecorded(session)]
    for run_id, state in ended:
        try:
            if state is RunState.SYSTEM_ERROR and _try_again(home, run_id):
                outcome.retried.append(run_id)
            elif record_run(home, run_id):
                outcome.recorded.append(run_id)
        except LabrelayError as error:
            outcome.stuck.append((run_id, str(error)))
    if outcome.retried:
        start_intended(home, outcome.stuck, STARTING_SECONDS, outcome.waiting)


def wait_for(home: Home, run_ids: Sequence[str], *, first: bool = False) -> Collected:
    """Collect until these runs have ended and are recorded (or cannot be); safe to stop and to call again.

    Args:
        home: Where.
        run_ids: The runs.
        first: Wait for one of them only.

    Raises:
        LabrelayError: The engine of one of these runs could not be asked, for longer than a service takes to recover.
    """
    total, pause, started, wanted = Collected(), FIRST_WAIT, time.monotonic(), set(run_ids)
    missed: Counter[str] = Counter()
    # An engine that has not answered once in this wait may be set up wrongly, or not be there.
    until = time.monotonic() + FIRST_PATIENCE_SECONDS
    while True:
        done = _settled(home)
        until = _patiently(home, done, run_ids, until)
        total.started += done.started
        total.recorded += done.recorded
        total.retried += done.retried
        missed.update(attempt.run_id for attempt in done.unknown)
        forgotten = [attempt.run_id for attempt in done.unknown if missed[attempt.run_id] >= LOOKS]
        total.stuck = done.stuck + [(run_id, FORGOTTEN) for run_id in forgotten]
        total.seen.update(done.seen)
        _tell(home, [status for run_id, status in total.seen.items() if run_id in wanted])
        if cold := wanted.intersection(done.waiting):
            home.progress.now(f"{counted(len(cold), 'run')} waiting for archived reads, which takes minutes to hours")
        left = _open(home, wanted) - {run_id for run_id, _why in total.stuck}
        if not left or (first and left < wanted):
            return total
        time.sleep(pause)
        # a short run is seen soon, a long one is not asked about twice a second for days
        pause = min(LONGEST_WAIT, max(FIRST_WAIT, (time.monotonic() - started) / 20))


def _patiently(home: Home, done: Collected, run_ids: Sequence[str], until: float) -> float:
    """Return until when engines that fail are asked again: some minutes after they answered, as runs may take days."""
    here = engines_of(home, run_ids) if done.silent else ()
    errors = [error for kind, error in done.silent.items() if kind in here]
    if not errors:
        return time.monotonic() + PATIENCE_SECONDS
    if not errors[0].retryable or time.monotonic() > until:
        raise errors[0]
    home.progress.now(f"{errors[0]} Asking again …")
    time.sleep(LONGEST_WAIT)
    return until


def seen_again(failed: Sequence[tuple[str, str]], run_ids: Sequence[str], waited: Collected) -> list[tuple[str, str]]:
    """Return what is still wrong after a wait: runs among what failed before it are as the wait found them."""
    return [each for each in failed if each[0] not in set(run_ids)] + waited.stuck


def engines_of(home: Home, run_ids: Sequence[str]) -> list[str]:
    """Return the kinds of the engines that these runs are on, by name."""
    with home.records.read() as session:
        return sorted(runs.engines_of(session, run_ids))


def _open(home: Home, wanted: set[str]) -> set[str]:
    """Return those of the runs that are not recorded."""
    with home.records.read() as session:
        going = {attempt.run_id for attempt in runs.live(session)}
        ended = {row.id for row in runs.unrecorded(session)}
    return (going | ended) & wanted


def _tell(home: Home, statuses: Sequence[EngineStatus]) -> None:
    """Tell how many tasks are done, of how many when the engine knows."""
    known = [status.tasks_total for status in statuses]
    total = None if None in known else sum(n for n in known if n is not None)
    home.progress.advance("tasks", sum(status.tasks_done for status in statuses), total)
    home.progress.now(under_way(statuses))


def under_way(statuses: Sequence[EngineStatus]) -> str:
    """Return the runs' states, the tasks that work now and the cost so far, as one line."""
    states = Counter(status.state for status in statuses)
    told = ", ".join(f"{states[state]} {state.value.lower().replace('_', ' ')}" for state in RunState if states[state])
    tasks = Counter(task for status in statuses for task in status.under_way)
    if tasks:
        shown = [f"{count} x {task}" if count > 1 else task for task, count in tasks.most_common(TASKS_TOLD)]
        told += f": {', '.join(shown)}{', …' if len(tasks) > TASKS_TOLD else ''}"
    costs = [status.usd for status in statuses if status.usd is not None]
    return f"{told}; ${sum(costs):.4f} so far" if costs else told


def _try_again(home: Home, run_id: str) -> bool:
    """Write the next attempt of a run that the platform failed, while the settings allow one.

    What the failed attempt did and used is written with it; where the engine cannot tell, the retry does not wait.
    """
    with home.records.read() as session:
        if not _may_retry(home, session, run_id):
            return False
        failed = runs.last_attempt(session, run_id)
    report = _report_of(home, failed)
    with home.records.write() as session:
        if not _may_retry(home, session, run_id) or runs.last_attempt(session, run_id).token != failed.token:
            return False  # another process has settled it since we looked
        if report is not None:
            runs.add_report(session, failed.token, report)
        tell_run(home, session, run_id, failed.token, FAIL)
        runs.retry(session, session.get_one(WorkflowRunRow, run_id))
    faultpoint("collect.retried")
    return True


def _may_retry(home: Home, session: Session, run_id: str) -> bool:
    run = session.get_one(WorkflowRunRow, run_id)
    if run.state != RunState.SYSTEM_ERROR.value or run.recorded_at is not None:
        return False
    return runs.last_attempt(session, run_id).number <= home.settings.retries


def _report_of(home: Home, attempt: AttemptRow) -> RunReport | None:
    try:
        return home.engine_of(attempt.engine).report(attempt.external_id or attempt.token)
    except LabrelayError as error:
        log.warning("what the attempt %s did is not recorded: %s", attempt.token, error)
        return None
