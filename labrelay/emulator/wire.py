"""From a request on the wire to an operation's function and back, generated from botocore's service models.

Nothing here knows a single operation: where a parameter stands (path, query, header, body), what it may hold, which
status answers it and which errors there are, all comes from the model.
"""

from __future__ import annotations

import json
import logging
import pkgutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import labrelay.emulator
from labrelay.emulator import shapes
from labrelay.emulator.dialects import BATCH, DATAZONE, DIALECTS, OMICS
from labrelay.emulator.operation import COMMON_ERRORS, HANDLERS, Failure, Params, Slice
from labrelay.emulator.routing import operation_model, service_model
from labrelay.emulator.service import Service

logger = logging.getLogger(__name__)

JSON_TYPE = "application/json"


@dataclass(frozen=True)
class Request:
    """One request for a service.

    Attributes:
        operation: Its name in the model.
        path: Parameters in the path, by wire name.
        query: Values by name, in their order.
        headers: By lower-case name.
        body: The bytes of a JSON body, or the file that a streamed body was written to.
        service: Whose operation it is.
    """

    operation: str
    path: Mapping[str, str]
    query: Mapping[str, Sequence[str]]
    headers: Mapping[str, str]
    body: bytes | Path = b""
    service: str = OMICS


@dataclass(frozen=True)
class Answer:
    """What is sent back; `body` is JSON or a part of a file."""

    status: int
    body: bytes | Slice = b""
    headers: dict[str, str] = field(default_factory=dict)


@cache
def load_operations() -> None:
    """Import every module of the emulator, so that all operations and workers are registered."""
    for module in pkgutil.walk_packages(labrelay.emulator.__path__, "labrelay.emulator."):
        import_module(module.name)


def streams_in(operation: str, service: str = OMICS) -> bool:
    """Whether the operation's body is raw bytes of any length."""
    return bool(operation_model(operation, service).has_streaming_input)


def answer(service: Service, request: Request) -> Answer:
    """Do what a request asks, and return the answer; whatever goes wrong is an answer too."""
    try:
        params, problems = parse(request)
        done = _run(service, request.service, request.operation, params, problems)
        return _success(operation_model(request.operation, request.service), done)
    except Failure as failure:
        return failed(failure, request.service)
    except Exception:
        logger.exception("%s broke", request.operation)
        broken = DIALECTS[request.service].broken
        return failed(Failure(broken, f"{request.operation} broke; see the emulator's log."), request.service)


def call(service: Service, operation: str, params: Params, of: str = OMICS) -> Params:
    """Do one operation in this process, its parameters and its result checked against the model.

    Args:
        service: The emulated account.
        operation: A name of the model, such as `StartRun`.
        params: As boto3 takes them; idempotency tokens are made up as boto3 does.
        of: The service whose operation it is.

    Returns:
        The result with the members that the model knows, times as text; a stream is a `Slice`.

    Raises:
        Failure: The operation refused, as a client would see it.
        AssertionError: The operation's result is not what the model says.
    """
    model = operation_model(operation, of)
    tokens = {name: str(uuid.uuid4()) for name in model.idempotent_members if name not in params}
    parsed, problems = shapes.read(model.input_shape, {**params, **tokens}) if model.input_shape else ({}, [])
    result = _run(service, of, operation, parsed, problems)
    if model.output_shape is None:
        return {}
    streams = {name: value for name, value in result.items() if isinstance(value, Slice)}
    checked = {name: value for name, value in result.items() if name not in streams and value is not None}
    found, wrong = shapes.read(model.output_shape, {**checked, **dict.fromkeys(streams, b"")})
    if wrong:
        raise AssertionError(f"{operation} answered what its model does not allow: {'; '.join(wrong)}")
    return {**found, **streams}


def _run(service: Service, of: str, operation: str, params: Params, problems: Sequence[str]) -> Params:
    if problems:
        count = f"{len(problems)} validation error{'s' if len(problems) != 1 else ''} detected"
        raise Failure(DIALECTS[of].invalid, f"{count}: {'; '.join(problems)}")
    handler = HANDLERS[of].get(operation)
    if handler is None:
        raise _nobody_answers(operation, of)
    return handler(service, params) or {}


