"""The emulator's one port: requests are sorted by the service that they were signed for.

HealthOmics, Batch, DataZone and CloudWatch Logs are answered here, by synchronous functions in threads; what is for S3,
queues, events, roles and identity is passed on to the programs beside.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from starlette.requests import ClientDisconnect
from starlette.requests import Request as Asked
from starlette.responses import JSONResponse, Response, StreamingResponse

from labrelay.emulator import logs
from labrelay.emulator.batch.crew import lose_host_of
from labrelay.emulator.dialects import DIALECTS
from labrelay.emulator.faults import Fault, Plan, refusal
from labrelay.emulator.journal import Journal, action_of, changes_configuration
from labrelay.emulator.operation import Failure, Slice
from labrelay.emulator.proxy import Proxy, list_buckets
from labrelay.emulator.routing import find_route
from labrelay.emulator.service import Service
from labrelay.emulator.wire import Answer, Request, answer, error_answer, failed, json_answer, streams_in
from labrelay.stores.durable import write_all

THREADS = 32
PIECE_BYTES = 1 << 20
MAX_JSON_BYTES = 64 << 20
CREDENTIAL = re.compile(r"Credential=[^/]*/[0-9]*/[^/]*/([a-z0-9-]+)/aws4_request")
MOTO = ("sqs", "events", "iam", "sts")
OURS = "/_labrelay/"

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Front:
    """The ASGI application.

    Args:
        service: What answers for HealthOmics and Batch.
        s3, filer: Where seaweedfs answers for S3, and where it lists its folders.
        moto: Where moto answers.
        journal: Keeps what is configured in moto.
        plan: The faults that are to happen.
    """

    def __init__(self, service: Service, s3: str, filer: str, moto: str, journal: Journal, plan: Plan) -> None:
        self._service, self._journal, self._plan, self._filer = service, journal, plan, filer
        self._s3, self._moto = Proxy(s3), Proxy(moto)
        self.counts: Counter[str] = Counter()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="answer")
        self._incoming = service.folder / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)
        for left in self._incoming.iterdir():
            left.unlink()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        asked = Asked(scope, receive)
        with suppress(ClientDisconnect):
            try:
                response = await self._answer(asked)
            except httpx.HTTPError as error:
                response = _response(error_answer(503, "ServiceUnavailable", f"The program beside failed: {error!r}"))
            if response is None:
                # Uvicorn's own way of sending; nothing else can end a connection without an answer.
                send.__self__.transport.abort()  # type: ignore[attr-defined]
                return
            await response(scope, receive, send)

    async def _answer(self, asked: Asked) -> Response | None:
        path = raw_path(asked)
        if path.startswith(OURS):
            return await self._own(asked, path)
        service = service_of(asked)
        if service in DIALECTS:
            return await self._modelled(service, asked)
        if service == "logs":
            return await self._logs(asked)
        if service in MOTO:
            return await self._pass_to_moto(service, asked)
        if service == "s3":
            self.counts["s3"] += 1
            if asked.method == "GET" and path == "/" and asked.query_params.get("x-id", "ListBuckets") == "ListBuckets":
                return await list_buckets(self._s3, self._filer)
            return await self._s3.pass_on(asked)
        return _response(error_answer(400, "UnknownOperationException", f"The service {service} is not emulated."))

    async def _own(self, asked: Asked, path: str) -> Response:
        """Answer what no service of AWS has: how often was called what, and a host that is to be lost."""
        if path == f"{OURS}batch/lose-host" and asked.method == "POST":
            job = asked.query_params.get("job", "")
            return JSONResponse({"lost": await asyncio.to_thread(lose_host_of, self._service, job)})
        return JSONResponse(dict(self.counts) if path == f"{OURS}counts" else {"status": "ready"})

    async def _modelled(self, service: str, asked: Asked) -> Response | None:
        """Answer for a service whose operations are written here."""
        route = find_route(asked.method, raw_path(asked), service)
        if route is None:
            return _response(error_answer(404, "UnknownOperationException", f"No operation has {raw_path(asked)}."))
        operation, path = route
        self.counts[f"{DIALECTS[service].prefix}{operation}"] += 1
        body: bytes | Path
        body = await self._spooled(asked) if streams_in(operation, service) else await _whole(asked)
        query = {name: asked.query_params.getlist(name) for name in asked.query_params}
        request = Request(operation, path, query, dict(asked.headers), body, service)
        try:
            fault = self._plan.on_call(operation, service)
            done = await self._faulty(request, fault) if fault is not None else await self._do(request)
        finally:
            if isinstance(body, Path):
                body.unlink(missing_ok=True)
        return None if done is None else _response(done)

    async def _faulty(self, request: Request, fault: Fault) -> Answer | None:
        refused = refusal(fault, DIALECTS[request.service])
        if refused is not None:
            return failed(refused, request.service)
        await asyncio.sleep(fault.seconds)
        done = await self._do(request)
        return None if fault.do == "lose" else done

    async def _do(self, request: Request) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._threads, answer, self._service, request)

    async def _logs(self, asked: Asked) -> Response:
        target, body = asked.headers.get("x-amz-target", ""), await _whole(asked)
        self.counts[f"logs:{target.rpartition('.')[2]}"] += 1
        loop = asyncio.get_running_loop()
        try:
            return _response(json_answer(await loop.run_in_executor(None, logs.answer, self._service, target, body)))
        except Failure as failure:
            return _response(error_answer(400, failure.code, failure.message))

    async def _pass_to_moto(self, service: str, asked: Asked) -> Response:
        body = await _whole(asked)
        action = action_of(asked.headers, body)
        self.counts[f"{service}:{action}"] += 1
        response = await self._moto.pass_on_whole(asked, body)
        if response.status_code == 200 and changes_configuration(service, action):
            write = asyncio.get_running_loop().run_in_executor
            await write(None, self._journal.add, asked.method, raw_path(asked), dict(asked.headers), body)
        return response

    async def _spooled(self, asked: Asked) -> Path:
        """Write a body to a file of its own; a function that keeps it renames it away."""
        handle, name = tempfile.mkstemp(dir=self._incoming)
        held = bytearray()
        try:
            with open(handle, "wb", buffering=0) as file:  # noqa: PTH123 (a handle, not a path)
                async for piece in asked.stream():
                    held += piece
                    if len(held) >= PIECE_BYTES:
                        await asyncio.to_thread(write_all, file, bytes(held))
                        held = bytearray()
                await asyncio.to_thread(write_all, file, bytes(held))
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return Path(name)


def service_of(asked: Asked) -> str:
    """Return for which service a request is: by its signature, or by what it looks like if it has none."""
    signed = CREDENTIAL.search(asked.headers.get("authorization", ""))
    if signed:
        return signed[1]
    credential = asked.query_params.get("X-Amz-Credential", "").split("/")
    if len(credential) == 5:
        return credential[3]
    target = asked.headers.get("x-amz-target", "")
    for prefix, service in (("Logs_", "logs"), ("AmazonSQS", "sqs"), ("AWSEvents", "events")):
        if target.startswith(prefix):
            return service
    return "omics" if find_route(asked.method, raw_path(asked)) is not None else "s3"


def raw_path(asked: Asked) -> str:
    """Return the path as it came over the wire, still encoded."""
    raw: bytes = asked.scope["raw_path"]
    return raw.partition(b"?")[0].decode("latin-1")


async def _whole(asked: Asked) -> bytes:
    """Return a body that is JSON or a form; what is longer than any such body is cut, and then is neither."""
    body = bytearray()
    async for piece in asked.stream():
        if len(body) <= MAX_JSON_BYTES:
            body += piece
    return bytes(body)


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
