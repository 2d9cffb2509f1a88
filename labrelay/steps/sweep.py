"""The sweep settles what events missed: every live run is asked about, and what killed processes left is put in order.

It may run at any time and beside anything else: each part is a step that may be repeated, and one that fails is said
and does not stop the others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import ParamSpec, Protocol, runtime_checkable

from sqlalchemy import select

from labrelay.model.errors import LabrelayError
from labrelay.model.faults import faultpoint
from labrelay.model.runs import EngineStatus
from labrelay.model.states import RunState
from labrelay.records import lease, outbox, plans, runs
from labrelay.records.eln.registry import ARCHIVE
from labrelay.records.runs import LiveAttempt
from labrelay.records.schema import DatasetRow, ReadSetRow
from labrelay.steps import run_documents
from labrelay.steps.collect import look, settle
from labrelay.steps.eln import reconcile
from labrelay.steps.eln_news import pull
from labrelay.steps.home import Home
from labrelay.steps.imports import STILL_GOING, import_reads
from labrelay.steps.messages import look_at_folders, work_off
from labrelay.steps.trail import keep_anchored
from labrelay.stores.durable import remove_stale_temps

P = ParamSpec("P")
_log = logging.getLogger(__name__)
ENTRIES_COMPARED = 50  # in one sweep: all of a large lab's have their turn in a few
WRITTEN_IN_PLACE = ("results", "eln", "bundles", run_documents.FOLDER)
LEFT_ALONE = timedelta(minutes=1)  # an import that began just now has its own process at it


@dataclass
class Swept:
    """What a sweep settled, counted, and what it could not settle, in sentences.

    Attributes:
        started: Attempts given to the engine that it had not been given.
        recorded: Runs whose end was recorded.
        retried: Runs that got a new attempt.
        unknown: Live runs that their engine does not know at the moment.
        given_up: Of these, runs that were unknown for too long and count as SYSTEM_ERROR now.
        told: Messages of lab software that were worked off.
        events: Messages taken from the event queue.
        leases: Leases of dead processes that were ended.
        messages: Messages that a dead worker had claimed, due again.
        reruns: Runs of plans that `labrelay reprocess` has under way, submitted now.
        imported: Read sets whose import had been left unfinished.
        announced: Entries of the notebook whose announcement or edit was taken over.
        entries: Parts of notebook entries that were missing or old and were written again.
        temps: Temporary files without an owner that were removed.
    """

    started: int = 0
    recorded: int = 0
    retried: int = 0
    unknown: int = 0
    given_up: int = 0
    told: int = 0
    events: int = 0
    leases: int = 0
    messages: int = 0
    reruns: int = 0
    imported: int = 0
    announced: int = 0
    entries: int = 0
    temps: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        """What was done, for people: `recorded 2, imported 1`, or that there was nothing to settle."""
        counts = [(f.name.replace("_", " "), getattr(self, f.name)) for f in fields(self) if f.name != "problems"]
        done = ", ".join(f"{name} {count}" for name, count in counts if count) or "nothing to settle"
        return done + (f"; {len(self.problems)} could not be settled" if self.problems else "")


@runtime_checkable
class _Reaps(Protocol):
    """A store that leaves temporary files when its process is killed."""

    def reap(self) -> int:
        """Remove them and return how many."""


def sweep(home: Home) -> Swept:
    """Settle everything once and say what was done.

    Cost: one look at the engine for all live runs together, one transaction for their states, one a recorded run;
    a listing of the stores' staging folders.
    """
    swept = Swept()
    parts = (_free, _work_off, _hear, _settle_runs, _rerun, _import_again, _notebook, _reap, _anchor, _look_at_folders)
    for part in parts:
        _try(swept, part, home, swept)
    return swept


def _try(swept: Swept, part: Callable[P, None], *given: P.args, **named: P.kwargs) -> None:
    try:
        part(*given, **named)
    except LabrelayError as error:
        swept.problems.append(str(error))
    except Exception as error:
        # A bug, or an answer of a kind that nobody thought of, in one part must not stop the others at every sweep.
        name = part.__name__.strip("_").replace("_", " ")
        _log.exception("the sweep's part %s was stopped", name)
        swept.problems.append(
            f"the sweep's part {name} was stopped by an unexpected error ({type(error).__name__}): see the log"
        )


def _free(home: Home, swept: Swept) -> None:
    with home.records.write() as session:
        swept.leases = lease.free_dead(session)
        swept.messages = outbox.free_dead(session)
    faultpoint("sweep.freed")


def _work_off(home: Home, swept: Swept) -> None:
    swept.told += work_off(home).done


def _look_at_folders(home: Home, swept: Swept) -> None:
    swept.told += look_at_folders(home).done


def _hear(home: Home, swept: Swept) -> None:
    if home.settings.event_queue_url is not None:
        # Only here: a home without AWS does not pay for its client.
        from labrelay.steps.events import drain

        swept.events = drain(home, settled=False).received


def _settle_runs(home: Home, swept: Swept) -> None:
    """Hear what the engine says of every live run, give up those it has not known for too long, record the ended."""
    outcome = look(home)
    _mark_unknown(home, swept, outcome.unknown)
    settle(home, outcome)
    swept.started, swept.recorded, swept.retried = outcome.started, len(outcome.recorded), len(outcome.retried)
    swept.problems += [str(error) for error in outcome.silent.values()]
    swept.problems += [f"{run_id}: {reason}" for run_id, reason in outcome.stuck]


def _mark_unknown(home: Home, swept: Swept, unknown: Sequence[LiveAttempt]) -> None:
    moment, bound = datetime.now(UTC), timedelta(minutes=home.settings.unknown_minutes)
    with home.records.write() as session:
        for attempt in unknown:
            since = attempt.state_at if attempt.state is RunState.UNKNOWN else moment
            status = unknown_status(since, moment, bound, attempt.engine)
            runs.apply_event(session, attempt.token, status)
            swept.unknown += 1
            swept.given_up += status.state.terminal
    faultpoint("sweep.unknown_written")


def unknown_status(since: datetime, moment: datetime, bound: timedelta, engine: str) -> EngineStatus:
    """Return what is to be recorded of an attempt that its engine does not know: UNKNOWN, after `bound` SYSTEM_ERROR.

    Args:
        since: When it was first found unknown.
        moment: Now.
        bound: How long UNKNOWN may last; polling for ever would hide the loss.
        engine: The engine's kind, for the sentence.
    """
    if since < moment and moment - since >= bound:
        lost = f"the engine {engine} has not known this run since {since.isoformat(timespec='minutes')}"
        return EngineStatus(state=RunState.SYSTEM_ERROR, at=moment, message=f"{lost}: it was given up")
    return EngineStatus(state=RunState.UNKNOWN, at=since, message=f"the engine {engine} does not know this run")


def _rerun(home: Home, swept: Swept) -> None:
    with home.records.read() as session:
        under_way = plans.running(session)
    if under_way:
        # Only then: the step composes workflow inputs, whose programs a sweep of nothing need not load.
        from labrelay.steps.reprocess_run import work_on_plans

        swept.reruns = work_on_plans(home)


def _import_again(home: Home, swept: Swept) -> None:
    before = (datetime.now(UTC) - LEFT_ALONE).isoformat(timespec="microseconds")
    query = select(DatasetRow.instrument_run_id).join(ReadSetRow, ReadSetRow.dataset_id == DatasetRow.id)
    left = query.where(ReadSetRow.status == "WANTED", ReadSetRow.created_at < before).distinct()
    with home.records.read() as session:
        instrument_runs = session.scalars(left).all()
    for run_id in instrument_runs:
        _try(swept, _import_run, home, swept, run_id)


def _import_run(home: Home, swept: Swept, instrument_run_id: str) -> None:
    # What still goes on is looked at by the next sweep: runs and events are not to wait for imports.
    imported = import_reads(home, instrument_run_id, minutes=0)
    swept.imported += imported.imported
    failed = [(read_set, reason) for read_set, reason in imported.failed if reason != STILL_GOING]
    swept.problems += [f"{read_set}: {reason}" for read_set, reason in failed]


def _notebook(home: Home, swept: Swept) -> None:
    """Hear what the notebook announces, then compare the entries that were looked at longest ago."""
    if home.settings.eln == ARCHIVE:
        return
    _try(swept, _pull, home, swept)
    compared = reconcile(home, most=ENTRIES_COMPARED)
    swept.entries = compared.repaired
    swept.problems += compared.problems


def _pull(home: Home, swept: Swept) -> None:
    pulled = pull(home)
    swept.announced = len(pulled.taken)
    swept.problems += [reason for _entry, reason in pulled.waiting]


def _reap(home: Home, swept: Swept) -> None:
    stores: tuple[object, ...] = (home.objects, home.results, home.reads, home.engine, *home.engines.made)
    swept.temps = sum(store.reap() for store in stores if isinstance(store, _Reaps))
    # Documents and bundles are written beside their names, not in a store's staging.
    swept.temps += sum(remove_stale_temps(home.path / part) for part in WRITTEN_IN_PLACE)


def _anchor(home: Home, swept: Swept) -> None:
    if (problem := keep_anchored(home)) is not None:
        swept.problems.append(problem)
