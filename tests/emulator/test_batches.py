from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from emulated_runs import ROLE, SAY, RunLab, until
from emulated_storage import forget_objects

from labrelay.emulator.operation import Failure


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, s3_url: str) -> Iterator[RunLab]:
    forget_objects(s3_url)
    with RunLab(tmp_path_factory.mktemp("emulated batches"), s3_url).working() as working:
        yield working


@pytest.fixture(scope="module")
def say(lab: RunLab) -> str:
    return lab.workflow(SAY)


def start(lab: RunLab, workflow: str, settings: Any, **default: Any) -> str:
    usual = {"workflowId": workflow, "roleArn": ROLE, "outputUri": "s3://lab/batch", "name": "usual", **default}
    given = {"s3UriSettings": settings} if isinstance(settings, str) else {"inlineSettings": settings}
    return str(lab.call("StartRunBatch", defaultRunSetting=usual, batchRunSettings=given, batchName="b")["id"])


def reach(lab: RunLab, batch: str, *wanted: str) -> Any:
    return until(lambda: lab.call("GetBatch", batchId=batch), lambda body: body["status"] in (*wanted, "FAILED"))


def test_a_batch_starts_a_run_for_each_setting_and_says_what_became_of_it(lab: RunLab, say: str) -> None:
    settings = [
        {"runSettingId": "good", "parameters": {"script": "echo own"}, "runTags": {"own": "1"}},
        {"runSettingId": "bad", "parameters": {"no_such_parameter": 1}},
        {"runSettingId": "failing", "name": "own name", "parameters": {"script": "exit 4"}},
    ]
    batch = start(lab, say, settings, parameters={"script": "true"}, runTags={"all": "1"})
    done = reach(lab, batch, "PROCESSED")
    assert (done["status"], done["totalRuns"]) == ("PROCESSED", 3)
    assert done["submissionSummary"]["successfulStartSubmissionCount"] == 2
    assert done["submissionSummary"]["failedStartSubmissionCount"] == 1
    assert (done["runSummary"]["completedRunCount"], done["runSummary"]["failedRunCount"]) == (1, 1)
    rows = {row["runSettingId"]: row for row in lab.call("ListRunsInBatch", batchId=batch)["runs"]}
    assert rows["bad"]["submissionFailureReason"] == "ValidationException"
    good = lab.call("GetRun", id=rows["good"]["runId"])
    assert (good["batchId"], good["name"], good["parameters"]) == (batch, "usual", {"script": "echo own"})
    assert good["tags"] == {"all": "1", "own": "1"}
    assert lab.call("GetRun", id=rows["failing"]["runId"])["name"] == "own name"
    listed = lab.call("ListRuns", batchId=batch)["items"]
    assert {run["id"] for run in listed} == {rows["good"]["runId"], rows["failing"]["runId"]}


def test_settings_come_from_s3_and_what_is_wrong_with_them_fails_the_batch(lab: RunLab, say: str) -> None:
    good = lab.put("batch/good.json", json.dumps([{"runSettingId": "a"}, {"runSettingId": "b"}]).encode())
    assert reach(lab, start(lab, say, good), "PROCESSED")["runSummary"]["completedRunCount"] == 2
    twice = lab.put("batch/twice.json", json.dumps([{"runSettingId": "a"}, {"runSettingId": "a"}]).encode())
    failed = reach(lab, start(lab, say, twice))
    assert failed["failureReason"] == "Expected 2 unique runSettingIds but there were 1"
    broken = lab.put("batch/broken.json", b"[{")
    assert reach(lab, start(lab, say, broken))["failureReason"] == "Invalid JSON format in run configurations"


def test_a_batch_is_cancelled_and_its_runs_are_deleted(lab: RunLab, say: str) -> None:
    settings = [{"runSettingId": str(n), "parameters": {"script": "sleep 60"}} for n in range(4)]
    batch = start(lab, say, settings)
    reach(lab, batch, "INPROGRESS")
    with pytest.raises(Failure, match="ConflictException"):
        lab.call("DeleteBatch", batchId=batch)
    with pytest.raises(Failure, match="ConflictException"):
        lab.call("DeleteRunBatch", batchId=batch)
    lab.call("CancelRunBatch", batchId=batch)
    done = reach(lab, batch, "CANCELLED")
    assert done["runSummary"]["cancelledRunCount"] == 4
    assert done["submissionSummary"]["successfulCancelSubmissionCount"] == 4
    lab.call("DeleteRunBatch", batchId=batch)
    gone = reach(lab, batch, "RUNS_DELETED")
    assert gone["runSummary"]["deletedRunCount"] == 4
    assert lab.call("ListRuns", batchId=batch)["items"] == []
    lab.call("DeleteBatch", batchId=batch)
    with pytest.raises(Failure, match="ResourceNotFoundException"):
        lab.call("GetBatch", batchId=batch)


def test_batches_are_listed_by_one_filter(lab: RunLab, say: str) -> None:
    batch = start(lab, say, [{"runSettingId": "x"}])
    assert batch in [one["id"] for one in lab.call("ListBatch", name="b")["items"]]
    assert lab.call("ListBatch", name="another")["items"] == []
    with pytest.raises(Failure, match="Only one filter"):
        lab.call("ListBatch", name="b", status="FAILED")
    reach(lab, batch, "PROCESSED")
