"""The Lambda handler answers what API Gateway sends: payload formats 1.0 and 2.0, plain and base64 bodies."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from doorway import STUDY, Doorway, signed_headers

from labrelay.api import gateway, lambda_handler
from labrelay.model.errors import Busy

BODY = json.dumps({"kind": "experiment", "data": STUDY}).encode()


@pytest.fixture(autouse=True)
def _one_home(door: Doorway, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LABRELAY_HOME", str(door.home.path))
    gateway._handler.cache_clear()
    yield
    gateway._handler.cache_clear()


def rest_event(method: str, path: str, headers: dict[str, str], body: bytes | None, encoded: bool) -> dict[str, Any]:
    """An event of a REST API (payload format 1.0), as API Gateway's documentation shows it."""
    return {
        "version": "1.0",
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"proxy": path.strip("/")},
        "stageVariables": None,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "id",
            "httpMethod": method,
            "identity": {"sourceIp": "192.0.2.7", "userAgent": "lims"},
            "path": path,
            "protocol": "HTTP/1.1",
            "requestId": "id=",
            "resourcePath": "/{proxy+}",
            "stage": "$default",
        },
        "body": _text(body, encoded),
        "isBase64Encoded": encoded,
    }


def http_event(method: str, path: str, headers: dict[str, str], body: bytes | None, encoded: bool) -> dict[str, Any]:
    """An event of an HTTP API (payload format 2.0)."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {name.lower(): value for name, value in headers.items()},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api-id",
            "domainName": "id.execute-api.eu-central-1.amazonaws.com",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.7", "userAgent": "x"},
            "requestId": "id",
            "routeKey": "$default",
            "stage": "$default",
            "time": "28/Nov/2026:19:03:58 +0000",
            "timeEpoch": 1795892638390,
        },
        "body": _text(body, encoded),
        "isBase64Encoded": encoded,
    }


def _text(body: bytes | None, encoded: bool) -> str | None:
    if body is None:
        return None
    return base64.b64encode(body).decode() if encoded else body.decode()


@pytest.mark.parametrize("shape", [rest_event, http_event])
@pytest.mark.parametrize("encoded", [False, True])
def test_a_signed_webhook_goes_through_the_gateway_byte_for_byte(door: Doorway, shape: Any, encoded: bool) -> None:
    body = json.dumps({"kind": "experiment", "data": {"experiment": "Prüfung"}}, ensure_ascii=False).encode()
    headers = signed_headers(body, "m-1")
    answer = lambda_handler(shape("POST", "/api/hooks/lims", headers, body, encoded), None)
    assert answer["statusCode"] == 202, answer
    assert json.loads(answer["body"])["new"] is True
    assert door.rows() == 1
    forged = lambda_handler(shape("POST", "/api/hooks/lims", headers, body + b" ", encoded), None)
    assert forged["statusCode"] == 401


@pytest.mark.parametrize("shape", [rest_event, http_event])
def test_tokens_and_reading_go_through_the_gateway(door: Doorway, shape: Any) -> None:
    answer = lambda_handler(shape("GET", "/api/runs", door.bearer("reader"), None, False), None)
    assert (answer["statusCode"], json.loads(answer["body"])) == (200, {"items": [], "next": None})
    refused = lambda_handler(shape("GET", "/api/runs", {}, None, False), None)
    assert refused["statusCode"] == 401


@pytest.mark.parametrize("shape", [rest_event, http_event])
def test_a_body_that_is_said_to_be_base64_and_is_not_is_a_bad_request(shape: Any) -> None:
    event = shape("POST", "/api/hooks/lims", signed_headers(BODY, "m"), BODY, False) | {"isBase64Encoded": True}
    answer = lambda_handler(event, None)
    assert (answer["statusCode"], json.loads(answer["body"])["status"]) == (400, 400)


@pytest.mark.parametrize("event", [{}, {"Records": []}, {"version": "2.0"}])
def test_what_is_no_request_is_a_bad_request(event: dict[str, Any]) -> None:
    assert lambda_handler(event, None)["statusCode"] == 400


def test_the_handlers_module_is_light() -> None:
    program = "import sys, labrelay.api; print(*{m.partition('.')[0] for m in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"fastapi", "mangum", "sqlalchemy"} & set(done.stdout.split())


def test_a_store_that_cannot_be_opened_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(_path: object) -> None:
        raise Busy("another process has been writing for 30 s")

    monkeypatch.setattr(gateway, "open_home", busy)
    answer = lambda_handler(rest_event("GET", "/api/health", {}, None, False), None)
    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (503, "5")
