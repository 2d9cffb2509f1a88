"""What Batch says of a job, and what it means for the run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from labrelay.model.states import RunState
from labrelay.workflows.batch.states import (
    CANCELLED,
    exit_code,
    judge,
    log_stream,
    moment_of,
    sentence,
    state_of,
    state_time,
)


def failed(reason: str | None = None, code: int | None = None, **more: Any) -> dict[str, Any]:
    container = {key: value for key, value in (("reason", reason), ("exitCode", code)) if value is not None}
    return {"status": "FAILED", "container": container, **more}


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("SUBMITTED", RunState.QUEUED),
        ("PENDING", RunState.QUEUED),
        ("RUNNABLE", RunState.QUEUED),
        ("STARTING", RunState.INITIALIZING),
        ("RUNNING", RunState.RUNNING),
        ("SUCCEEDED", RunState.COMPLETE),
        ("A_NEW_ONE", RunState.UNKNOWN),
    ],
)
def test_each_state_of_a_job_is_one_of_ours(status: str, state: RunState) -> None:
    assert state_of({"status": status}) is state


@pytest.mark.parametrize(
    ("job", "state", "words"),
    [
        (failed(code=65), RunState.EXECUTOR_ERROR, "its log says why"),
        (failed(code=1), RunState.EXECUTOR_ERROR, "Labrelay has to be in its image"),
        (failed(code=2), RunState.EXECUTOR_ERROR, "exit code 2"),
        (failed(code=75), RunState.SYSTEM_ERROR, "could not be carried out"),
        (failed(code=143), RunState.SYSTEM_ERROR, "ended from outside"),
        (failed("OutOfMemoryError: Container killed due to memory usage", 137), RunState.EXECUTOR_ERROR, "memory_gib"),
        (failed(code=137), RunState.SYSTEM_ERROR, "ended from outside"),
        (failed(statusReason="Host EC2 (instance i-1) terminated."), RunState.SYSTEM_ERROR, "host was lost"),
        (failed(statusReason="Job attempt duration exceeded timeout"), RunState.EXECUTOR_ERROR, "raise `minutes`"),
        (failed("CannotPullContainerError: no such image"), RunState.SYSTEM_ERROR, "could not be pulled"),
        (failed("CannotStartContainerError: nothing"), RunState.SYSTEM_ERROR, "CannotStartContainerError"),
        (failed(), RunState.SYSTEM_ERROR, "no reason"),
        (failed(code=137, statusReason=CANCELLED), RunState.CANCELED, "a person asked for it"),
        (failed(code=143, isTerminated=True, statusReason="by hand"), RunState.EXECUTOR_ERROR, "by hand"),
        (failed(isCancelled=True, statusReason="MISCONFIGURATION:X"), RunState.EXECUTOR_ERROR, "MISCONFIGURATION"),
    ],
)
def test_the_reason_of_a_failure_decides_whether_a_new_attempt_can_help(
    job: dict[str, Any], state: RunState, words: str
) -> None:
    verdict = judge(job)
    assert verdict.state is state
    assert words in verdict.why
    assert state_of(job) is state


def test_a_retried_jobs_last_attempt_tells_code_and_log() -> None:
    attempts = [{"container": {"exitCode": 75}}, {"container": {"exitCode": 1, "logStreamName": "a/default/2"}}]
    assert exit_code({"attempts": attempts}) == 1
    assert log_stream({"attempts": attempts}) == "a/default/2"
    assert (exit_code({}), log_stream({})) == (None, None)


def test_the_time_of_a_state_is_the_jobs_own() -> None:
    job = {"createdAt": 1000, "startedAt": 2000, "stoppedAt": 3000}
    moments = [state_time({"status": status, **job}) for status in ("RUNNABLE", "RUNNING", "FAILED")]
    assert moments == [datetime.fromtimestamp(n, UTC) for n in (1, 2, 3)]
    assert state_time({"status": "FAILED", "createdAt": 1000}) == datetime.fromtimestamp(1, UTC)


@pytest.mark.parametrize("said", [None, 0, -1, "1000", 10**18])
def test_a_time_that_cannot_be_is_none(said: object) -> None:
    assert moment_of({"startedAt": said}, "startedAt") is None


def test_the_sentence_ends_with_the_last_words_of_the_log() -> None:
    assert sentence("it failed", tuple(f"line {n}" for n in range(30))).splitlines()[-1] == "line 29"
    assert len(sentence("it failed", tuple(f"line {n}" for n in range(30))).splitlines()) == 13
