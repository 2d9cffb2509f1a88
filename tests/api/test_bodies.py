"""Bodies are counted as they come, strict in what they are, and refused in one sentence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from doorway import STUDY, Doorway

from labrelay.api import body as bodies
from labrelay.api import telling
from labrelay.api.problems import MEDIA_TYPE

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no JSON"),
        (b"\xff{}", "not UTF-8"),
        (b"\xef\xbb\xbf{}", "no JSON"),
        (b"[]", "JSON object"),
        (b'"x"', "JSON object"),
        (b"{} {}", "no JSON"),
        (b'{"experiment": "a", "experiment": "b"}', "a name twice"),
        (b'{"experiment": NaN}', "not finite"),
        (b'{"experiment": -Infinity}', "not finite"),
        (b'{"experiment": 1e999}', "not finite"),
        (b'{"experiment": ' + b"9" * 5000 + b"}", "not acceptable"),
        (b'{"experiment": "a\\u0000"}', "NUL"),
        (b'{"experiment": "\\ud800"}', "half a character"),
        (b'{"experiment": ' + b"[" * 51 + b"]" * 51 + b"}", "deeper than 50"),
        (b'{"experiment": ' * 200_000, "deeper than 50"),
        (b"[" * 900_000, "deeper than 50"),
        (b'{"a": [' + b"[]," * 500_000 + b"[]]}", "more than 500,000"),
    ],
)
def test_what_is_no_strict_json_is_refused(door: Doorway, content: bytes, words: str) -> None:
    headers = {**door.bearer(key="k"), "Content-Type": "application/json"}
    answer = door.client.post("/api/experiments", content=content, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (400, MEDIA_TYPE)
    assert words in answer.json()["detail"]
    assert door.rows() == 0


def test_no_body_is_parsed_where_all_others_wait(door: Doorway, monkeypatch: pytest.MonkeyPatch) -> None:
    looped: list[bool] = []

    def noted(raw: bytes) -> dict[str, Any]:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            looped.append(False)
        else:
            looped.append(True)
        return bodies.parse(raw)

    monkeypatch.setattr(telling, "parse", noted)
    assert door.post("/experiments", {"experiment": "x"}).status_code == 202
    assert door.post("/events", {"kind": "x"}, "key-2").status_code == 202
    assert door.hook({"kind": "x"}).status_code == 202
    assert looped == [False, False, False]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "experiment"),
        ({"experiment": ""}, "experiment"),
        ({"experiment": "a\u202e\x1b[2J"}, "experiment"),
        ({"experiment": "x", "sample": []}, "sample"),
        ({"experiment": "x", "samples": [{"name": "a"}, {"name": "A"}]}, "same name"),
        ({"experiment": "x", "samples": [{"name": "a", "barcode": "acgt"}]}, "samples.0.barcode"),
        ({"experiment": "x", "samples": [{"name": "a" * 101}]}, "samples.0.name"),
        ({"experiment": "x", "samples": [{"name": "a"}] * 10_001}, "samples"),
        ({"experiment": 7}, "experiment"),
        ({"experiment": "x", "correction": " "}, "correction"),
    ],
)
def test_what_is_no_announcement_is_refused_by_the_name_of_the_field(door: Doorway, body: object, words: str) -> None:
    answer = door.post("/experiments", body)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/jsonp"}, 415),
        ({"Content-Type": ""}, 415),
        ({"Content-Type": "application/json; charset=latin-1"}, 415),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415),
        ({"Content-Type": 'Application/JSON; charset="UTF-8"'}, 202),
    ],
)
def test_only_json_as_it_is_is_taken(door: Doorway, headers: dict[str, str], status: int) -> None:
    content = json.dumps(STUDY).encode()
    answer = door.client.post("/api/experiments", content=content, headers={**door.bearer(key="k"), **headers})
    assert answer.status_code == status


def test_a_stream_without_end_is_refused_at_the_limit_however_it_lies_about_its_length(door: Doorway) -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while taken < 100 * MIB:
            taken += 65536
            yield b"x" * 65536

    async def stream() -> AsyncIterator[bytes]:
        for chunk in endless():
            yield chunk

    async def send(**lies: str) -> httpx.Response:
        nonlocal taken
        taken = 0
        transport = httpx.ASGITransport(door.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
            headers = {**door.bearer(key="k"), "Content-Type": "application/json", **lies}
            return await client.post("/api/events", content=stream(), headers=headers)

    for lies in ({}, {"Content-Length": "5"}, {"Content-Length": "-1"}, {"Content-Length": "x"}):
        answer = asyncio.run(send(**lies))
        assert answer.status_code == 413
        assert answer.headers["connection"] == "close"
        assert taken <= MIB + 2 * 65536
    answer = asyncio.run(send(**{"Content-Length": "9" * 30}))
    assert (answer.status_code, taken) == (413, 0)


def test_nobody_without_a_token_has_a_byte_of_a_body_read(door: Doorway) -> None:
    async def unread() -> dict[str, object]:
        raise AssertionError("the body was asked for")

    async def ask() -> int:
        sent: list[dict[str, object]] = []

        async def send(message: dict[str, object]) -> None:
            sent.append(message)

        scope = {
            "type": "http", "method": "POST", "path": "/api/experiments", "raw_path": b"/api/experiments",
            "query_string": b"", "headers": [(b"transfer-encoding", b"chunked")], "http_version": "1.1",
            "scheme": "http", "server": ("door", 80), "client": ("here", 1), "root_path": "",
        }  # fmt: skip
        await door.app(scope, unread, send)  # type: ignore[arg-type]
        assert (b"connection", b"close") in sent[0]["headers"]  # type: ignore[operator]
        return int(sent[0]["status"])  # type: ignore[call-overload]

    assert asyncio.run(ask()) == 401


def test_a_body_that_trickles_is_given_up(door: Doorway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "SECONDS", 0.1)

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(5)
        yield b"}"

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(door.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
            headers = {**door.bearer(key="k"), "Content-Type": "application/json"}
            return await client.post("/api/events", content=slow(), headers=headers)

    assert asyncio.run(send()).status_code == 408


def test_every_answer_has_the_headers_that_keep_browsers_from_harm(door: Doorway) -> None:
    for answer in (door.get("/runs"), door.client.get("/api/runs"), door.client.get("/nowhere"), door.get("/health")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers


def test_whatever_goes_wrong_is_told_as_a_problem(door: Doorway) -> None:
    answers = [door.client.get("/nowhere"), door.client.put("/api/runs"), door.client.get("/api/runs")]
    assert [answer.status_code for answer in answers] == [404, 405, 401]
    for answer in answers:
        assert answer.headers["content-type"] == MEDIA_TYPE
        told = answer.json()
        assert (told["type"], told["status"]) == ("about:blank", answer.status_code)
        assert set(told) == {"type", "title", "status", "detail"}
