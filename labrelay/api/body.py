"""Bodies: counted on the stream, read within a time, and JSON without the liberties that parsers take."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

MIB = 1024 * 1024
SECONDS = 10.0  # for a whole body
DEPTH = 50
VALUES = 500_000  # and names; 10,000 samples with 24 fields each have fewer
JSON = "application/json"
Shape = TypeVar("Shape", bound=BaseModel)
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def body_of(limit: int) -> Callable[[Request], Awaitable[bytes]]:
    """Return a dependency that reads a JSON body's raw bytes, and no more of them than `limit`."""

    async def raw(request: Request) -> bytes:
        _refuse_types(request)
        try:
            async with asyncio.timeout(SECONDS):
                return await _read(request, limit)
        except TimeoutError:
            raise HTTPException(408, f"the body did not come within {SECONDS:.0f} s: send it again") from None
        except ClientDisconnect:
            raise HTTPException(400, "the connection ended before the body did: send it again") from None

    return raw


def _refuse_types(request: Request) -> None:
    kind, _, rest = request.headers.get("content-type", "").partition(";")
    charset = rest.strip().lower().replace('"', "")
    if kind.strip().lower() != JSON or charset not in ("", "charset=utf-8"):
        raise HTTPException(415, f"the body has to be {JSON} in UTF-8, and the header Content-Type has to say so")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise HTTPException(415, "the body has to come as it is, without Content-Encoding")


async def _read(request: Request, limit: int) -> bytes:
    too_much = HTTPException(413, f"the body is larger than {limit:,} bytes: send it in parts")
    # A length that says so is believed; one that says less is not.
    told = request.headers.get("content-length", "")
    if told.isascii() and told.isdigit() and (len(told) > 18 or int(told) > limit):
        raise too_much
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > limit:
            raise too_much
    return bytes(read)


def parse(raw: bytes) -> dict[str, Any]:
    """Return the JSON object that the bytes are. Cost: up to half a second, so it is nothing for the event loop.

    Raises:
        HTTPException: 400; they are none, or one with a name twice, a number that is none, text that cannot be stored,
            deeper than 50, or of more than 500,000 names and values.
    """
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=_refuse, object_pairs_hook=_once, parse_float=_finite)
        _check(value)
    except UnicodeDecodeError:
        raise HTTPException(400, "the body is not UTF-8") from None
    except RecursionError:
        raise HTTPException(400, f"the body is nested deeper than {DEPTH}") from None
    except json.JSONDecodeError as error:
        raise HTTPException(400, f"the body is no JSON: {error.msg} at line {error.lineno}") from None
    except ValueError as error:
        raise HTTPException(400, f"the body is not acceptable JSON: {error}") from None
    if not isinstance(value, dict):
        raise HTTPException(400, "the body has to be a JSON object")
    return value


def shaped(shape: type[Shape], value: object) -> Shape:
    """Return what was sent as this model.

    Raises:
        RequestValidationError: It is not so.
    """
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        said = error.errors(include_url=False, include_input=False, include_context=False)
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in said]) from None


def _refuse(_name: str) -> None:
    raise ValueError("a number is not finite")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is not finite")
    return value


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError("an object has a name twice")
        found[name] = value
    return found


def _check(value: object) -> None:
    """Refuse depth, number, and text that databases do not store alike."""
    level: list[object] = [value]
    count = 0
    for _depth in range(DEPTH + 1):
        count += len(level)
        if count > VALUES:
            raise ValueError(f"it has more than {VALUES:,} names and values")
        below: list[object] = []
        for each in level:
            if isinstance(each, str) and _UNSTORABLE.search(each):
                raise ValueError("a text holds a NUL or half a character")
            if isinstance(each, dict):
                below += [*each.keys(), *each.values()]
            elif isinstance(each, list):
                below += each
        if not below:
            return
        level = below
    raise ValueError(f"it is nested deeper than {DEPTH}")
