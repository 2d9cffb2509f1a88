"""Answers held against botocore's service model, which botocore itself asks of requests only.

    recorder = Recorder(client)
    client.get_run(id="1")
    assert recorder.problems() == {}

Nothing here is shared with the code that writes the answers: a mistake there would be made here again.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import regex

ISO_8601 = regex.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z")
PROTOCOL_MEMBERS = {"__type"}  # of an error's body: rest-json names the error there as well, no shape has it
NO_CONTENT = 204  # a body after it would be read as the next answer of the connection, whatever the model says
Problems = Iterator[str]


@dataclass(frozen=True)
class Answer:
    """One answer as it came over the wire, and what botocore made of it.

    Attributes:
        operation: botocore's model of the operation.
        status: The HTTP status.
        headers: As sent.
        body: The bytes of the body; None where it is a stream.
        parsed: What the caller got, or would have got.
    """

    operation: Any
    status: int
    headers: Mapping[str, str]
    body: bytes | None
    parsed: Mapping[str, Any]

    @property
    def failed(self) -> bool:
        """Whether it is an error."""
        return self.status >= 300

    def problems(self) -> list[str]:
        """Return everything in which the answer is not as the model says; one sentence each."""
        return list(self._error() if self.failed else self._success())

    def _success(self) -> Problems:
        declared = self.operation.http.get("responseCode", 200)
        if self.status != declared:
            yield f"the status is {self.status}, not {declared}"
        shape = self.operation.output_shape
        if shape is None or self.status == NO_CONTENT:
            if self.body:
                yield f"there is a body, and nothing to say in it: {self.body[:60]!r}"
            return
        given = {name: value for name, value in self.parsed.items() if name != "ResponseMetadata"}
        if "payload" in shape.serialization:
            name = shape.serialization["payload"]
            if not hasattr(given.get(name), "read"):
                yield f"{name} is no stream"
            return
        yield from _json_problems(shape, self.body or b"", self.headers)
        yield from (f"as parsed, {problem}" for problem in _structure(shape, given, "", _time_parsed))

    def _error(self) -> Problems:
        code = self.headers.get("x-amzn-errortype", "")
        shapes = {shape.name: shape for shape in self.operation.error_shapes}
        if code not in shapes:
            yield f"{code or 'an error without a code'} ({self.status}) is none of {', '.join(sorted(shapes))}"
            return
        # Batch's model has no status for its errors; they are the caller's or the service's fault.
        whose = 500 if code.startswith("Server") else 400
        declared = shapes[code].metadata.get("error", {}).get("httpStatusCode", whose)
        if self.status != declared:
            yield f"the status of {code} is {self.status}, not {declared}"
        if self.parsed["Error"]["Code"] != code:
            yield f"botocore takes {code} for {self.parsed['Error']['Code']}"
        yield from _json_problems(shapes[code], self.body or b"", self.headers, PROTOCOL_MEMBERS)


class Recorder:
    """Keeps every answer that a client gets.

    Attributes:
        answers: In their order.
    """

    def __init__(self, client: Any) -> None:
        self._service = client.meta.service_model
        self.answers: list[Answer] = []
        client.meta.events.register(f"response-received.{self._service.service_name}", self._keep)

    def _keep(self, event_name: str, response_dict: Any, parsed_response: Any, **_: Any) -> None:
        if response_dict is None:
            return
        model = self._service.operation_model(event_name.rpartition(".")[2])
        body = response_dict["body"]
        content = body if isinstance(body, bytes) else None
        kept = Answer(model, response_dict["status_code"], response_dict["headers"], content, parsed_response)
        self.answers.append(kept)

    def succeeded(self) -> set[str]:
        """Return the operations that were answered with anything but an error."""
        return {answer.operation.name for answer in self.answers if not answer.failed}

    def problems(self) -> dict[str, list[str]]:
        """Return what is wrong by operation, each sentence once; those without problems are left out."""
        found: dict[str, dict[str, None]] = {}
        for answer in self.answers:
            for problem in answer.problems():
                found.setdefault(answer.operation.name, {})[problem] = None
        return {name: list(problems) for name, problems in found.items()}


def _json_problems(shape: Any, body: bytes, headers: Mapping[str, str], more: Collection[str] = ()) -> Problems:
    """Yield what is wrong with a body; members `more` are there beside those of the shape."""
    if headers.get("content-type") != "application/json":
        yield f"the content type is {headers.get('content-type')}"
    try:
        value = json.loads(body)
    except ValueError:
        yield f"the body is not JSON: {body[:60]!r}"
        return
    if isinstance(value, dict):
        value = {name: inner for name, inner in value.items() if name not in more}
    yield from _check(shape, value, "", _time_sent)


Timed = Callable[[Any, Any, str], Problems]


def _check(shape: Any, value: Any, at: str, timed: Timed) -> Problems:
    """Yield what is wrong with a value; `timed` checks the timestamps in it."""
    if getattr(shape, "is_document_type", False):
        return
    if shape.type_name == "timestamp":
        yield from timed(shape, value, at)
        return
    expected, inside = KINDS[shape.type_name]
    # A truth value is an int for Python, and is none for JSON.
    if not isinstance(value, expected) or (isinstance(value, bool) and shape.type_name != "boolean"):
        yield f"{at or 'the body'} is {value!r}, no {shape.type_name}"
        return
    yield from inside(shape, value, at, timed)


def _structure(shape: Any, value: Any, at: str, timed: Timed) -> Problems:
    wire = _wire_names(shape) if timed is _time_sent else {name: name for name in shape.members}
    yield from (f"{_in(at, name)} is not modelled" for name in value if name not in wire.values())
    for name, member in shape.members.items():
        if wire[name] in value:
            yield from _check(member, value[wire[name]], _in(at, name), timed)
        elif name in shape.required_members:
            yield f"{_in(at, name)} is required and missing"
    if shape.is_tagged_union and len(value) != 1:
        yield f"{at or 'the body'} has {len(value)} members, and is a union"


def _list(shape: Any, value: Any, at: str, timed: Timed) -> Problems:
    yield from _size(shape, len(value), at)
    for number, inner in enumerate(value):
        yield from _check(shape.member, inner, f"{at}[{number}]", timed)


def _map(shape: Any, value: Any, at: str, timed: Timed) -> Problems:
    yield from _size(shape, len(value), at)
    for key, inner in value.items():
        yield from _check(shape.key, key, f"the key of {_in(at, key)}", timed)
        yield from _check(shape.value, inner, _in(at, key), timed)


def _string(shape: Any, value: Any, at: str, _timed: Timed) -> Problems:
    yield from _size(shape, len(value), at)
    pattern = shape.metadata.get("pattern")
    if pattern is not None and not regex.fullmatch(pattern, value):
        yield f"{at} is {value!r}, which {pattern} does not match"
    if shape.enum and value not in shape.enum:
        yield f"{at} is {value!r}, none of {', '.join(shape.enum)}"


def _number(shape: Any, value: Any, at: str, _timed: Timed) -> Problems:
    yield from _size(shape, value, at)


def _blob(_shape: Any, value: Any, at: str, _timed: Timed) -> Problems:
    try:
        base64.b64decode(value, validate=True)
    except binascii.Error:
        yield f"{at} is not base64"


def _anything(_shape: Any, _value: Any, _at: str, _timed: Timed) -> Problems:
    yield from ()


def _time_sent(shape: Any, value: Any, at: str) -> Problems:
    if "timestampFormat" not in shape.serialization:  # rest-json's own: seconds since 1970
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e11:
            yield f"{at} is {value!r}, no seconds since 1970"
    elif shape.serialization["timestampFormat"] != "iso8601":
        yield f"{at} has a format that nobody checks here"
    elif not isinstance(value, str) or not ISO_8601.fullmatch(value):
        yield f"{at} is {value!r}, no ISO 8601 time in UTC"
    else:
        try:
            datetime.fromisoformat(value)
        except ValueError:
            yield f"{at} is {value!r}, a time that never was"


def _time_parsed(_shape: Any, value: Any, at: str) -> Problems:
    if not isinstance(value, datetime) or value.tzinfo is None:
        yield f"{at} is {value!r}, no moment"


KINDS: dict[str, tuple[type | tuple[type, ...], Callable[[Any, Any, str, Timed], Problems]]] = {
    "structure": (dict, _structure),
    "list": (list, _list),
    "map": (dict, _map),
    "string": (str, _string),
    "integer": (int, _number),
    "long": (int, _number),
    "float": ((int, float), _number),
    "double": ((int, float), _number),
    "boolean": (bool, _anything),
    "blob": (str, _blob),
}


def _size(shape: Any, size: float, at: str) -> Problems:
    """Yield whether a length or a number is outside of its limits."""
    least, most = shape.metadata.get("min", size), shape.metadata.get("max", size)
    if not least <= size <= most:
        yield f"{at} has or is {size}, not {least} to {most}"


def _wire_names(shape: Any) -> dict[str, str]:
    """Return the names that the members have in JSON; what goes elsewhere is not among them."""
    return {name: member.serialization.get("name", name) for name, member in shape.members.items()}


def _in(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name
