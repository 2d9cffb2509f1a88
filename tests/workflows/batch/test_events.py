"""An event of Batch is believed only when every part of it can be one of a job of ours."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from labrelay.model.errors import RefusedInput
from labrelay.model.states import RunState
from labrelay.workflows.batch.events import KIND, SOURCE, job_event
from labrelay.workflows.eventbridge import RunEvent, open_envelope

JOB = "0f0f0f0f-1111-2222-3333-444444444444"
TOKEN = f"{'a1' * 20}-1"


def told(**detail: Any) -> RunEvent | None:
    known = {
        "jobName": f"labrelay-0a1b2c3d-{TOKEN}",
        "jobId": JOB,
        "status": "RUNNING",
        "startedAt": 5000,
        "createdAt": 1000,
    }
    body = {
        "version": "0",
        "id": "64ca0eda-9751-dc55-c41a-1bd50b4fc9b7",
        "detail-type": KIND,
        "source": SOURCE,
        "time": "2026-11-01T12:00:00Z",
        "detail": known | detail,
    }
    envelope = open_envelope(json.dumps(body), {SOURCE: KIND})
    assert envelope is not None
    return job_event(envelope)


def test_a_job_that_runs_is_told_with_its_own_time() -> None:
    event = told()
    assert event is not None
    assert event.external_id == f"{JOB}/{TOKEN}"
    assert event.status is not None
    assert (event.status.state, event.status.at) == (RunState.RUNNING, datetime.fromtimestamp(5, UTC))


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "A_NEW_ONE"])
def test_an_end_has_to_be_asked_for(status: str) -> None:
    event = told(status=status)
    assert event is not None
    assert event.status is None


def test_a_child_of_an_array_job_is_ours_and_has_to_be_asked_for() -> None:
    event = told(jobName=f"labrelay-0a1b2c3d-array-{'b2' * 20}", jobId=f"{JOB}:7")
    assert event is not None
    assert event.external_id is None


@pytest.mark.parametrize(
    "name",
    ["nightly", "labrelay-", f"labrelay-{TOKEN}", f"labrelay-0a1b2c3d-{TOKEN}/../x", f"labrelay-0a1b2c3d-{TOKEN}\n"],
)
def test_a_job_of_another_name_is_none_of_ours(name: str) -> None:
    assert told(jobName=name) is None


@pytest.mark.parametrize("wrong", [{"jobId": "../etc"}, {"jobName": 7}, {"status": None}])
def test_parts_that_batch_does_not_send_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(RefusedInput, match="not believed"):
        told(**wrong)


def test_a_moment_that_no_clock_can_say_is_not_believed() -> None:
    event = told(startedAt=10**20)
    assert event is not None
    assert event.status is not None
    assert event.status.at == datetime.fromtimestamp(1, UTC), "the job's other time"
