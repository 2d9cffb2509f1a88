"""Waking `collect` by an event: for engines and services that hear of a run's end before the next sweep looks."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import httpx

from labrelay.model.errors import EngineFailed

ENDED = "labrelay.run.ended"
SECONDS = 5.0


def run_ended_event(run_id: str, occurrence: str) -> dict[str, object]:
    """Return the event of a workflow run's end.

    Args:
        run_id: `run_…`.
        occurrence: What makes this end distinct (the attempt's token); the same one twice is the same event.
    """
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{ENDED}/{run_id}/{occurrence}")),
        "occurred": datetime.now(UTC).isoformat(),
        "event": ENDED,
        "resource": {"prefect.resource.id": f"labrelay.run.{run_id}", "prefect.resource.name": run_id},
        "payload": {},
    }


def notify_event(api: str, run_id: str, occurrence: str) -> None:
    """Tell a Prefect server that a workflow run has ended; its trigger starts a `collect` some seconds later.

    Nothing depends on it: the sweep finds the same end within a minute.

    Args:
        api: The server, `http://…/api`.
        run_id: `run_…`.
        occurrence: The ended attempt's token.

    Raises:
        EngineFailed: The server did not take it.
    """
    try:
        answer = httpx.post(f"{api}/events", json=[run_ended_event(run_id, occurrence)], timeout=SECONDS)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise EngineFailed(f"the Prefect server at {api} did not take the event of {run_id}: {error}") from error
