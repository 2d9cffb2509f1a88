"""Requests that another program answers, passed on and back in pieces, nothing kept in memory."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from xml.sax.saxutils import escape

import httpx
from starlette.requests import Request as Asked
from starlette.responses import Response, StreamingResponse

from labrelay.emulator import probe
from labrelay.emulator.aliases import backing_path

# Of one connection, not of the request; `expect` was answered by the server that read the body.
NOT_PASSED_ON = {b"connection", b"keep-alive", b"transfer-encoding", b"te", b"upgrade", b"expect", b"date", b"server"}
CONNECT_SECONDS, READ_SECONDS = 5.0, 600.0
AT_ONCE = 200
MOST_BUCKETS = 10_000


class Proxy:
    """Passes requests on to one address.

    The host header and the path stay as they were sent, because signatures and addresses in answers depend on them.
    """

    def __init__(self, url: str) -> None:
        self._url = httpx.URL(url)
        limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE, keepalive_expiry=20)
        timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
        self._client = httpx.AsyncClient(limits=limits, timeout=timeout, trust_env=False)
        # Only what was asked is asked: an `accept-encoding` of httpx's own would get compressed bytes.
        self._client.headers.clear()

    async def pass_on(self, asked: Asked) -> Response:
        """Return the answer to a request, its body still to come."""
        has_body = "content-length" in asked.headers or "transfer-encoding" in asked.headers
        answer = await self._send(asked, asked.stream() if has_body else b"")
        response = StreamingResponse(_pieces(answer), answer.status_code)
        response.raw_headers = passed_on(answer.headers.raw)
        return response

    async def pass_on_whole(self, asked: Asked, body: bytes) -> Response:
        """Return the whole answer to a request whose body was read."""
        answer = await self._send(asked, body)
        response = Response(await answer.aread(), answer.status_code)
        await answer.aclose()
        length = (b"content-length", str(len(response.body)).encode())
        response.raw_headers = [pair for pair in passed_on(answer.headers.raw) if pair[0].lower() != length[0]] + [
            length
        ]
        return response

    async def get_json(self, url: str) -> object:
        """Return what another address says as JSON."""
        answer = await self._client.get(url, headers={"accept": "application/json"})
        return answer.raise_for_status().json()

    async def _send(self, asked: Asked, body: bytes | AsyncIterator[bytes]) -> httpx.Response:
        raw = backing_path(asked.scope["raw_path"].partition(b"?")[0])
        query: bytes = asked.scope["query_string"]
        url = self._url.copy_with(raw_path=raw + (b"?" + query if query else b""))
        request = self._client.build_request(asked.method, url, headers=passed_on(asked.headers.raw), content=body)
        return await self._client.send(request, stream=True)


async def _pieces(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.aiter_raw():
            yield piece
    finally:
        # Also when the client went away in the middle.
        await answer.aclose()


def passed_on(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers that are of the message and not of one connection."""
    return [(name, value) for name, value in headers if name.lower() not in NOT_PASSED_ON]


async def list_buckets(proxy: Proxy, filer: str) -> Response:
    """Return all buckets, which seaweedfs itself would list only for an owner that it knows."""
    listing = await proxy.get_json(f"{filer}/buckets/?limit={MOST_BUCKETS}")
    entries = (listing.get("Entries") or []) if isinstance(listing, dict) else []
    buckets = "".join(
        f"<Bucket><Name>{escape(name)}</Name><CreationDate>{_time(entry.get('Crtime', ''))}</CreationDate></Bucket>"
        for entry in entries
        if not (name := str(entry["FullPath"]).rpartition("/")[2]).startswith(".") and name != probe.BUCKET
    )
    owner = "<Owner><ID>emulator</ID><DisplayName>emulator</DisplayName></Owner>"
    space = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ListAllMyBucketsResult {space}>{owner}'
        f"<Buckets>{buckets}</Buckets></ListAllMyBucketsResult>"
    )
    return Response(text, media_type="application/xml")


def _time(text: str) -> str:
    # Nine digits of a second are more than Python reads.
    moment = datetime.fromisoformat(re.sub(r"(\.[0-9]{1,6})[0-9]*", r"\1", text)) if text else datetime.now(UTC)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
