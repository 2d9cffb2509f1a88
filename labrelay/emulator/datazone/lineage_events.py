"""Lineage events: PostLineageEvent, GetLineageEvent, ListLineageEvents.

Only run events of OpenLineage are taken, checked against its specification (2-0-2) as far as lineage is made of it.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labrelay.emulator.asking import idempotent
from labrelay.emulator.datazone.lineage_nodes import add_event
from labrelay.emulator.datazone.naming import (
    EVENT,
    USER,
    datazone_operation,
    domain_of,
    invalid,
    new_id,
    numbered,
    thing,
)
from labrelay.emulator.operation import Params
from labrelay.emulator.service import Service, timestamp
from labrelay.emulator.state import Transaction

MOST_BYTES = 300_000
STATES = ("START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER")
ONLY_RUNS = "Only open-lineage run event are supported"


@datazone_operation("PostLineageEvent")
def post_lineage_event(service: Service, asked: Params) -> Params:
    """Take an event; on AWS it is worked off after the answer, here before."""
    text = _bytes(asked["event"])
    event = _read(text)
    request = {**asked, "event": text.decode()}

    def make(state: Transaction) -> Params:
        domain = domain_of(state, asked)
        body = {"id": new_id(), "domainId": domain, "event": text.decode(), "createdBy": USER}
        body |= {"eventTime": _moment(event["eventTime"]), "createdAt": timestamp(), "processingStatus": "SUCCESS"}
        add_event(state, domain, event, body["eventTime"])
        state.put(EVENT, body["id"], body | {"status": "SUCCESS"}, domain)
        return {"id": body["id"], "domainId": domain}

    return idempotent(service, "datazone:PostLineageEvent", request, make)


@datazone_operation("GetLineageEvent")
def get_lineage_event(service: Service, asked: Params) -> Params:
    """Return an event as it was posted."""
    with service.state.read() as state:
        body = thing(state, EVENT, asked["identifier"], domain_of(state, asked), "LineageEvent")
    return body | {"event": body["event"].encode()}


@datazone_operation("ListLineageEvents")
def list_lineage_events(service: Service, asked: Params) -> Params:
    """Return a page of events by their own time, the newest first unless asked otherwise."""
    with service.state.read() as state:
        bodies = list(state.each(EVENT, domain_of(state, asked), status=asked.get("processingStatus")))
    after, before = asked.get("timestampAfter", ""), asked.get("timestampBefore", "9")
    kept = [body for body in bodies if after <= body["eventTime"] <= before]
    kept.sort(key=lambda body: str(body["eventTime"]), reverse=asked.get("sortOrder") != "ASCENDING")
    items, token = numbered([_summary(body) for body in kept], asked)
    return {"items": items, "nextToken": token}


def _summary(body: Params) -> Params:
    event = json.loads(body["event"])
    about = {"eventType": event["eventType"], "runId": event["run"]["runId"], "job": _named(event["job"])}
    sides = {side: [_named(each) for each in event.get(side) or []] for side in ("inputs", "outputs")}
    members = ("id", "domainId", "processingStatus", "eventTime", "createdBy", "createdAt")
    shown = {name: body[name] for name in members}
    return shown | {"eventSummary": {"openLineageRunEventSummary": about | sides}}


def _named(item: Params) -> Params:
    return {"namespace": item["namespace"], "name": item["name"]}


def _bytes(given: bytes | Path) -> bytes:
    """Return the bytes of an event; it comes over the wire as a stream, whose length the model does not check."""
    size = given.stat().st_size if isinstance(given, Path) else len(given)
    if size > MOST_BYTES:
        why = f"Member must have length less than or equal to {MOST_BYTES}"
        raise invalid(f"1 validation error detected: Value at 'event' failed to satisfy constraint: {why}")
    return given.read_bytes() if isinstance(given, Path) else given


def _read(text: bytes) -> Params:
    """Return a run event.

    Raises:
        Failure: `ValidationException`; it is no JSON, no run event, or is not as the specification says.
    """
    try:
        event: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise invalid("The lineage event is not JSON") from None
    if not isinstance(event, dict) or not isinstance(event.get("run"), dict) or not isinstance(event.get("job"), dict):
        raise invalid(ONLY_RUNS)
    problems = [f"{name} is missing" for name in ("eventTime", "producer", "schemaURL") if not _text(event.get(name))]
    if event.get("eventType") not in STATES:
        problems.append(f"eventType is none of {', '.join(STATES)}")
    if not _is_uuid(event["run"].get("runId")):
        problems.append("run.runId is no UUID")
    if _text(event.get("eventTime")) and _moment(event["eventTime"]) == "":
        problems.append("eventTime is no time")
    for at, item in _items(event):
        if not isinstance(item, dict) or not _text(item.get("namespace")) or not _text(item.get("name")):
            problems.append(f"{at} needs namespace and name")
    if problems:
        raise invalid(f"The lineage event is invalid: {'; '.join(problems)}")
    return event


def _items(event: Params) -> list[tuple[str, Any]]:
    items: list[tuple[str, Any]] = [("job", event["job"])]
    for side in ("inputs", "outputs"):
        given = event.get(side) or []
        items += [(f"{side}[{i}]", each) for i, each in enumerate(given)] if isinstance(given, list) else [(side, None)]
    return items


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_uuid(value: Any) -> bool:
    try:
        return bool(uuid.UUID(value))
    except (ValueError, TypeError, AttributeError):
        return False


def _moment(text: str) -> str:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return ""
    known = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return known.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
