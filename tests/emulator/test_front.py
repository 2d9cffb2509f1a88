"""The one port as boto3 sees it: typed errors, empty answers, streams both ways, counts, logs, faults."""

from __future__ import annotations

import hashlib
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from emulated import LOOPBACK
from served import SIGNED, Served, served

from labrelay.emulator import logs
from labrelay.emulator.faults import Fault, Plan
from labrelay.emulator.operation import OPERATIONS, Failure, Params, Slice
from labrelay.emulator.service import Service
from labrelay.emulator.wire import call, load_operations

ARN = "arn:aws:omics:us-east-1:123456789012:run/1234567"
STORE = "1234567890"


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path / "data") as found:
        yield found


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let a test answer an operation by a function of its own."""
    load_operations()
    return lambda name, function: monkeypatch.setitem(OPERATIONS, name, function)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ResourceNotFoundException", 404),
        ("ConflictException", 409),
        ("ServiceQuotaExceededException", 402),
        ("AccessDeniedException", 403),
        ("ThrottlingException", 429),
        ("RequestTimeoutException", 408),
        ("InternalServerException", 500),
        ("ValidationException", 400),
    ],
)
def test_a_failure_is_the_typed_exception_of_boto3(front: Served, answered: Any, code: str, status: int) -> None:
    def fail(_service: Service, _asked: Params) -> Params:
        raise Failure(code, "Für Sie nicht.")

    answered("GetRun", fail)
    omics = front.client()
    with pytest.raises(getattr(omics.exceptions, code)) as caught:
        omics.get_run(id="1")
    assert caught.value.response["Error"]["Message"] == "Für Sie nicht."
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert caught.value.response["ResponseMetadata"]["RequestId"]


def test_what_breaks_is_a_server_error_and_the_server_goes_on(front: Served, answered: Any) -> None:
    answered("GetRun", lambda _service, _asked: 1 / 0)
    omics = front.client()
    for _ in range(2):
        with pytest.raises(omics.exceptions.InternalServerException):
            omics.get_run(id="1")


def test_an_operation_of_closed_stores_is_denied_and_others_are_not_emulated(front: Served, answered: Any) -> None:
    omics = front.client()
    with pytest.raises(omics.exceptions.AccessDeniedException, match="closed to new customers"):
        omics.list_variant_stores()
    with pytest.raises(omics.exceptions.InternalServerException, match="ListShares is not emulated"):
        omics.list_shares(resourceOwner="SELF")


def test_a_request_that_no_route_fits_is_unknown(front: Served) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        LOOPBACK.open(urllib.request.Request(f"{front.endpoint}/runs/1", headers=SIGNED))
    assert caught.value.code == 404
    assert caught.value.headers["x-amzn-errortype"] == "UnknownOperationException"
    assert json.load(caught.value)["message"]


@pytest.mark.parametrize("body", [b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_invalid(front: Served, body: bytes) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        LOOPBACK.open(urllib.request.Request(f"{front.endpoint}/referencestore", body, SIGNED, method="POST"))
    assert caught.value.code == 400
    assert caught.value.headers["x-amzn-errortype"] == "ValidationException"


def test_a_204_and_a_202_have_no_body_and_leave_the_connection_usable(front: Served, answered: Any) -> None:
    for name in ("TagResource", "UntagResource", "CancelRun", "ListTagsForResource"):
        answered(name, lambda _service, _asked: {})
    host, port = front.endpoint.removeprefix("http://").split(":")
    arn = ARN.replace(":", "%3A").replace("/", "%2F")
    asked = [
        ("POST", f"/tags/{arn}", '{"tags": {"a": "1"}}', "204 No Content"),
        ("DELETE", f"/tags/{arn}?tagKeys=a&tagKeys=b", "", "204 No Content"),
        ("POST", "/run/1234567/cancel", "", "202 Accepted"),
        ("GET", "/run/1%2F2", "", "400 Bad Request"),
    ]
    signed = f"authorization: {SIGNED['Authorization']}"
    with socket.create_connection((host, int(port))) as connection, connection.makefile("rb") as answers:
        for method, path, body, status in asked:
            lines = (f"{method} {path} HTTP/1.1", "host: localhost", signed, f"content-length: {len(body)}")
            head = "\r\n".join((*lines, "", body))
            connection.sendall(head.encode())
            assert answers.readline().decode().strip() == f"HTTP/1.1 {status}"
            headers = dict(iter(lambda: tuple(answers.readline().decode().strip().split(": ", 1)), ("",)))
            length = int(headers.get("content-length", 0))
            assert (length == 0) == status.startswith("20")
            answers.read(length)


def test_a_part_is_spooled_to_a_file_and_the_file_goes_if_nobody_keeps_it(front: Served, answered: Any) -> None:
    seen: list[tuple[Path, str]] = []

    def take(_service: Service, asked: Params) -> Params:
        digest = hashlib.sha256(asked["payload"].read_bytes()).hexdigest()
        seen.append((asked["payload"], digest))
        return {"checksum": digest}

    answered("UploadReadSetPart", take)
    part = {"sequenceStoreId": STORE, "uploadId": STORE, "partSource": "SOURCE1", "partNumber": 1}
    content = bytes(range(256)) * 20_000
    expected = hashlib.sha256(content).hexdigest()
    assert front.client().upload_read_set_part(**part, payload=content)["checksum"] == expected
    url = f"{front.endpoint}/sequencestore/{STORE}/upload/{STORE}/part?partSource=SOURCE1&partNumber=1"
    # An iterator is sent in chunks, its length unknown.
    chunked = urllib.request.Request(url, iter([content[:5], content[5:]]), SIGNED, method="PUT")
    with LOOPBACK.open(chunked) as answer:
        assert json.load(answer) == {"checksum": expected}
    assert [path.exists() for path, _digest in seen] == [False, False]
    assert seen[0][0].parent == front.service.folder / "incoming"


def test_a_slice_of_a_file_is_streamed_with_its_length(front: Served, answered: Any, tmp_path: Path) -> None:
    file = tmp_path / "reads"
    file.write_bytes(bytes(range(256)) * 20_000)
    answered("GetReadSet", lambda _service, _asked: {"payload": Slice(file, 100, 5_000_000)})
    got = front.client().get_read_set(sequenceStoreId=STORE, id=STORE, partNumber=1)["payload"]
    assert got.read() == file.read_bytes()[100:5_000_100]


def test_the_range_header_reaches_the_function(front: Served, answered: Any, tmp_path: Path) -> None:
    seen: list[Any] = []

    def take(_service: Service, asked: Params) -> Params:
        seen.append(asked)
        (tmp_path / "x").write_bytes(b"abc")
        return {"payload": Slice(tmp_path / "x", 0, 3)}

    answered("GetReference", take)
    front.client().get_reference(id=STORE, referenceStoreId=STORE, partNumber=2, range="bytes=0-2")["payload"].read()
    assert seen == [{"id": STORE, "referenceStoreId": STORE, "partNumber": 2, "range": "bytes=0-2"}]


def test_calls_are_counted_by_operation(front: Served, answered: Any) -> None:
    answered("ListRuns", lambda _service, _asked: {"items": []})
    for _ in range(3):
        front.client().list_runs()
    with LOOPBACK.open(f"{front.endpoint}/_labrelay/counts") as counts:
        assert json.load(counts) == {"ListRuns": 3}
    with LOOPBACK.open(f"{front.endpoint}/_labrelay/health") as health:
        assert json.load(health) == {"status": "ready"}


def test_a_service_that_is_not_there_is_said_so(front: Served) -> None:
    with pytest.raises(ClientError, match="ecr is not emulated"):
        front.client("ecr").describe_repositories()


def test_a_program_beside_that_is_gone_is_a_503(front: Served) -> None:
    with pytest.raises(ClientError) as caught:
        front.client("s3").head_bucket(Bucket="bucket")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503


def test_logs_are_read_from_the_head_from_the_end_and_on_from_a_token(front: Served) -> None:
    logs.append(front.service, "run/1/engine", ((1000 + n, f"line {n}") for n in range(2500)))
    logs.append(front.service, "run/1/task/2", [(5000, "two words"), (6000, "three small words")])
    client = front.client("logs")
    group = {"logGroupName": logs.GROUP}
    streams = client.describe_log_streams(**group, logStreamNamePrefix="run/1")["logStreams"]
    assert [(each["logStreamName"], each["lastEventTimestamp"]) for each in streams] == [
        ("run/1/engine", 3499),
        ("run/1/task/2", 6000),
    ]
    engine = {**group, "logStreamName": "run/1/engine"}
    assert texts(client.get_log_events(**engine, limit=2)) == ["line 2498", "line 2499"]
    page = client.get_log_events(**engine, limit=2, startFromHead=True)
    assert texts(page) == ["line 0", "line 1"]
    page = client.get_log_events(**engine, limit=2, nextToken=page["nextForwardToken"])
    assert texts(page) == ["line 2", "line 3"]
    assert texts(client.get_log_events(**engine, limit=2, nextToken=page["nextBackwardToken"])) == ["line 0", "line 1"]
    assert texts(client.get_log_events(**engine, startTime=1005, endTime=1007)) == ["line 5", "line 6"]
    found = client.filter_log_events(**group, filterPattern='words "three small"')["events"]
    assert [(each["message"], each["logStreamName"]) for each in found] == [("three small words", "run/1/task/2")]


def test_the_end_of_a_log_is_told_by_the_same_token_and_what_comes_later_follows_it(front: Served) -> None:
    client, engine = front.client("logs"), {"logGroupName": logs.GROUP, "logStreamName": "run/1/engine"}
    logs.append(front.service, "run/1/engine", [(1, "x" * 300_000)] * 9)
    token, pages = None, []
    while True:
        page = client.get_log_events(**engine, startFromHead=True, **({"nextToken": token} if token else {}))
        if page["nextForwardToken"] == token:
            break
        pages.append(len(page["events"]))
        token = page["nextForwardToken"]
    assert pages == [3, 3, 3]
    logs.append(front.service, "run/1/engine", [(2, "later")])
    assert texts(client.get_log_events(**engine, startFromHead=True, nextToken=token)) == ["later"]


def test_a_log_that_is_not_there_or_lies_elsewhere_is_not_found(front: Served, tmp_path: Path) -> None:
    (tmp_path / "secret.jsonl").write_text('{"t": 1, "i": 1, "m": "secret"}\n')
    client = front.client("logs")
    for group, stream in ((logs.GROUP, "run/9"), ("/other", "run/1")):
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.get_log_events(logGroupName=group, logStreamName=stream)
    with pytest.raises(ClientError, match="go up"):
        client.get_log_events(logGroupName=logs.GROUP, logStreamName="../../../../../secret")


def test_a_fault_acts_after_and_as_often_as_planned(tmp_path: Path, answered: Any) -> None:
    done: list[str] = []
    answered("CancelRun", lambda _service, asked: done.append(asked["id"]) or {})
    faults = [Fault("CancelRun", "throttle", times=1, after=1), Fault("*", "lose", times=1, after=1)]
    with served(tmp_path / "data", Plan(faults)) as front:
        omics = front.client()
        omics.cancel_run(id="1")
        with pytest.raises(omics.exceptions.ThrottlingException):
            omics.cancel_run(id="2")
        with pytest.raises(ConnectionClosedError):
            omics.cancel_run(id="3")
        omics.cancel_run(id="4")
    assert done == ["1", "3", "4"]


def test_throttling_and_lost_answers_are_repeated_by_boto3(tmp_path: Path, answered: Any) -> None:
    done: list[str] = []
    answered("CancelRun", lambda _service, asked: done.append(asked["id"]) or {})
    with served(
        tmp_path / "data", Plan([Fault("CancelRun", "throttle", times=1), Fault("CancelRun", "lose", times=1)])
    ) as front:
        front.client(retries={"mode": "standard", "max_attempts": 4}).cancel_run(id="1")
    assert done == ["1", "1"]


def test_a_rate_refuses_what_is_beyond_it(tmp_path: Path, answered: Any) -> None:
    answered("CancelRun", lambda _service, _asked: {})
    with served(tmp_path / "data", Plan(rates={"CancelRun": 3.0})) as front:
        omics = front.client()
        for _ in range(3):
            omics.cancel_run(id="1")
        with pytest.raises(omics.exceptions.ThrottlingException):
            omics.cancel_run(id="1")


def test_a_call_in_this_process_is_held_against_the_model(front: Served, answered: Any) -> None:
    answered("GetRun", lambda _service, asked: {"id": asked["id"], "status": "DONE"})
    with pytest.raises(Failure, match="ValidationException"):
        call(front.service, "GetRun", {"id": "abc"})
    with pytest.raises(AssertionError, match="'status'"):
        call(front.service, "GetRun", {"id": "1"})
    answered("GetRun", lambda _service, asked: {"id": asked["id"], "status": "RUNNING", "priority": None, "own": 1})
    assert call(front.service, "GetRun", {"id": "1"}) == {"id": "1", "status": "RUNNING"}


def texts(page: Any) -> list[str]:
    return [event["message"] for event in page["events"]]