def parse(request: Request) -> tuple[Params, list[str]]:
    """Return a request's parameters by member name, and every problem that they have.

    Raises:
        Failure: The body is not JSON.
    """
    shape = operation_model(request.operation, request.service).input_shape
    if shape is None:
        return {}, []
    payload = shape.serialization.get("payload")
    given: Params = _body(request) if payload is None else {payload: request.body}
    found = {}
    for name, member in shape.members.items():
        wire_name = member.serialization.get("name", name)
        match member.serialization.get("location"):
            case "uri":
                found[name] = shapes.from_text(member, [request.path[wire_name]])
            case "querystring" if wire_name in request.query:
                found[name] = shapes.from_text(member, list(request.query[wire_name]))
            case "header" if wire_name.lower() in request.headers:
                found[name] = shapes.from_text(member, [request.headers[wire_name.lower()]])
            case None if wire_name in given:
                found[name] = given[wire_name]
            case _:
                pass
    return shapes.read(shape, found)


def _body(request: Request) -> Params:
    body, code = request.body, DIALECTS[request.service].invalid
    if isinstance(body, Path) or not body.strip():
        return {}
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        raise Failure(code, "The body of the request is not JSON.") from None
    if not isinstance(parsed, dict):
        raise Failure(code, "The body of the request is not a JSON object.")
    return parsed


def _success(model: Any, result: Params) -> Answer:
    status: int = model.http.get("responseCode", 200)
    if model.output_shape is None:
        # Whatever follows a 204 would be read as the next answer of the connection.
        return Answer(status)
    payload = model.output_shape.serialization.get("payload")
    if payload is not None:
        headers = shapes.write_headers(model.output_shape, result)
        return Answer(status, result[payload], {**headers, "content-type": "application/octet-stream"})
    return json_answer(shapes.write(model.output_shape, result), status)


def json_answer(value: Params, status: int = 200) -> Answer:
    """Return an answer whose body is JSON."""
    return Answer(status, json.dumps(value, ensure_ascii=False).encode(), {"content-type": JSON_TYPE})


def failed(failure: Failure, service: str = OMICS) -> Answer:
    """Return the answer for a failure; its status is the model's, or that which all services of AWS give it."""
    model, dialect = service_model(service), DIALECTS[service]
    throttled, status, _text = dialect.throttled
    if failure.code != throttled:
        known = failure.code in model.shape_names
        error = model.shape_for(failure.code).metadata.get("error", {}) if known else {}
        # Batch's model gives its errors no status: what the caller did is 400.
        usual = COMMON_ERRORS.get(failure.code, 400 if failure.code == dialect.invalid else 500)
        status = error.get("httpStatusCode", usual)
    return error_answer(status, failure.code, failure.message, titled=dialect.titled)


def error_answer(status: int, code: str, message: str, *, titled: bool = True) -> Answer:
    """Return an error as the JSON protocols say it: the code in the header for one, in the body for the other."""
    said = {"__type": code, "message": message} if titled else {"message": message}
    body = json.dumps(said, ensure_ascii=False).encode()
    return Answer(status, body, {"content-type": JSON_TYPE, "x-amzn-errortype": code})


def _nobody_answers(operation: str, of: str) -> Failure:
    if of == BATCH:
        return Failure(DIALECTS[of].invalid, f"{operation} of AWS Batch is not emulated.")
    if of == DATAZONE:
        return Failure(DIALECTS[of].broken, f"{operation} of Amazon DataZone is not emulated.")
    if "Variant" in operation or "Annotation" in operation:
        return Failure("AccessDeniedException", "Variant and annotation stores are closed to new customers.")
    modelled = {shape.name for shape in operation_model(operation).error_shapes}
    code = "NotSupportedOperationException"
    return Failure(code if code in modelled else "InternalServerException", f"{operation} is not emulated.")
