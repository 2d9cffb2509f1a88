"""Clients know their endpoint and say who they are; each refusal is a sentence with the right word on retrying."""

from __future__ import annotations

import concurrent.futures
import importlib.metadata
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
from botocore import exceptions as boto

from labrelay.model.errors import (
    Busy,
    Conflict,
    Denied,
    EngineFailed,
    LabrelayError,
    NotFound,
    StorageFailed,
    UsageError,
)
from labrelay.stores.aws import Aws, aws_errors


class Answering(BaseHTTPRequestHandler):
    """Answers what the test wants, and remembers what was asked."""

    protocol_version = "HTTP/1.1"
    answers: ClassVar[list[tuple[int, str, str]]] = []
    asked: ClassVar[list[tuple[str, str]]] = []

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append((self.path, self.headers["User-Agent"]))
        status, code, message = self.answers.pop(0) if self.answers else (200, "", "")
        body = json.dumps({"message": message} if code else {"items": []}).encode()
        self.send_response(status)
        if code:
            self.send_header("x-amzn-errortype", code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Answering.answers, Answering.asked = [], []
    served = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=served.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()
    served.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def aws(server: str, attempts: int = 1) -> Aws:
    return Aws(region="us-east-1", endpoint_url=server, attempts=attempts)


def test_an_endpoint_is_asked_as_it_is_and_told_who_asks(server: str) -> None:
    assert aws(server).client("omics").list_runs()["items"] == []
    [(path, agent)] = Answering.asked
    assert path.startswith("/run")
    assert f"labrelay/{importlib.metadata.version('labrelay')}" in agent


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_OMICS"])
def test_an_endpoint_of_the_environment_is_the_same(
    server: str, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, server)
    assert Aws(region="us-east-1").client("omics").list_runs()["items"] == []


def test_one_service_may_have_its_own_endpoint(server: str) -> None:
    split = Aws(region="us-east-1", endpoint_url="http://127.0.0.1:1", endpoints={"omics": server})
    assert split.client("omics").meta.endpoint_url == server
    assert split.client("s3").meta.endpoint_url == "http://127.0.0.1:1"


def test_many_threads_share_one_client(server: str) -> None:
    shared = aws(server)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = set(map(id, pool.map(lambda _n: shared.client("omics"), range(16))))
    assert len(made) == 1


def test_what_passes_by_itself_is_tried_again(server: str) -> None:
    Answering.answers = [(408, "RequestTimeoutException", "slow"), (503, "x", "down")]
    assert aws(server, attempts=3).client("omics").list_runs()["items"] == []
    assert len(Answering.asked) == 3


@pytest.mark.parametrize(
    ("status", "code", "kind", "retryable", "exit_code"),
    [
        (400, "ValidationException", UsageError, False, 2),
        (402, "ServiceQuotaExceededException", Busy, True, 1),
        (403, "AccessDeniedException", Denied, False, 2),
        (404, "ResourceNotFoundException", NotFound, False, 2),
        (400, "ResourceNotFoundException", NotFound, False, 2),
        (405, "NotSupportedOperationException", UsageError, False, 2),
        (408, "RequestTimeoutException", EngineFailed, True, 1),
        (409, "ConflictException", Conflict, False, 2),
        (429, "ThrottlingException", Busy, True, 1),
        (500, "InternalServerException", EngineFailed, True, 1),
        (503, "ServiceUnavailable", EngineFailed, True, 1),
        (403, "RequestTimeTooSkewed", UsageError, False, 2),
        (403, "ExpiredTokenException", Denied, False, 2),
        (403, "RequestThrottled", Busy, True, 1),
        (400, "ThrottledException", Busy, True, 1),
        (400, "RequestTimeout", EngineFailed, True, 1),
        (301, "PermanentRedirect", UsageError, False, 2),
    ],
)
def test_each_answer_is_one_sentence_with_the_right_word_on_retrying(
    server: str, status: int, code: str, kind: type[LabrelayError], retryable: bool, exit_code: int
) -> None:
    Answering.answers = [(status, code, "the\nreason.")]
    with pytest.raises(kind) as caught, aws_errors("list the runs", EngineFailed):
        aws(server).client("omics").list_runs()
    assert type(caught.value) is kind
    assert (caught.value.retryable, caught.value.exit_code) == (retryable, exit_code)
    text = str(caught.value)
    assert "list the runs" in text
    assert "the reason" in text or status == 403
    assert "\n" not in text
    assert text.endswith(".")


def test_a_refusal_names_who_lacks_which_permission_on_what(server: str) -> None:
    Answering.answers = [
        (
            403,
            "AccessDeniedException",
            "User: arn:aws:iam::123456789012:user/ann is not authorized to perform: omics:ListRuns on resource: "
            "arn:aws:omics:us-east-1:123456789012:run/* because no identity-based policy allows it",
        )
    ]
    with pytest.raises(Denied) as caught, aws_errors("list the runs"):
        aws(server).client("omics").list_runs()
    assert "arn:aws:iam::123456789012:user/ann lacks permission omics:ListRuns on arn:aws:omics" in str(caught.value)


@pytest.mark.parametrize(
    ("service", "call", "arguments", "permission"),
    [
        ("omics", "get_run", {"id": "1"}, "omics:GetRun"),
        ("s3", "head_object", {"Bucket": "lab", "Key": "a"}, "s3:GetObject"),
        ("s3", "list_multipart_uploads", {"Bucket": "lab"}, "s3:ListBucketMultipartUploads"),
        ("sqs", "list_queues", {}, "sqs:ListQueues"),
    ],
)
def test_a_refusal_without_words_names_the_permission_that_the_call_needs(
    server: str, monkeypatch: pytest.MonkeyPatch, service: str, call: str, arguments: dict[str, str], permission: str
) -> None:
    monkeypatch.setattr(Answering, "do_HEAD", Answering.do_GET, raising=False)
    Answering.answers = [(403, "AccessDenied", "Access Denied")]
    client = aws(server).client(service)
    with pytest.raises(Denied, match=f"permission {permission} is missing"), aws_errors("do it"):
        getattr(client, call)(**arguments)


def test_nobody_at_the_endpoint_is_a_sentence_that_names_it() -> None:
    with pytest.raises(StorageFailed, match=r"http://127\.0\.0\.1:1/run does not answer") as caught, aws_errors("ask"):
        aws("http://127.0.0.1:1").client("omics").list_runs()
    assert caught.value.retryable


def test_without_credentials_somebody_has_to_log_in(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    with pytest.raises(Denied, match="no AWS credentials"), aws_errors("ask"):
        aws(server).client("omics").list_runs()


def test_a_profile_that_is_not_there_and_a_missing_region_are_mistakes_of_the_caller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(UsageError, match="nobody"):
        Aws(profile="nobody").client("omics")
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    with pytest.raises(UsageError, match="region"):
        Aws().client("omics")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (boto.UnauthorizedSSOTokenError(), Denied, "log in again"),
        (boto.SSOTokenLoadError(error_msg="no token"), Denied, "no token"),
        (boto.TokenRetrievalError(provider="sso", error_msg="expired"), Denied, "expired"),
        (boto.ConfigParseError(path="config", error="odd"), UsageError, "config"),
        (boto.InvalidRegionError(region_name="eu central"), UsageError, "eu central"),
    ],
)
def test_a_login_that_ended_and_a_broken_configuration_do_not_pass_by_themselves(
    error: boto.BotoCoreError, kind: type[LabrelayError], words: str
) -> None:
    with pytest.raises(kind, match=words) as caught, aws_errors("ask"):
        raise error
    assert (caught.value.retryable, caught.value.exit_code) == (False, 2)


@pytest.mark.parametrize("endpoint", ["127.0.0.1:4999", "ftp://here", "http://"])
def test_an_endpoint_that_is_no_url_names_the_setting(endpoint: str) -> None:
    with pytest.raises(UsageError, match="aws_endpoint_url"):
        aws(endpoint).client("omics")


def test_other_errors_pass_as_they_are() -> None:
    with pytest.raises(KeyError), aws_errors("ask"):
        raise KeyError("a")
    with pytest.raises(StorageFailed, match="Could not ask"), aws_errors("ask"):
        raise boto.IncompleteReadError(actual_bytes=1, expected_bytes=2)
