"""The emulator's one port: requests are sorted by the service that they were signed for.

Functions that answer are synchronous and run in threads; nothing here blocks the event loop.
"""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.requests import Request as Asked
from starlette.responses import Response, StreamingResponse

from labrelay.emulator.operation import Slice
from labrelay.emulator.routing import find_route
from labrelay.emulator.service import Service
from labrelay.emulator.wire import Answer, Request, answer, error_answer, streams_in

THREADS = 32
PIECE_BYTES = 1 << 20
MAX_JSON_BYTES = 64 << 20

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Front:
    """The ASGI application."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.counts: dict[str, int] = {}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="answer")
        self._incoming = service.folder / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        asked = Asked(scope, receive)
        with suppress(ClientDisconnect):
            response = await self._omics(asked)
            await response(scope, receive, send)

    async def _omics(self, asked: Asked) -> Response:
        route = find_route(asked.method, raw_path(asked))
        if route is None:
            return _response(error_answer(404, "UnknownOperationException", f"No operation has {asked.url.path}."))
        operation, path = route
        self.counts[operation] = self.counts.get(operation, 0) + 1
        body = await self._spooled(asked) if streams_in(operation) else await asked.body()
        query = {name: asked.query_params.getlist(name) for name in asked.query_params}
        request = Request(operation, path, query, dict(asked.headers), body)
        try:
            done = await asyncio.get_running_loop().run_in_executor(self._threads, answer, self.service, request)
        finally:
            if isinstance(body, Path):
                body.unlink(missing_ok=True)
        return _response(done)

    async def _spooled(self, asked: Asked) -> Path:
        """Write a body to a file of its own; a function that keeps it renames it away."""
        handle, name = tempfile.mkstemp(dir=self._incoming)
        try:
            with open(handle, "wb", buffering=PIECE_BYTES) as file:  # noqa: PTH123 (a handle, not a path)
                async for piece in asked.stream():
                    file.write(piece)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return Path(name)


def raw_path(asked: Asked) -> str:
    """Return the path as it came over the wire, still encoded."""
    raw: bytes = asked.scope["raw_path"]
    return raw.partition(b"?")[0].decode("latin-1")


def _response(done: Answer) -> Response:
    headers = {**done.headers, "x-amzn-requestid": str(uuid.uuid4())}
    if isinstance(done.body, Slice):
        headers["content-length"] = str(done.body.length)
        return StreamingResponse(_pieces(done.body), done.status, headers)
    if done.status == 204:
        return Response(status_code=204, headers=headers)
    return Response(done.body, done.status, headers)


async def _pieces(part: Slice) -> AsyncIterator[bytes]:
    left = part.length
    with part.path.open("rb") as file:
        file.seek(part.start)
        while left > 0:
            piece = await asyncio.to_thread(file.read, min(PIECE_BYTES, left))
            if not piece:
                raise OSError(f"{part.path} is shorter than announced")
            left -= len(piece)
            yield piece
