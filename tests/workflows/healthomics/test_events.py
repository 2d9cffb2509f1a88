"""An event is believed only when every part of it can be one of EventBridge's."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from labrelay.model.errors import RefusedInput
from labrelay.model.states import RunState
from labrelay.workflows.eventbridge import RunEvent, open_envelope
from labrelay.workflows.healthomics.events import KIND, SOURCE, run_event

from .conftest import uuid_of


def parse_event(body: bytes | str) -> RunEvent | None:
    envelope = open_envelope(body, {SOURCE: KIND})
    return None if envelope is None else run_event(envelope)


def envelope(**detail: Any) -> dict[str, Any]:
    arn = "arn:aws:omics:us-east-1:123456789012:run/77"
    known = {"omicsVersion": "1.0.0", "arn": arn, "status": "RUNNING", "uuid": uuid_of(7), "runId": "77"}
    return {
        "version": "0",
        "id": "64ca0eda-9751-dc55-c41a-1bd50b4fc9b7",
        "detail-type": "Run Status Change",
        "source": "aws.omics",
        "account": "123456789012",
        "time": "2026-11-01T12:00:00Z",
        "region": "us-east-1",
        "resources": [arn],
        "detail": known | detail,
    }


def test_a_run_that_goes_on_is_told_with_its_state_and_time() -> None:
    event = parse_event(json.dumps(envelope()))
    assert event is not None
    assert event.external_id == f"77/{uuid_of(7)}"
    assert event.event_id == "64ca0eda-9751-dc55-c41a-1bd50b4fc9b7"
    assert event.at == datetime(2026, 11, 1, 12, tzinfo=UTC)
    assert event.status is not None
    assert (event.status.state, event.status.at) == (RunState.RUNNING, event.at)


@pytest.mark.parametrize("status", ["FAILED", "COMPLETED", "DELETED", "A_NEW_STATE"])
def test_an_end_that_an_event_cannot_judge_has_to_be_asked_for(status: str) -> None:
    event = parse_event(json.dumps(envelope(status=status)))
    assert event is not None
    assert event.status is None


def test_the_runs_id_may_stand_in_its_arn_alone() -> None:
    event = parse_event(json.dumps(envelope(runId=None)))
    assert event is not None
    assert event.external_id.startswith("77/")


@pytest.mark.parametrize("other", [{"source": "aws.s3"}, {"detail-type": "Task Status Change"}, {"detail-type": 7}])
def test_what_is_not_about_a_run_is_none_of_ours(other: dict[str, Any]) -> None:
    assert parse_event(json.dumps(envelope() | other)) is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"id": "x" * 101}, "id"),
        ({"id": None}, "id"),
        ({"time": "yesterday"}, "time"),
        ({"time": "0001-01-01T00:00:00+23:59"}, "time"),
        ({"time": "2026-11-01T12:00:00"}, "time"),
        ({"detail": envelope(runId="77; rm -rf")["detail"]}, "detail.runId"),
        ({"detail": envelope(runId="9" * 19)["detail"]}, "detail.runId"),
        ({"detail": envelope(uuid="../../etc")["detail"]}, "detail.uuid"),
        ({"detail": envelope(status=["RUNNING"])["detail"]}, "detail.status"),
        ({"detail": "RUNNING"}, "detail.runId"),
    ],
)
def test_a_part_that_eventbridge_does_not_send_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(RefusedInput, match=named):
        parse_event(json.dumps(envelope() | change))


@pytest.mark.parametrize("body", [b"", b"\xff", "[]", "{" * 100_000, "[" * 100_000, " " * 300_000])
def test_what_is_no_json_object_is_refused(body: bytes | str) -> None:
    with pytest.raises(RefusedInput):
        parse_event(body)
