"""The whole emulator as a process: S3, queues, events, roles and identity through the one port; kills and restarts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest
from botocore.exceptions import ClientError
from emulated import LOOPBACK, Emulated, client
from obstore.store import S3Store

from labrelay.emulator.launch import detach, read_running, running, stop
from labrelay.model.errors import UsageError

PATTERN = json.dumps({"source": ["aws.omics"], "detail-type": ["Sequence Store Status Change"]})
QUEUE_ARN = "arn:aws:sqs:us-east-1:123456789012:events"


def test_bytes_go_to_s3_and_back(emulator: Emulated) -> None:
    s3 = emulator.client("s3")
    s3.create_bucket(Bucket="there-and-back")
    for key in ("plain", "Grüße aus/dem + Labor %20", "a//b"):
        s3.put_object(Bucket="there-and-back", Key=key, Body=key.encode(), ChecksumAlgorithm="CRC64NVME")
        assert s3.get_object(Bucket="there-and-back", Key=key)["Body"].read() == key.encode()
    head = s3.head_object(Bucket="there-and-back", Key="plain", ChecksumMode="ENABLED")
    assert head["ContentLength"] == 5
    assert head["ChecksumCRC64NVME"]
    assert s3.get_object(Bucket="there-and-back", Key="plain", Range="bytes=1-2")["Body"].read() == b"la"
    with pytest.raises(ClientError) as caught:
        s3.put_object(Bucket="there-and-back", Key="plain", Body=b"other", IfNoneMatch="*")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert "there-and-back" in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}


def test_a_wrong_checksum_is_refused(emulator: Emulated) -> None:
    s3 = emulator.client("s3")
    s3.create_bucket(Bucket="checked")
    with pytest.raises(ClientError, match="BadDigest"):
        s3.put_object(Bucket="checked", Key="x", Body=b"abc", ChecksumSHA256="A" * 43 + "=")


def test_parts_of_an_upload_become_one_object(emulator: Emulated, tmp_path: Path) -> None:
    s3 = emulator.client("s3")
    s3.create_bucket(Bucket="large")
    (tmp_path / "large").write_bytes(os.urandom(1 << 20) * 12)
    s3.upload_file(str(tmp_path / "large"), "large", "object")
    s3.download_file("large", "object", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == (tmp_path / "large").read_bytes()


def test_obstore_and_presigned_addresses_work(emulator: Emulated) -> None:
    s3 = emulator.client("s3")
    s3.create_bucket(Bucket="obstored")
    store = S3Store(
        "obstored",
        endpoint=emulator.endpoint,
        region="us-east-1",
        access_key_id="emulator",
        secret_access_key="emulator",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )
    obstore.put(store, "sub/ü x", b"bytes")
    assert bytes(obstore.get(store, "sub/ü x").bytes()) == b"bytes"
    assert [entry["path"] for entry in obstore.list(store).collect()] == ["sub/ü x"]
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "obstored", "Key": "sub/ü x"})
    with LOOPBACK.open(url) as answer:
        assert answer.read() == b"bytes"


def test_the_caller_is_known(emulator: Emulated) -> None:
    assert emulator.client("sts").get_caller_identity()["Account"] == "123456789012"


def test_what_happens_in_healthomics_comes_out_of_a_queue(emulator: Emulated) -> None:
    url = subscribe(emulator.endpoint)
    store = emulator.client("omics").create_sequence_store(name="announced")["id"]
    body = next_event(emulator.endpoint, url)
    assert body["source"] == "aws.omics"
    assert body["account"] == "123456789012"
    assert body["region"] == "us-east-1"
    assert store in json.dumps(body["detail"])
    assert store in body["resources"][0]
    assert emulator.counts()["CreateSequenceStore"] >= 1


def subscribe(endpoint: str) -> str:
    sqs, events = client("sqs", endpoint), client("events", endpoint)
    url: str = sqs.create_queue(QueueName="events")["QueueUrl"]
    events.put_rule(Name="to-the-queue", EventPattern=PATTERN)
    events.put_targets(Rule="to-the-queue", Targets=[{"Id": "queue", "Arn": QUEUE_ARN}])
    return url


def next_event(endpoint: str, url: str) -> dict[str, Any]:
    messages = client("sqs", endpoint).receive_message(QueueUrl=url, WaitTimeSeconds=10).get("Messages", [])
    assert messages, "no event came"
    client("sqs", endpoint).delete_message(QueueUrl=url, ReceiptHandle=messages[0]["ReceiptHandle"])
    body: dict[str, Any] = json.loads(messages[0]["Body"])
    return body


@pytest.mark.slow
def test_a_kill_loses_nothing_that_was_acknowledged_and_leaves_no_process(tmp_path: Path) -> None:
    data = tmp_path / "data"
    first = detach(data)
    try:
        with pytest.raises(UsageError, match="another emulator runs on"):
            detach(data)
        assert read_running(data) == first
        endpoint = first.endpoint
        client("s3", endpoint).create_bucket(Bucket="kept")
        client("s3", endpoint).put_object(Bucket="kept", Key="x", Body=b"bytes")
        store = client("omics", endpoint).create_sequence_store(name="kept")["id"]
        url = subscribe(endpoint)
        client("sqs", endpoint).create_queue(QueueName="gone")
        client("sqs", endpoint).delete_queue(QueueUrl=url.replace("events", "gone"))
        client("iam", endpoint).create_role(RoleName="Runs", AssumeRolePolicyDocument='{"Statement": []}')
        assert first.pid is not None
        os.kill(first.pid, signal.SIGKILL)
        wait_until(lambda: not processes_of(data))
        second = detach(data)
        assert second.endpoint == endpoint
        assert client("s3", endpoint).get_object(Bucket="kept", Key="x")["Body"].read() == b"bytes"
        assert client("omics", endpoint).get_sequence_store(id=store)["name"] == "kept"
        assert client("sqs", endpoint).list_queues()["QueueUrls"] == [url]
        assert client("iam", endpoint).get_role(RoleName="Runs")["Role"]["RoleName"] == "Runs"
        client("omics", endpoint).create_sequence_store(name="after")
        assert next_event(endpoint, url)["source"] == "aws.omics"
    finally:
        stopped = stop(data)
    assert stopped
    assert not processes_of(data)
    assert not stop(data)


@pytest.mark.slow
def test_it_ends_with_the_process_that_asked_for_it(tmp_path: Path) -> None:
    text = (
        "import sys, time; from pathlib import Path; from labrelay.emulator.launch import running\n"
        "with running(Path(sys.argv[1])): print('ready', flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", text, str(tmp_path / "data")], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    with owner.stdout:
        assert owner.stdout.readline() == b"ready\n"
        owner.kill()
        owner.wait()
    wait_until(lambda: not processes_of(tmp_path / "data"))


@pytest.mark.slow
def test_it_does_not_go_on_without_its_s3_and_says_so(tmp_path: Path) -> None:
    data = tmp_path / "data"
    found = detach(data)
    try:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            words = path.read_bytes().split(b"\0") if path.exists() else [b""]
            if words[0].endswith(b"/weed") and f"-dir={data}/s3".encode() in words:
                os.kill(int(path.parent.name), signal.SIGKILL)
        wait_until(lambda: not found.lives())
    finally:
        stop(data)
    assert "seaweedfs ended by itself, so the emulator stopped" in (data / "emulator.log").read_text()
    assert not processes_of(data)


def test_a_port_that_is_taken_is_said_so_and_nothing_is_left(emulator: Emulated, tmp_path: Path) -> None:
    port = emulator.endpoint.rpartition(":")[2]
    with (
        pytest.raises(UsageError, match=f"port {port} .* choose another with --port"),
        running(tmp_path / "data", "--port", port),
    ):
        pass
    assert not processes_of(tmp_path / "data")


def processes_of(data: Path) -> list[str]:
    return [line for line in command_lines() if str(data) in line]


def command_lines() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if path.parent.name != str(os.getpid()):
            yield line


def wait_until(true: Any, seconds: float = 15.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.05)
