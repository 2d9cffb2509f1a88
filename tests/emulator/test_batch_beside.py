"""Batch in a whole emulator: its jobs use S3 as their role would let them, and their states come out of a queue."""

from __future__ import annotations

import json
from typing import Any

from emulated import Emulated
from emulated_batch import BatchLab
from emulated_runs import until

COPY = """
import boto3
s3 = boto3.client("s3")
given = s3.get_object(Bucket="batch-lab", Key="in.txt")["Body"].read()
s3.put_object(Bucket="batch-lab", Key="out.txt", Body=given.upper())
"""


def test_a_job_reads_and_writes_objects_and_its_states_come_out_of_a_queue(emulator: Emulated) -> None:
    lab, s3 = BatchLab(emulator.endpoint, emulator.folder), emulator.client("s3")
    url, before = subscribe(emulator), emulator.counts().get("batch:SubmitJob", 0)
    s3.create_bucket(Bucket="batch-lab")
    s3.put_object(Bucket="batch-lab", Key="in.txt", Body=b"reads")
    lab.furnish()
    lab.define("copy", ["python", "-c", COPY])
    job = lab.wait(lab.submit(jobDefinition="copy"))
    assert job["status"] == "SUCCEEDED", lab.said(job)
    assert s3.get_object(Bucket="batch-lab", Key="out.txt")["Body"].read() == b"READS"
    told: list[Any] = []
    until(lambda: told.extend(received(emulator, url)) or told, lambda told: len(told) >= 5)
    assert [event["detail"]["status"] for event in told] == [
        "SUBMITTED",
        "RUNNABLE",
        "STARTING",
        "RUNNING",
        "SUCCEEDED",
    ]
    assert {(event["source"], event["detail-type"]) for event in told} == {("aws.batch", "Batch Job State Change")}
    assert told[-1]["detail"]["attempts"] == job["attempts"]
    assert emulator.counts()["batch:SubmitJob"] == before + 1


def subscribe(emulator: Emulated) -> str:
    sqs, events = emulator.client("sqs"), emulator.client("events")
    url: str = sqs.create_queue(QueueName="batch-beside")["QueueUrl"]
    events.put_rule(Name="batch-beside", EventPattern=json.dumps({"source": ["aws.batch"]}))
    arn = "arn:aws:sqs:us-east-1:123456789012:batch-beside"
    events.put_targets(Rule="batch-beside", Targets=[{"Id": "queue", "Arn": arn}])
    return url


def received(emulator: Emulated, url: str) -> list[Any]:
    asked = {"QueueUrl": url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 2}
    return [json.loads(found["Body"]) for found in emulator.client("sqs").receive_message(**asked).get("Messages", [])]
