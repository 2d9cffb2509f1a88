"""EventBridge's word on a HealthOmics run."""

from __future__ import annotations

import re
from typing import Any

from labrelay.model.runs import EngineStatus
from labrelay.workflows.eventbridge import Envelope, RunEvent, matches, not_believed
from labrelay.workflows.healthomics.states import STATES

SOURCE, KIND = "aws.omics", "Run Status Change"
RUN_ID = re.compile(r"[0-9]{1,18}\Z")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


def run_event(envelope: Envelope) -> RunEvent:
    """Return what an event says of a run; its external id is `<run id>/<uuid>`.

    An end has no status here: an event names no failure reason, so that it cannot tell whether a new attempt would
    help, and does not know whether a completed run has outputs.

    Raises:
        RefusedInput: It has parts that HealthOmics does not send.
    """
    detail = envelope.detail
    run_id, uuid = detail.get("runId") or _run_of(detail.get("arn")), detail.get("uuid")
    wrong = [
        name
        for name, fine in (
            ("detail.runId", matches(RUN_ID, run_id)),
            ("detail.uuid", matches(UUID, uuid)),
            ("detail.status", isinstance(detail.get("status"), str)),
        )
        if not fine
    ]
    if wrong:
        raise not_believed(f"its {', '.join(wrong)} cannot be a run's event")
    state = None if detail["status"] == "COMPLETED" else STATES.get(str(detail["status"]))
    return RunEvent(
        external_id=f"{run_id}/{uuid}",
        event_id=envelope.event_id,
        at=envelope.at,
        status=None if state is None else EngineStatus(state=state, at=envelope.at),
    )


def _run_of(arn: Any) -> str:
    return arn.rpartition(":run/")[2] if isinstance(arn, str) else ""
