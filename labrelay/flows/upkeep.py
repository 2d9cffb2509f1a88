"""Flows that a schedule starts: settle what has ended, tell who has to be told, look for new runs."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from labrelay.flows.artifacts import cell, fitting, publish, report, run_table
from labrelay.flows.batch import HomeFolder, opened, step
from labrelay.flows.rows import run_rows
from labrelay.model.words import counted
from labrelay.steps import collect as collecting
from labrelay.steps import deliver as delivering
from labrelay.steps import sweep as sweeping
from labrelay.steps import watch as watching
from labrelay.steps.collect import Collected
from labrelay.steps.deliver import Delivered
from labrelay.steps.home import Home
from labrelay.steps.readiness import FolderState
from labrelay.steps.sweep import Swept
from labrelay.steps.watch import Seen


@flow(name="collect", flow_run_name="collect", persist_result=False)
def collect(home: HomeFolder) -> State[Collected]:
    """Record every workflow run that has ended; an event or the sweep wakes it, and one at a time is enough.

    Args:
        home: The home folder.
    """
    with opened(home) as h:
        outcome = step("collect", collecting.collect, h)
        publish_collected(h, outcome)
    words = f"{len(outcome.recorded)} recorded, {len(outcome.retried)} tried again"
    if outcome.stuck:
        return Failed(data=outcome, message=f"{words}; {len(outcome.stuck)} could not be recorded: see the report")
    return Completed(data=outcome, message=words)


def publish_collected(home: Home, outcome: Collected) -> None:
    """Write the table and report of a collect that did something."""
    touched = [*outcome.recorded, *outcome.retried, *(run_id for run_id, _why in outcome.stuck)]
    if not touched:
        return
    with home.records.read() as session:
        rows = run_rows(session, touched)
    counts = {"workflow runs recorded": len(outcome.recorded), "tried again": len(outcome.retried)}
    publish("collect", run_table(rows), report("Collect", counts, outcome.stuck, rows), "what was recorded last")


@flow(name="deliver", flow_run_name="deliver", persist_result=False)
def deliver(home: HomeFolder) -> State[Delivered]:
    """Tell the notebook and people what waits to be told.

    Args:
        home: The home folder.
    """
    with opened(home) as h:
        outcome = step("deliver", delivering.deliver, h)
    words = f"{outcome.confirmed} delivered, {outcome.waiting} wait, {outcome.dead} given up"
    return Completed(data=outcome, message=words)


@flow(name="watch-folders", flow_run_name="watch folders", persist_result=False)
def watch_folders(home: HomeFolder) -> State[list[Seen]]:
    """Scan the landing folders once and take in every instrument run that is ready.

    Args:
        home: The home folder; its settings name the landing folders.
    """
    with opened(home) as h:
        seen = step("scan and take in", watching.watch, h)
    if seen:
        table = [
            {"folder": cell(s.folder), "run": cell(s.run_id or ""), "state": cell(s.state.value), "why": cell(s.reason)}
            for s in seen
        ]
        waits = [(s.folder.name, s.reason) for s in seen if s.state is FolderState.REFUSED]
        counts = {f"folders {state.value}": sum(s.state is state for s in seen) for state in FolderState}
        publish("watch", fitting(table), report("Landing folders", counts, waits, []), "the landing folders")
    refused = sum(s.state is FolderState.REFUSED for s in seen)
    return Completed(data=seen, message=f"{counted(len(seen), 'folder')} seen, {refused} refused")


@flow(name="sweep", flow_run_name="sweep", persist_result=False)
def sweep(home: HomeFolder) -> State[Swept]:
    """Settle what events missed: ended runs, lost runs, leases and imports that killed processes left.

    Args:
        home: The home folder.
    """
    with opened(home) as h:
        outcome = step("sweep", sweeping.sweep, h)
    if outcome.problems:
        waits = [("sweep", problem) for problem in outcome.problems]
        publish("sweep", [], report("Sweep", {}, waits, []), "what the last sweep could not settle")
        return Failed(data=outcome, message=outcome.sentence)
    return Completed(data=outcome, message=outcome.sentence)
