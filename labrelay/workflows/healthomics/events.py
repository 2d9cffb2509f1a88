"""EventBridge's word on a HealthOmics run, parsed as hostile: whoever can write to the queue can write anything."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from labrelay.model.errors import RefusedInput
from labrelay.model.problem import Frozen, Problem
from labrelay.model.runs import EngineStatus
from labrelay.workflows.healthomics.states import STATES

SOURCE, KIND = "aws.omics", "Run Status Change"
RUN_ID = re.compile(r"[0-9]{1,18}\Z")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
EVENT_ID = re.compile(r"[A-Za-z0-9-]{1,100}\Z")
MAX_BYTES = 262_144  # what EventBridge and SQS carry


class RunEvent(Frozen):
    """That a run changed its state.

    Attributes:
        external_id: Of the engine `healthomics`, `<run id>/<uuid>`.
        event_id: The same for an event that comes twice.
        at: When EventBridge says that it happened.
        status: None when the engine has to be asked: an event names no failure reason, so that it cannot tell whether
            a new attempt would help, and does not know whether a completed run has outputs.
    """

    external_id: str
    event_id: str
    at: datetime
    status: EngineStatus | None


def parse_event(body: bytes | str) -> RunEvent | None:
    """Return what an EventBridge envelope says of a run, or None when it is about something else.

    Args:
        body: The message of the queue, JSON.

    Raises:
        RefusedInput: It is no envelope, or one with parts that EventBridge does not send.
    """
    envelope = _object(body)
    if envelope.get("source") != SOURCE or envelope.get("detail-type") != KIND:
        return None
    detail = envelope.get("detail")
    detail = detail if isinstance(detail, dict) else {}
    at = _time(envelope.get("time"))
    run_id, uuid = detail.get("runId") or _run_of(detail.get("arn")), detail.get("uuid")
    wrong = [
        name
        for name, fine in (
            ("id", _matches(EVENT_ID, envelope.get("id"))),
            ("time", at is not None),
            ("detail.runId", _matches(RUN_ID, run_id)),
            ("detail.uuid", _matches(UUID, uuid)),
            ("detail.status", isinstance(detail.get("status"), str)),
        )
        if not fine
    ]
    if wrong or at is None:
        raise _refused(f"its {', '.join(wrong)} cannot be a run's event")
    state = None if detail["status"] == "COMPLETED" else STATES.get(str(detail["status"]))
    return RunEvent(
        external_id=f"{run_id}/{uuid}",
        event_id=str(envelope["id"]),
        at=at,
        status=None if state is None else EngineStatus(state=state, at=at),
    )


def _object(body: bytes | str) -> Mapping[str, Any]:
    if len(body) > MAX_BYTES:
        raise _refused(f"it has more than {MAX_BYTES:,} bytes")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise _refused("it is no JSON") from None
    if not isinstance(value, dict):
        raise _refused("it is no JSON object")
    return value


def _time(value: Any) -> datetime | None:
    try:
        at = datetime.fromisoformat(value)
        return None if at.tzinfo is None else at.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):  # the last: a moment before the year 1 in UTC
        return None


def _run_of(arn: Any) -> str:
    return arn.rpartition(":run/")[2] if isinstance(arn, str) else ""


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and bool(pattern.match(value))


def _refused(why: str) -> RefusedInput:
    return RefusedInput("The event", [Problem(code="EVENT_INVALID", message=f"It is not believed: {why}.")])
