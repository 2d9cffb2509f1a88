"""A report tells what happened, whatever part of what the run left is missing or makes no sense."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from labrelay.model.runs import RunReport
from labrelay.model.states import RunState
from labrelay.workflows.healthomics.logs import last_lines, manifest, stream_of
from labrelay.workflows.healthomics.pricing import load_prices
from labrelay.workflows.healthomics.report import report_of, run_costs

from .conftest import BEGAN, Account, run_details, uuid_of

MANIFEST = {"logGroupName": "/aws/omics/WorkflowLog", "logStreamName": f"manifest/run/1/{uuid_of(1)}"}


def task(number: int, status: str, minutes: float = 2, **more: Any) -> dict[str, Any]:
    return {
        "taskId": str(number),
        "name": "align",
        "status": status,
        "cpus": 4,
        "memory": 8,
        "instanceType": "omics.c.xlarge",
        "creationTime": BEGAN + timedelta(seconds=number),
        "startTime": BEGAN,
        "stopTime": BEGAN + timedelta(minutes=minutes),
        **more,
    }


def lines(*messages: str) -> dict[str, Any]:
    return {"events": [{"message": message} for message in messages], "nextForwardToken": "end"}


def has_manifest(account: Account, *entries: dict[str, Any]) -> None:
    account.says(
        "logs",
        "get_log_events",
        lines("no json", *(json.dumps(e) for e in entries)),
        {**MANIFEST, "startFromHead": True},
    )
    account.says("logs", "get_log_events", lines(), {**MANIFEST, "startFromHead": True, "nextToken": "end"})


def no_logs(account: Account, times: int = 1) -> None:
    for _ in range(times):
        account.fails(
            "logs", "get_log_events", "ResourceNotFoundException", 400, "The specified log stream does not exist."
        )


def report(account: Account, folder: Path, run: dict[str, Any]) -> RunReport:
    return report_of(account, run, folder, load_prices("us-east-1"))  # type: ignore[arg-type]


def failed(account: Account, tasks: list[dict[str, Any]], **said: str) -> dict[str, Any]:
    """Let a run have failed with these tasks, no manifest and no engine log in S3."""
    no_logs(account)
    account.says("omics", "list_run_tasks", {"items": tasks})
    return run_details(1, "FAILED", **said)


def test_each_try_of_a_task_is_told_apart_and_paid_for(account: Account, tmp_path: Path) -> None:
    run = failed(
        account, [task(12, "FAILED"), task(11, "FAILED"), task(13, "COMPLETED")], failureReason="RUN_TASK_FAILED"
    )
    account.says(
        "omics", "get_run_task", {"statusMessage": "exit 1", "logStream": "run/1/task/11"}, {"id": "1", "taskId": "11"}
    )
    account.says("logs", "get_log_events", lines("first"))
    account.says("omics", "get_run_task", {"statusMessage": "exit 2"}, {"id": "1", "taskId": "12"})
    account.says("logs", "get_log_events", lines("second", "words"))
    account.says("s3", "list_objects_v2", {})
    found = report(account, tmp_path, run)
    assert [each.name for each in found.tasks] == ["align", "align, try 2", "align, try 3"]
    assert [item.what for item in found.costs] == [f"task {t.name} (omics.c.xlarge)" for t in found.tasks]
    assert str(found.failure).startswith("the task align, try 2 failed (RUN_TASK_FAILED)")
    assert str(found.failure).endswith("HealthOmics says: exit 2\nsecond\nwords")
    assert [Path(path).read_text() for path in found.logs] == ["first\n", "second\nwords\n"]


def test_a_failure_before_any_task_ends_with_the_engines_words(account: Account, tmp_path: Path) -> None:
    stream = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/omics/WorkflowLog:log-stream:run/1/engine"
    run = failed(account, [], failureReason="WORKFLOW_RUN_FAILED", statusMessage="Review the log.")
    run["logLocation"] = {"engineLogStream": stream}
    account.says("s3", "list_objects_v2", {})
    asked = {
        "logGroupName": "/aws/omics/WorkflowLog",
        "logStreamName": "run/1/engine",
        "limit": 20,
        "startFromHead": False,
    }
    account.says("logs", "get_log_events", lines("ERROR no such function"), asked)
    found = report(account, tmp_path, run)
    assert str(found.failure).startswith("the run failed (WORKFLOW_RUN_FAILED)")
    assert str(found.failure).endswith("ERROR no such function")


def test_details_that_may_not_be_seen_do_not_hide_the_failure(account: Account, tmp_path: Path) -> None:
    run = failed(account, [task(1, "FAILED")], failureReason="RUN_TASK_FAILED", statusMessage="The task failed.")
    account.fails("omics", "get_run_task", "AccessDeniedException", 403)
    account.fails("s3", "list_objects_v2", "AccessDenied", 403)
    found = report(account, tmp_path, run)
    assert "The task failed." in str(found.failure)
    assert found.logs == ()


def test_the_manifest_says_what_ran_and_what_was_used(account: Account, tmp_path: Path) -> None:
    used = {"cpusReserved": 4, "cpusMaximum": 1, "cpusAverage": 0.5, "runningSeconds": 120}
    metrics = {**used, "memoryReservedGiB": 8, "memoryMaximumGiB": 0.5}
    entry = {
        "arn": "arn:aws:omics:us-east-1:1:task/5",
        "imageDigest": "sha256:ab",
        "image": "x/y:1",
        "metrics": metrics,
    }
    about = {"arn": "arn:aws:omics:us-east-1:1:run/1", "metrics": {"storageAverageGiB": 10.0}}
    has_manifest(account, about, entry)
    account.says("omics", "list_run_tasks", {"items": [task(5, "CANCELLED")]})
    account.says("s3", "list_objects_v2", {})
    found = report(account, tmp_path, run_details(1, "CANCELLED"))
    (only,) = found.tasks
    assert (only.ran_in, only.declared_image, only.state) == ("sha256:ab", "x/y:1", RunState.CANCELED)
    assert (only.cpu_seconds, only.peak_memory_bytes) == (60, 1 << 29)
    storage = found.costs[-1]
    assert (storage.what, storage.quantity) == ("run storage (DYNAMIC)", pytest.approx(5.0))  # 10 GiB for half an hour
    assert found.advice[0].suggestion.startswith("2 vCPU would do")
    assert found.failure == "the run was cancelled; a cancelled run of HealthOmics exports nothing"


def test_completed_with_nothing_is_no_result(account: Account, tmp_path: Path) -> None:
    no_logs(account)
    account.says("omics", "list_run_tasks", {"items": []})
    account.fails("s3", "get_object", "NoSuchKey", 404)
    for _ in range(4):
        account.says("s3", "list_objects_v2", {})
    found = report(account, tmp_path, run_details(1, "COMPLETED", storageType="STATIC"))
    assert found.state is RunState.EXECUTOR_ERROR
    assert "wrote no output" in str(found.failure)
    assert [item.what for item in found.costs] == ["run storage (STATIC)"]


def test_static_storage_is_paid_for_from_start_to_stop() -> None:
    run = run_details(1, "FAILED", storageType="STATIC")
    (storage,) = run_costs(run, [], load_prices("us-east-1"))
    assert storage.quantity == 600  # 1200 GiB, the least, for half an hour


def test_a_run_that_never_started_costs_nothing() -> None:
    assert (
        run_costs(
            run_details(1, "PENDING", storageType="STATIC"), [task(1, "PENDING", startTime=None)], load_prices("x")
        )
        == ()
    )


def test_a_log_stream_may_be_named_by_its_arn_or_alone() -> None:
    arn = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/omics/WorkflowLog:log-stream:run/1/task/2"
    assert stream_of(arn) == ("/aws/omics/WorkflowLog", "run/1/task/2")
    assert stream_of("run/1") == ("/aws/omics/WorkflowLog", "run/1")


def test_a_log_that_cannot_be_read_is_empty(account: Account) -> None:
    assert last_lines(account, None) == ()  # type: ignore[arg-type]
    account.fails("logs", "get_log_events", "AccessDeniedException", 400)
    assert last_lines(account, "run/1") == ()  # type: ignore[arg-type]


def test_entries_of_a_manifest_that_make_no_sense_are_passed_over(account: Account) -> None:
    has_manifest(account, {"arn": "a"}, ["no object"])  # type: ignore[arg-type]
    assert manifest(account, "1", uuid_of(1)) == [{"arn": "a"}]  # type: ignore[arg-type]
