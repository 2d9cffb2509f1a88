"""EventBridge's word on a job of AWS Batch."""

from __future__ import annotations

import re

from labrelay.model.runs import EngineStatus
from labrelay.workflows.batch.order import PREFIX
from labrelay.workflows.batch.states import STATES, state_time
from labrelay.workflows.eventbridge import Envelope, RunEvent, matches, not_believed

SOURCE, KIND = "aws.batch", "Batch Job State Change"
JOB_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(:[0-9]{1,5})?\Z")
OURS = re.compile(rf"{PREFIX}[0-9a-f]{{8}}-(?:array-[0-9a-f]{{40}}|(?P<token>[0-9a-f]{{40}}-[0-9]{{1,9}}))\Z")


def job_event(envelope: Envelope) -> RunEvent | None:
    """Return what an event says of a job, None when it is none of ours.

    The name of an array job does not tell the tokens of its children; for these, and for ends, Batch has to be asked.

    Raises:
        RefusedInput: It has parts that Batch does not send.
    """
    detail = envelope.detail
    name = detail.get("jobName")
    if not isinstance(name, str) or not isinstance(detail.get("status"), str):
        raise not_believed("its detail.jobName, detail.status cannot be a job's event")
    ours = OURS.match(name)
    if ours is None:
        return None
    if not matches(JOB_ID, detail.get("jobId")):
        raise not_believed("its detail.jobId cannot be a job's event")
    state = None if detail["status"] in ("SUCCEEDED", "FAILED") else STATES.get(str(detail["status"]))
    return RunEvent(
        external_id=f"{detail['jobId']}/{ours['token']}" if ours["token"] else None,
        event_id=envelope.event_id,
        at=envelope.at,
        # The job's own time, as a look at it would say.
        status=None if state is None else EngineStatus(state=state, at=state_time(detail)),
    )
