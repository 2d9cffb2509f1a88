"""Run events of OpenLineage on their way: posted with what they tell of, delivered to a file, by HTTP, or both.

A message holds the attempt and the kind of event only; the event is made from the records when it is delivered, and is
the same whenever that is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from labrelay.model.states import RunState
from labrelay.records import openlineage_sinks, outbox
from labrelay.records.openlineage import Places, run_event
from labrelay.records.outbox import Message
from labrelay.records.run_events import ABORT, COMPLETE, FAIL, START, facts_of
from labrelay.steps.home import Home
from labrelay.steps.settings import Settings

TO_FILE, TO_HTTP = "openlineage-file", "openlineage-http"
ENDS = {RunState.COMPLETE.value: COMPLETE, RunState.CANCELED.value: ABORT}
__all__ = ["ENDS", "FAIL", "START", "places_of", "tell_run", "to_file", "to_http"]


def tell_run(home: Home, session: Session, run_id: str, token: str, kind: str) -> None:
    """Queue a run event in the caller's transaction, for each way that the settings name; the same is told once."""
    ways = ((TO_FILE, home.settings.openlineage_file), (TO_HTTP, home.settings.openlineage_url))
    for channel, way in ways:
        if way is not None:
            outbox.post(session, channel, run_id, kind, f"{channel}:{token}:{kind}", token=token)


def to_file(home: Home, message: Message) -> bool:
    """Append a run event to the file; one that a killed worker wrote already is not written again."""
    file = home.path / (home.settings.openlineage_file or Path("openlineage.jsonl"))
    openlineage_sinks.append(_event(home, message), file, again=message.tries > 1)
    return False


def to_http(home: Home, message: Message) -> bool:
    """Post a run event to the backend; it knows a repeated one by its run and type."""
    key = home.settings.openlineage_key
    url = home.settings.openlineage_url or ""
    openlineage_sinks.post(_event(home, message), url, key.get_secret_value() if key else None)
    return False


def places_of(settings: Settings) -> Places:
    """Return how the home's storages are named in events."""
    urls = {"objects": settings.objects_url} if settings.objects_url else {}
    return Places(settings.openlineage_namespace, urls)


def _event(home: Home, message: Message) -> dict[str, Any]:
    with home.records.read() as session:
        facts = facts_of(session, message.entity_id, str(message.payload["token"]))
    return run_event(facts, message.kind, places_of(home.settings))
