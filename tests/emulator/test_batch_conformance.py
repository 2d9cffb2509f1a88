"""Every operation of Batch that is emulated, by plain boto3, and every answer held against botocore's service model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from emulated_batch import RESOURCES, SIZE, BatchLab, serving
from response_model import Recorder

from labrelay.emulator.operation import HANDLERS
from labrelay.emulator.routing import service_model

PLACES = """
CreateComputeEnvironment DescribeComputeEnvironments UpdateComputeEnvironment DeleteComputeEnvironment
CreateJobQueue DescribeJobQueues UpdateJobQueue DeleteJobQueue
TagResource UntagResource ListTagsForResource
"""
JOBS = """
RegisterJobDefinition DescribeJobDefinitions DeregisterJobDefinition
SubmitJob DescribeJobs ListJobs CancelJob TerminateJob
"""
EMULATED = set(f"{PLACES} {JOBS}".split())
# The model requires it of every job; Batch leaves it out of one that has not started, as its own examples show.
LEFT_OUT = re.compile(r"(as parsed, )?jobs\[\d+\]\.startedAt is required and missing")
GONE = "arn:aws:batch:us-east-1:123456789012:job-queue/none"
NO_JOB = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BatchLab]:
    with serving(tmp_path_factory.mktemp("batch") / "data") as made:
        made.furnish()
        yield made


def test_every_operation_answers_as_the_service_model_says(lab: BatchLab) -> None:
    assert set(HANDLERS["batch"]) == EMULATED
    batch, recorder = lab.batch, Recorder(lab.batch)
    make_places(batch)
    definition = make_definition(batch)
    submit_and_look(lab, definition)
    tag(batch)
    delete_all(batch, definition)
    assert recorder.succeeded() == EMULATED
    found = {
        name: [each for each in all_ if not LEFT_OUT.fullmatch(each)] for name, all_ in recorder.problems().items()
    }
    assert {name: problems for name, problems in found.items() if problems} == {}


def make_places(batch: Any) -> None:
    name, tags = "tour-env", {"project": "flu"}
    spot = {**RESOURCES, "type": "SPOT", "instanceRole": "ecsInstanceRole", "instanceTypes": ["optimal"], "minvCpus": 0}
    batch.create_compute_environment(computeEnvironmentName=name, type="MANAGED", computeResources=spot, tags=tags)
    batch.update_compute_environment(computeEnvironment=name, computeResources={"maxvCpus": 8})
    [environment] = batch.describe_compute_environments(computeEnvironments=[name])["computeEnvironments"]
    assert (environment["status"], environment["computeResources"]["maxvCpus"]) == ("VALID", 8)
    assert environment["computeResources"]["subnets"] == ["subnet-1"]
    order = [{"order": 1, "computeEnvironment": name}]
    batch.create_job_queue(jobQueueName="tour", priority=7, computeEnvironmentOrder=order, tags=tags)
    batch.update_job_queue(jobQueue="tour", priority=9)
    [queue] = batch.describe_job_queues(jobQueues=["tour", "no-such-queue"])["jobQueues"]
    assert (queue["priority"], queue["state"], queue["status"]) == (9, "ENABLED", "VALID")
    [entry] = queue["computeEnvironmentOrder"]
    assert entry["computeEnvironment"] == environment["computeEnvironmentArn"]


def make_definition(batch: Any) -> str:
    container = {
        "image": "busybox",
        "command": ["echo", "Ref::word", "to Ref::whom"],
        "resourceRequirements": SIZE,
        "environment": [{"name": "A", "value": "a"}],
        "jobRoleArn": "arn:aws:iam::123456789012:role/Job",
        "volumes": [{"name": "v", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}],
        "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-stream-prefix": "mine"}},
    }
    asked = {"type": "container", "parameters": {"word": "hello", "whom": "x"}, "tags": {"project": "flu"}}
    retry = {"attempts": 2, "evaluateOnExit": [{"onExitCode": "1", "action": "EXIT"}]}
    made = [
        batch.register_job_definition(
            jobDefinitionName="tour", containerProperties=container, retryStrategy=retry, **asked
        )
        for _ in range(3)
    ]
    assert [each["revision"] for each in made] == [1, 2, 3]
    page = batch.describe_job_definitions(jobDefinitionName="tour", status="ACTIVE", maxResults=2)
    more = batch.describe_job_definitions(
        jobDefinitionName="tour", status="ACTIVE", maxResults=2, nextToken=page["nextToken"]
    )
    assert [each["revision"] for each in (*page["jobDefinitions"], *more["jobDefinitions"])] == [1, 2, 3]
    assert "nextToken" not in more
    [found] = batch.describe_job_definitions(jobDefinitions=["tour:2"])["jobDefinitions"]
    assert found["containerProperties"]["command"] == container["command"]
    return str(made[2]["jobDefinitionArn"])


def submit_and_look(lab: BatchLab, definition: str) -> None:
    batch = lab.batch
    one = batch.submit_job(
        jobName="One-job", jobQueue="tour", jobDefinition="tour", parameters={"whom": "you"}, tags={"a": "b"}
    )
    waiting = lab.submit(jobName="waits", jobQueue="tour", dependsOn=[{"jobId": one["jobId"]}])
    lab.job(waiting)
    batch.cancel_job(jobId=waiting, reason="no need")
    job = lab.wait(one["jobId"])
    assert (job["jobDefinition"], job["container"]["command"]) == (definition, ["echo", "hello", "to you"])
    assert job["container"]["logStreamName"].startswith("mine/default/")
    assert lab.said(job) == ["hello to you"]
    array = lab.submit(jobQueue="tour", arrayProperties={"size": 3})
    lab.wait(array)
    batch.terminate_job(jobId=array, reason="it has ended, which is no error")
    batch.list_jobs(arrayJobId=array, jobStatus="SUCCEEDED", maxResults=2)
    batch.describe_jobs(jobs=[f"{array}:1", NO_JOB])
    batch.list_jobs(jobQueue="tour", jobStatus="SUCCEEDED")


def tag(batch: Any) -> None:
    [queue] = batch.describe_job_queues(jobQueues=["tour"])["jobQueues"]
    own = queue["jobQueueArn"]
    batch.tag_resource(resourceArn=own, tags={"more": "tags"})
    batch.untag_resource(resourceArn=own, tagKeys=["project"])
    assert batch.list_tags_for_resource(resourceArn=own)["tags"] == {"more": "tags"}


def delete_all(batch: Any, definition: str) -> None:
    for attempt in ({"jobQueue": "tour"}, {"computeEnvironment": "tour-env"}):
        method = "delete_job_queue" if "jobQueue" in attempt else "delete_compute_environment"
        with pytest.raises(batch.exceptions.ClientException, match="disable it first"):
            getattr(batch, method)(**attempt)
    batch.update_compute_environment(computeEnvironment="tour-env", state="DISABLED")
    with pytest.raises(batch.exceptions.ClientException, match="found existing JobQueue relationship"):
        batch.delete_compute_environment(computeEnvironment="tour-env")
    batch.update_job_queue(jobQueue="tour", state="DISABLED")
    batch.delete_job_queue(jobQueue="tour")
    batch.delete_compute_environment(computeEnvironment="tour-env")
    batch.deregister_job_definition(jobDefinition=definition)
    assert batch.describe_job_queues(jobQueues=["tour"])["jobQueues"] == []


JOB = {"jobName": "j", "jobQueue": "main", "jobDefinition": "shell"}
GOOD = {"image": "busybox", "resourceRequirements": SIZE}
DEFINITION = {"jobDefinitionName": "d", "type": "container", "containerProperties": GOOD}
ODD = {**GOOD, "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "100"}]}
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("submit_job", {**JOB, "jobName": "a b"}, "jobName has 1 to 128 letters"),
    ("submit_job", {**JOB, "jobName": "-a"}, "begins with a letter or digit"),
    ("submit_job", {**JOB, "jobName": "x" * 129}, "jobName has 1 to 128 letters"),
    ("submit_job", {**JOB, "jobQueue": "none"}, "The job queue none does not exist"),
    ("submit_job", {**JOB, "jobDefinition": "none"}, "The job definition none does not exist"),
    ("submit_job", {**JOB, "jobDefinition": "shell:99"}, "The job definition shell:99 does not exist"),
    ("submit_job", {**JOB, "arrayProperties": {"size": 1}}, "is 2 to 10000, not 1"),
    ("submit_job", {**JOB, "arrayProperties": {"size": 10_001}}, "is 2 to 10000, not 10001"),
    ("submit_job", {**JOB, "timeout": {"attemptDurationSeconds": 59}}, "at least 60, not 59"),
    ("submit_job", {**JOB, "retryStrategy": {"attempts": 11}}, "attempts is 1 to 10, not 11"),
    ("submit_job", {**JOB, "retryStrategy": {"attempts": 0}}, "attempts is 1 to 10, not 0"),
    ("submit_job", {**JOB, "dependsOn": [{"jobId": NO_JOB}] * 21}, "at most 20 jobs, not 21"),
    ("submit_job", {**JOB, "dependsOn": [{"jobId": NO_JOB}]}, f"The job {NO_JOB} does not exist"),
    ("submit_job", {**JOB, "dependsOn": [{"type": "SEQUENTIAL"}]}, "SEQUENTIAL is for array jobs"),
    ("submit_job", {**JOB, "parameters": {"a": "x" * 30_720}}, "Job size must be less than 30 KiB, got 31 KiB"),
    (
        "register_job_definition",
        {**DEFINITION, "parameters": {"a": "x" * 24_576}},
        "Job definition size must be less than 24 KiB, got 25 KiB",
    ),
    ("submit_job", {**JOB, "shareIdentifier": "x"}, "shareIdentifier is not emulated"),
    (
        "submit_job",
        {**JOB, "containerOverrides": {"environment": [{"name": "AWS_BATCH_X", "value": ""}]}},
        "cannot begin with AWS_BATCH",
    ),
    ("describe_jobs", {"jobs": [NO_JOB] * 101}, "at most 100 ids, not 101"),
    ("describe_job_definitions", {"jobDefinitions": ["a:1"], "status": "ACTIVE"}, "cannot be used with other"),
    ("describe_job_definitions", {"maxResults": 101}, "maxResults is 1 to 100, not 101"),
    ("list_jobs", {}, "Name exactly one of jobQueue"),
    ("list_jobs", {"jobQueue": "main", "filters": [{"name": "SIZE", "values": ["1"]}]}, "one of the names JOB_NAME"),
    ("list_jobs", {"jobQueue": "main", "nextToken": "x"}, "nextToken is not one"),
    ("cancel_job", {"jobId": NO_JOB, "reason": "r"}, "does not exist"),
    ("terminate_job", {"jobId": NO_JOB, "reason": "r"}, "does not exist"),
    ("register_job_definition", {"jobDefinitionName": "d", "type": "container"}, "containerProperties are required"),
    ("register_job_definition", {**DEFINITION, "type": "multinode"}, "Only job definitions of the type container"),
    ("register_job_definition", {**DEFINITION, "eksProperties": {}}, "Only job definitions of the type container"),
    ("register_job_definition", {**DEFINITION, "jobDefinitionName": "a/b"}, "jobDefinitionName has 1 to 128"),
    (
        "register_job_definition",
        {**DEFINITION, "containerProperties": {"image": "x"}},
        "Container properties have vCPUs and memory",
    ),
    (
        "register_job_definition",
        {**DEFINITION, "platformCapabilities": ["FARGATE"], "containerProperties": ODD},
        "Fargate has no 1 vCPU with 100 MiB",
    ),
    (
        "register_job_definition",
        {**DEFINITION, "containerProperties": {**GOOD, "mountPoints": [{"sourceVolume": "v", "containerPath": "/v"}]}},
        "names no volume",
    ),
    ("deregister_job_definition", {"jobDefinition": "shell"}, "Name a revision"),
    ("create_job_queue", {"jobQueueName": "main", "priority": 1, "computeEnvironmentOrder": []}, "exists already"),
    ("create_job_queue", {"jobQueueName": "q", "priority": 1, "computeEnvironmentOrder": []}, "1 to 3 entries, not 0"),
    (
        "create_compute_environment",
        {"computeEnvironmentName": "all", "type": "MANAGED", "computeResources": RESOURCES},
        "exists already",
    ),
    ("create_compute_environment", {"computeEnvironmentName": "x", "type": "MANAGED"}, "computeResources are required"),
    ("list_tags_for_resource", {"resourceArn": GONE}, "does not exist"),
    ("create_scheduling_policy", {"name": "x"}, "CreateSchedulingPolicy of AWS Batch is not emulated"),
]


@pytest.mark.parametrize(("method", "asked", "words"), REFUSED)
def test_what_batch_refuses_is_refused_as_batch_does_it(
    lab: BatchLab, method: str, asked: dict[str, Any], words: str
) -> None:
    recorder = Recorder(lab.batch)
    with pytest.raises(lab.batch.exceptions.ClientException) as caught:
        getattr(lab.batch, method)(**asked)
    assert words in caught.value.response["Error"]["Message"]
    answer = recorder.answers[-1]
    assert (answer.status, answer.problems()) == (400, [])
    assert b"__type" not in (answer.body or b"")


def test_an_operation_that_is_not_emulated_says_so_whichever_it_is(lab: BatchLab) -> None:
    asked = {"jobQueue": "main"}
    with pytest.raises(ClientError, match="GetJobQueueSnapshot of AWS Batch is not emulated"):
        lab.batch.get_job_queue_snapshot(**asked)
    assert set(service_model("batch").operation_names) > EMULATED


def test_a_disabled_queue_and_an_inactive_definition_take_no_jobs(lab: BatchLab) -> None:
    lab.queue("closed", priority=1, state="DISABLED")
    with pytest.raises(lab.batch.exceptions.ClientException, match="DISABLED and takes no jobs"):
        lab.submit(jobQueue="closed")
    first, second = lab.define("old", ["true"]), lab.define("old", ["true"])
    lab.batch.deregister_job_definition(jobDefinition=second)
    with pytest.raises(lab.batch.exceptions.ClientException, match="is INACTIVE"):
        lab.submit(jobDefinition=second)
    assert lab.job(lab.submit(jobDefinition="old"))["jobDefinition"] == first
    lab.batch.deregister_job_definition(jobDefinition="old:1")
    with pytest.raises(lab.batch.exceptions.ClientException, match="no revision of it is ACTIVE"):
        lab.submit(jobDefinition="old")


def test_jobs_are_listed_by_filters_newest_first_whatever_their_state(lab: BatchLab) -> None:
    lab.queue("listed", priority=1)
    other = lab.define("other", ["false"])
    first = lab.submit(jobName="align-A", jobQueue="listed")
    second = lab.submit(jobName="align-b", jobQueue="listed", jobDefinition="other")
    third = lab.submit(jobName="call", jobQueue="listed", dependsOn=[{"jobId": first}])
    for key in (first, second, third):
        lab.wait(key)

    def listed(name: str, value: str, **asked: Any) -> list[str]:
        filters = [{"name": name, "values": [value]}]
        pages = lab.batch.get_paginator("list_jobs").paginate(jobQueue="listed", filters=filters, **asked)
        return [job["jobId"] for page in pages for job in page["jobSummaryList"]]

    assert listed("JOB_NAME", "ALIGN-*", jobStatus="RUNNING") == [second, first]
    assert listed("JOB_NAME", "align-a") == [first]
    assert listed("JOB_NAME", "*", PaginationConfig={"PageSize": 1}) == [third, second, first]
    assert listed("JOB_DEFINITION", "oth*") == listed("JOB_DEFINITION", other) == [second]
    assert listed("JOB_DEFINITION", "sh") == []
    moment = str(lab.job(second)["createdAt"])
    assert third in listed("AFTER_CREATED_AT", moment)
    assert first in listed("BEFORE_CREATED_AT", str(int(moment) + 1))
    assert first not in listed("AFTER_CREATED_AT", moment)


def test_a_deleted_queue_takes_its_jobs_with_it(lab: BatchLab) -> None:
    lab.queue("short-lived", priority=1)
    running = lab.submit("sleep 100", jobQueue="short-lived")
    lab.wait(running, "RUNNING")
    waiting = lab.submit(jobQueue="short-lived", dependsOn=[{"jobId": running}])
    lab.batch.update_job_queue(jobQueue="short-lived", state="DISABLED")
    lab.batch.delete_job_queue(jobQueue="short-lived")
    assert [lab.wait(key)["status"] for key in (running, waiting)] == ["FAILED", "FAILED"]
