"""Queues of the emulated Batch that take jobs."""

from __future__ import annotations

import time
from typing import Any


def enabled_queue(batch: Any, name: str) -> None:
    """Make a compute environment and a job queue that takes jobs."""
    resources = {
        "type": "EC2", "maxvCpus": 16, "instanceTypes": ["optimal"], "subnets": ["subnet-1"],
        "securityGroupIds": ["sg-1"], "instanceRole": "arn:aws:iam::123456789012:instance-profile/ecs",
    }  # fmt: skip
    role = "arn:aws:iam::123456789012:role/batch"
    batch.create_compute_environment(
        computeEnvironmentName=name, type="MANAGED", computeResources=resources, serviceRole=role
    )
    while (
        batch.describe_compute_environments(computeEnvironments=[name])["computeEnvironments"][0]["status"] != "VALID"
    ):
        time.sleep(0.05)
    order = [{"order": 1, "computeEnvironment": name}]
    batch.create_job_queue(jobQueueName=name, priority=1, computeEnvironmentOrder=order)
    while batch.describe_job_queues(jobQueues=[name])["jobQueues"][0]["status"] != "VALID":
        time.sleep(0.05)
