"""A running emulator, which the tests of one process share as `emulator`: what they make in it has names of their own.

def test_something(emulator: Emulated) -> None:
    emulator.client("s3").create_bucket(Bucket="something")

A file that says what a whole account holds takes `own_emulator`.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from labrelay.emulator.launch import Running, read_running, running

LOOPBACK = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass
class Emulated:
    """A running emulator.

    Attributes:
        endpoint: Where it answers.
        folder: Its data folder.
    """

    endpoint: str
    folder: Path
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """Return a boto3 client that tries once, so that a test sees the first answer."""
        if service not in self._clients:
            self._clients[service] = client(service, self.endpoint)
        return self._clients[service]

    def counts(self) -> dict[str, int]:
        """Return how often each operation was called since the start; others than ours are `s3`, `sqs:SendMessage` …"""
        with LOOPBACK.open(f"{self.endpoint}/_labrelay/counts") as answer:
            counted: dict[str, int] = json.load(answer)
        return counted

    def lose_host(self, job: str) -> bool:
        """Let the machine of a Batch job's attempt go away; return whether there was one."""
        return lose_host(self.endpoint, job)

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which any AWS client uses it."""
        found = read_running(self.folder)
        assert isinstance(found, Running)
        return found.environment()


def lose_host(endpoint: str, job: str) -> bool:
    """Let the machine of a Batch job's attempt go away; return whether there was one."""
    signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=x/20261124/us-east-1/batch/aws4_request"}
    url = f"{endpoint}/_labrelay/batch/lose-host?job={job}"
    with LOOPBACK.open(urllib.request.Request(url, b"", signed, method="POST")) as answer:
        return bool(json.load(answer)["lost"])


def client(service: str, endpoint: str, **config: Any) -> Any:
    """Return a boto3 client of an emulator."""
    wanted: dict[str, Any] = {"retries": {"max_attempts": 0}, "inject_host_prefix": False, "proxies": {}, **config}
    keys = {"aws_access_key_id": "emulator", "aws_secret_access_key": "emulator"}
    return boto3.client(service, endpoint_url=endpoint, region_name="us-east-1", config=Config(**wanted), **keys)


@contextmanager
def emulated(folder: Path) -> Iterator[Emulated]:
    """Run an emulator while the block lasts."""
    with running(folder) as endpoint:
        yield Emulated(endpoint, folder)
