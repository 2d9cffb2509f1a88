"""Envelopes of EventBridge, parsed as hostile: whoever can write to the queue can write anything."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from labrelay.model.errors import RefusedInput
from labrelay.model.problem import Frozen, Problem
from labrelay.model.runs import EngineStatus

EVENT_ID = re.compile(r"[A-Za-z0-9-]{1,100}\Z")
MAX_BYTES = 262_144  # what EventBridge and SQS carry


class Envelope(Frozen):
    """What EventBridge says around an event: which, of what, when, and the event's own words."""

    event_id: str
    source: str
    kind: str
    at: datetime
    detail: dict[str, Any]


class RunEvent(Frozen):
    """That a run changed its state.

    Attributes:
        external_id: As its engine gave it; None when the event does not tell it whole, and the engine has to be asked.
        event_id: The same for an event that comes twice.
        at: When EventBridge says that it happened.
        status: None when the engine has to be asked, because the event does not say enough to judge an end by.
    """

    external_id: str | None
    event_id: str
    at: datetime
    status: EngineStatus | None


def open_envelope(body: bytes | str, sources: Mapping[str, str]) -> Envelope | None:
    """Return an envelope that is about what is listened to, or None when it is about something else.

    Args:
        body: The message of the queue, JSON.
        sources: By source, the detail-type that is listened to.

    Raises:
        RefusedInput: It is no envelope, or one with parts that EventBridge does not send.
    """
    told = _object(body)
    source, kind = told.get("source"), told.get("detail-type")
    if not isinstance(source, str) or sources.get(source) != kind:
        return None
    detail, at = told.get("detail"), _time(told.get("time"))
    wrong = [name for name, fine in (("id", matches(EVENT_ID, told.get("id"))), ("time", at is not None)) if not fine]
    if wrong or at is None:
        raise not_believed(f"its {', '.join(wrong)} cannot be an event's")
    return Envelope(
        event_id=str(told["id"]),
        source=source,
        kind=str(kind),
        at=at,
        detail=detail if isinstance(detail, dict) else {},
    )


def matches(pattern: re.Pattern[str], value: Any) -> bool:
    """Tell whether a value is text that fits a pattern."""
    return isinstance(value, str) and bool(pattern.match(value))


def not_believed(why: str) -> RefusedInput:
    """Return the refusal of an event."""
    return RefusedInput("The event", [Problem(code="EVENT_INVALID", message=f"It is not believed: {why}.")])


def _object(body: bytes | str) -> Mapping[str, Any]:
    if len(body) > MAX_BYTES:
        raise not_believed(f"it has more than {MAX_BYTES:,} bytes")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise not_believed("it is no JSON") from None
    if not isinstance(value, dict):
        raise not_believed("it is no JSON object")
    return value


def _time(value: Any) -> datetime | None:
    try:
        at = datetime.fromisoformat(value)
        return None if at.tzinfo is None else at.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):  # the last: a moment before the year 1 in UTC
        return None
