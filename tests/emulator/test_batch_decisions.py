"""What Batch decides without looking at anything: retries, containers, and the faults that a plan asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, HTTPClientError
from emulated_batch import SIZE, serving

from labrelay.emulator.batch.container import container_of, substituted, vcpus_of
from labrelay.emulator.batch.retries import is_retried, matches
from labrelay.emulator.faults import Plan, read_plan
from labrelay.model.errors import UsageError

LOST = "Host EC2 (instance i-0123) terminated."
EXITED = "Essential container in task exited"
SPOT_ONLY = [{"onStatusReason": "Host EC2*", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}]


@pytest.mark.parametrize(
    ("strategy", "attempts", "code", "status_reason", "retried"),
    [
        (None, 1, 1, EXITED, False),
        ({}, 1, 1, EXITED, False),
        ({"attempts": 2}, 1, 1, EXITED, True),
        ({"attempts": 2}, 2, 1, EXITED, False),
        ({"attempts": 3, "evaluateOnExit": SPOT_ONLY}, 1, None, LOST, True),
        ({"attempts": 3, "evaluateOnExit": SPOT_ONLY}, 1, 1, EXITED, False),
        ({"attempts": 3, "evaluateOnExit": SPOT_ONLY[:1]}, 1, 1, EXITED, True),  # nothing fits: tried again
        ({"attempts": 3, "evaluateOnExit": [{"onExitCode": "1*", "action": "EXIT"}]}, 1, 137, EXITED, False),
        ({"attempts": 3, "evaluateOnExit": [{"onExitCode": "1", "action": "EXIT"}]}, 1, 137, EXITED, True),
        (
            {"attempts": 3, "evaluateOnExit": [{"onExitCode": "1", "onStatusReason": "Host*", "action": "EXIT"}]},
            1,
            1,
            EXITED,
            True,  # both have to fit
        ),
    ],
)
def test_a_retry_follows_from_the_strategy(
    strategy: Any, attempts: int, code: int | None, status_reason: str, retried: bool
) -> None:
    assert is_retried(strategy, attempts, code, "", status_reason) is retried


def test_a_glob_ends_with_an_asterisk_or_is_the_whole() -> None:
    assert matches("host ec2*", LOST)
    assert not matches("Host", LOST)
    assert matches("*", "")


def test_a_placeholder_is_replaced_wherever_it_stands_and_stays_without_a_value() -> None:
    parameters = {"in": "s3://lab/a", "x-y": "1"}
    assert substituted("cp Ref::in Ref::x-y Ref::none", parameters) == "cp s3://lab/a 1 Ref::none"


def test_overrides_change_what_they_name_and_leave_the_rest() -> None:
    properties = {
        "image": "busybox",
        "command": ["a"],
        "vcpus": 2,
        "memory": 512,
        "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
    }
    overrides = {"resourceRequirements": [SIZE[0]], "environment": [{"name": "B", "value": "3"}], "command": ["b"]}
    container = container_of(properties, overrides, {})
    assert vcpus_of(container) == 1
    assert {"type": "MEMORY", "value": "512"} in container["resourceRequirements"]
    assert container["environment"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "3"}]
    assert container["command"] == ["b"]


PLAN = """
rates = { SubmitJob = 1.0 }
[[fault]]
operation = "DescribeJobQueues"
do = "throttle"
times = 1
[[fault]]
operation = "batch:ListTagsForResource"
do = "fail"
[[fault]]
operation = "ListJobs"
do = "lose"
[[fault]]
job = "align-*"
do = "lose-host"
seconds = 0.1
times = 1
"""


def test_a_plans_faults_happen_to_batch_in_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(PLAN)
    with serving(tmp_path / "data", plan=read_plan(tmp_path / "plan.toml")) as lab:
        with pytest.raises(ClientError) as throttled:
            lab.batch.describe_job_queues()
        answer = throttled.value.response
        assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (
            "TooManyRequestsException",
            429,
        )
        assert lab.batch.describe_job_queues()["jobQueues"] == []
        with pytest.raises(lab.batch.exceptions.ServerException) as broken:
            lab.batch.list_tags_for_resource(resourceArn="arn:aws:batch:us-east-1:123456789012:job-queue/q")
        assert broken.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
        lab.furnish()
        with pytest.raises(HTTPClientError):
            lab.batch.list_jobs(jobQueue="main")
        key = lab.submit("sleep 100", jobName="align-1")
        with pytest.raises(ClientError, match="Too Many Requests"):
            lab.submit()
        assert lab.wait(key)["statusReason"].startswith("Host EC2 (instance i-")


def test_a_plan_with_a_mistake_about_jobs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text('[[fault]]\njob = "a"\ndo = "throttle"\n[[fault]]\njob = "a"\nevent = "b"\n')
    with pytest.raises(UsageError, match=r"do is one of lose-host.*fault 2: names either"):
        read_plan(tmp_path / "plan.toml")


def test_calls_of_batch_are_counted_apart_from_those_of_healthomics() -> None:
    plan = Plan(rates={"TagResource": 0.001})
    assert [plan.on_call("TagResource", "batch") for _ in range(3)] == [None, None, None]
    assert plan.on_call("TagResource") is None
    assert plan.on_call("TagResource") is not None
