"""Steps 8 and 9: start what was intended, hear what the engines say, and hand each end to `record`.

State first, details after: the state of every run is written before the outputs of any are touched, and a run whose
outputs cannot be recorded does not hold up the others.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from labrelay.model.errors import LabrelayError
from labrelay.model.faults import faultpoint
from labrelay.model.runs import RunRequest
from labrelay.model.states import RunState
from labrelay.records import runs
from labrelay.records.schema import AttemptRow, WorkflowRunRow
from labrelay.steps.home import Home
from labrelay.steps.record import record_run

FIRST_WAIT, LONGEST_WAIT = 0.2, 2.0


@dataclass
class Collected:
    """What a collect did: runs recorded now, runs started again, and those whose end could not be recorded."""

    started: int = 0
    recorded: list[str] = field(default_factory=list)
    retried: list[str] = field(default_factory=list)
    stuck: list[tuple[str, str]] = field(default_factory=list)


def start_intended(home: Home) -> int:
    """Give the engine every attempt that it has not been given; return how many.

    The attempt's token makes this safe to repeat: an answer that was lost is settled by asking with the same token.
    """
    with home.records.read() as session:
        waiting = [RunRequest.model_validate(a.request) for a in runs.live_attempts(session) if a.external_id is None]
    for request in waiting:
        external_id = home.engine.submit(request)
        faultpoint("submit.started")
        with home.records.write() as session:
            runs.attach(session, request.token, external_id)
        faultpoint("submit.attached")
    return len(waiting)


def collect(home: Home) -> Collected:
    """Settle every live attempt once: states, then records of what has ended, then new attempts where one is due.

    Cost: one look at the engine for all attempts; one transaction for all states, one a recorded run.
    """
    outcome = Collected(started=start_intended(home))
    with home.records.read() as session:
        live = {a.external_id: a.token for a in runs.live_attempts(session) if a.external_id is not None}
    statuses = home.engine.poll(list(live)) if live else {}
    faultpoint("collect.polled")
    with home.records.write() as session:
        for external_id, status in statuses.items():
            runs.apply_event(session, live[external_id], status)
    faultpoint("collect.states_written")
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
        start_intended(home)
    return outcome


def wait_for(home: Home, run_ids: Sequence[str]) -> Collected:
    """Collect until these runs have ended and are recorded (or cannot be); safe to stop and to call again."""
    total, pause, started = Collected(), FIRST_WAIT, time.monotonic()
    while True:
        done = collect(home)
        total.started += done.started
        total.recorded += done.recorded
        total.retried += done.retried
        total.stuck = done.stuck
        open_runs = _open(home, run_ids) - {run_id for run_id, _why in total.stuck}
        if not open_runs:
            return total
        time.sleep(pause)
        # a short run is seen soon, a long one is not asked about twice a second for days
        pause = min(LONGEST_WAIT, max(FIRST_WAIT, (time.monotonic() - started) / 20))


def _open(home: Home, run_ids: Sequence[str]) -> set[str]:
    """Return those of the runs that are not recorded, and tell how many tasks they have done."""
    wanted = set(run_ids)
    with home.records.read() as session:
        live: list[AttemptRow] = [a for a in runs.live_attempts(session) if a.run_id in wanted]
        ended = {row.id for row in runs.unrecorded(session)} & wanted
    statuses = home.engine.poll([a.external_id for a in live if a.external_id]).values()
    tasks = sum(s.tasks_done for s in statuses)
    known = [s.tasks_total for s in statuses]
    total = None if None in known else sum(n for n in known if n is not None)
    home.progress.advance("tasks", tasks, total)
    return {a.run_id for a in live} | ended


def _try_again(home: Home, run_id: str) -> bool:
    """Write the next attempt of a run that the platform failed, while the settings allow one."""
    with home.records.write() as session:
        run = session.get_one(WorkflowRunRow, run_id)
        if run.state != RunState.SYSTEM_ERROR.value or run.recorded_at is not None:
            return False  # another process has settled it since we looked
        if runs.last_attempt(session, run_id).number > home.settings.retries:
            return False
        runs.retry(session, run)
    faultpoint("collect.retried")
    return True
