"""What `doctor --aws` says of Batch."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from labrelay.steps.doctor import Health
from labrelay.steps.doctor_batch import examine_batch
from labrelay.steps.settings import Settings

WHOLE = {
    "batch_queue": "lab",
    "batch_image": "labrelay:1",
    "batch_role_arn": "arn:aws:iam::111122223333:role/jobs",
    "outputs_url": "s3://lab/runs",
    "batch_file_system": "fs-1",
}


class Account:
    """Batch that knows one queue."""

    def __init__(self, state: str = "ENABLED") -> None:
        self._client = boto3.client("batch", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
        arn = "arn:aws:batch:us-east-1:111122223333:job-queue/lab"
        queue = {"jobQueueName": "lab", "jobQueueArn": arn, "state": state, "status": "VALID", "priority": 1}
        stub = Stubber(self._client)
        stub.add_response("describe_job_queues", {"jobQueues": [queue | {"computeEnvironmentOrder": []}]})
        stub.activate()

    def client(self, _service: str) -> Any:
        return self._client


def told(state: str = "ENABLED", **changed: Any) -> list[tuple[Health, str]]:
    values = {name: value for name, value in (WHOLE | changed).items() if value is not None}
    return [(each.health, each.text) for each in examine_batch(Settings(**values), Account(state))]  # type: ignore[arg-type]


def test_a_queue_that_takes_jobs_is_well() -> None:
    assert told() == [(Health.OK, "the job queue lab takes jobs")]
    assert told(batch_queue="arn:aws:batch:us-east-1:111122223333:job-queue/lab")[0][0] is Health.OK


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"batch_queue_high": "gone"}, "there is no job queue gone"),
        ({"batch_image": None}, "batch_image is not set"),
        ({"state": "DISABLED"}, "takes no jobs: it is DISABLED"),
    ],
)
def test_what_keeps_runs_from_batch_is_named(changed: dict[str, Any], words: str) -> None:
    broken = [text for health, text in told(**changed) if health is Health.BROKEN]
    assert len(broken) == 1
    assert words in broken[0]


def test_a_home_without_batch_is_told_so_and_one_without_a_file_system_what_that_costs() -> None:
    unset = told(batch_queue=None, batch_image=None, batch_role_arn=None)
    assert [health for health, _text in unset] == [Health.NOTE]
    assert "begins anew" in told(batch_file_system=None)[1][1]
