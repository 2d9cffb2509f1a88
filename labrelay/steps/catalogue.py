"""Publishing to a catalogue: each result and the datasets that it was made of, and the lineage between them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.model.errors import MissingTool, NotFound, UsageError
from labrelay.model.states import RunState
from labrelay.records import links, outbox, runs
from labrelay.records.catalog.port import Catalog, Entry, Published
from labrelay.records.openlineage import run_event
from labrelay.records.outbox import Message
from labrelay.records.run_events import COMPLETE, facts_of
from labrelay.records.schema import WorkflowRunRow
from labrelay.steps.catalogue_entries import dataset_entries, result_entry
from labrelay.steps.home import Home
from labrelay.steps.run_telling import places_of
from labrelay.steps.settings import Settings

CHANNEL = "catalogue"


def has_catalogue(settings: Settings) -> bool:
    """Return whether the settings name a catalogue to publish to."""
    return settings.datazone_domain_id is not None and settings.datazone_project_id is not None


def catalogue_of(home: Home) -> Catalog:
    """Return the catalogue that the settings name.

    Raises:
        UsageError: They name none; the text says what to set.
        MissingTool: It needs an extra that is not installed.
    """
    domain, project = home.settings.datazone_domain_id, home.settings.datazone_project_id
    if domain is None or project is None:
        raise UsageError("no catalogue is set: write datazone_domain_id and datazone_project_id into labrelay.toml")
    try:
        from labrelay.records.catalog.datazone import DataZone
        from labrelay.steps.cloud import aws_of
    except ModuleNotFoundError as error:
        raise MissingTool(f"DataZone needs {error.name}: pip install 'labrelay[aws]'") from None
    return DataZone(aws_of(home.settings), domain, project)


def post_result(home: Home, session: Session, run_id: str, dedup: str) -> None:
    """Queue, in the caller's transaction, that a result is published, and those whose place it has taken once more."""
    if not has_catalogue(home.settings):
        return
    outbox.post(session, CHANNEL, run_id, "result", f"{CHANNEL}:result:{dedup}")
    replaced = select(WorkflowRunRow.id).where(WorkflowRunRow.replaced_by == run_id)
    for old in session.scalars(replaced):
        outbox.post(session, CHANNEL, old, "result", f"{CHANNEL}:replaced:{old}:{dedup}")


def to_catalogue(home: Home, message: Message) -> bool:
    """Publish a result as it now is."""
    publish(home, message.entity_id)
    return True


def publish(home: Home, run_id: str, catalogue: Catalog | None = None) -> list[tuple[Entry, Published]]:
    """Publish a result with the datasets that it was made of, and tell its lineage; again changes nothing.

    Cost: up to five calls an entry; with no transaction open.

    Raises:
        NotFound: The run has no recorded result.
        LabrelayError: The catalogue did not take it.
    """
    target = catalogue or catalogue_of(home)
    with home.records.read() as session:
        run = session.get(WorkflowRunRow, run_id)
        if run is None or run.state != RunState.COMPLETE.value or run.recorded_at is None:
            raise NotFound(f"{run_id} has no recorded result: `labrelay runs show {run_id}` says how it stands")
        facts = facts_of(session, run_id, runs.last_attempt(session, run_id).token)
        places = places_of(home.settings)
        entries = [*dataset_entries(home, session, facts, places), result_entry(home, session, facts, places)]
        known = links.known(session, target.system, [entry.id for entry in entries])
    done = [(entry, target.publish(entry, known.get(entry.id))) for entry in entries]
    with home.records.write() as session:
        for entry, published in done:
            links.keep(session, target.system, entry.id, published.asset_id)
    if run.replaced_by is None:
        target.lineage(run_event(facts, COMPLETE, places, files=False))
    return done


def publish_all(home: Home, run_ids: Sequence[str] | None) -> Iterable[tuple[Entry, Published]]:
    """Publish these results, or all that there are, one after the other; the catalogue is asked for its types once.

    Raises:
        LabrelayError: As `publish`.
    """
    target = catalogue_of(home)
    for run_id in recorded(home) if run_ids is None else run_ids:
        yield from publish(home, run_id, target)


def recorded(home: Home) -> list[str]:
    """Return the ids of all recorded results, oldest first."""
    query: Any = select(WorkflowRunRow.id).where(
        WorkflowRunRow.state == RunState.COMPLETE.value, WorkflowRunRow.recorded_at.is_not(None)
    )
    with home.records.read() as session:
        return list(session.scalars(query.order_by(WorkflowRunRow.recorded_at, WorkflowRunRow.id)))
