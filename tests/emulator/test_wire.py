"""Every operation of the service model goes over the wire and comes out as it was asked."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.awsrequest import AWSResponse
from emulated import client

from labrelay.emulator import shapes, wire
from labrelay.emulator.routing import find_route, operation_model, service_model

MOMENT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
ACCOUNT_ARN = "arn:aws:omics:us-east-1:123456789012"
# A value for each pattern that plain letters do not satisfy.
EXAMPLES = (
    "|",
    "1234567890",
    "123456789012",
    "23.10.0",
    "s3://bucket/key/",
    "s3://bucket/key",
    f"{ACCOUNT_ARN}:run/1+2 3",
    f"{ACCOUNT_ARN}:accesspoint",
    "arn:aws:s3:us-east-1:123456789012:accesspoint/name",
    "arn:aws:secretsmanager:us-east-1:123456789012:secret:name",
    "01234567-89ab-cdef-0123-456789abcdef",
    "owner/repository",
    "sg-0123456789abcdef0",
    "subnet-0123456789abcdef0",
    "vpc-0123456789abcdef0",
    "sha256:ü",
    "abcdefghij",
    "é & ü 100%/x?y=z+1",
)


def example(shape: Any) -> Any:
    """Return a value that the model allows."""
    if getattr(shape, "is_document_type", False):
        return {"a": [1, 2.5, None, True], "ü": {"b": "c"}}
    make = {
        "structure": lambda: {name: example(member) for name, member in members(shape)},
        "list": lambda: [example(shape.member)] * max(1, shape.metadata.get("min", 1)),
        "map": lambda: {example(shape.key): example(shape.value)},
        "blob": lambda: b"\x00\xffbytes",
        "timestamp": lambda: MOMENT,
        "integer": lambda: max(1, shape.metadata.get("min", 1)),
        "long": lambda: 1 << 40,
        "boolean": lambda: False,
        "string": lambda: text(shape),
    }
    return make[shape.type_name]()


def members(shape: Any) -> list[tuple[str, Any]]:
    """Return the members to give: all, or one of a union."""
    return list(shape.members.items())[: 1 if shape.is_tagged_union else None]


def text(shape: Any) -> str:
    allowed = shape.metadata.get("enum")
    for value in allowed or reversed(EXAMPLES):
        if not read_problems(shape, value):
            return str(value)
    raise AssertionError(f"no example for {shape.name}: {shape.metadata}")


def read_problems(shape: Any, value: Any) -> list[str]:
    reader = shapes.Reader()
    reader.read(shape, value, "x")
    return reader.problems


def as_read(value: Any) -> Any:
    """Return what the reader makes of a Python value: times become text."""
    if isinstance(value, dict):
        return {key: as_read(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_read(inner) for inner in value]
    return "2026-03-04T05:06:07.000Z" if value == MOMENT else value


def sent(operation: str, params: dict[str, Any]) -> wire.Request:
    """Return what boto3 sends, as the server takes it in."""
    caught: list[Any] = []

    def catch(request: Any, **_: Any) -> AWSResponse:
        caught.append(request)
        raise Caught

    omics = client("omics", "http://127.0.0.1:9")
    omics.meta.events.register("before-send.omics", catch)
    names = {model: method for method, model in omics.meta.method_to_api_mapping.items()}
    with pytest.raises(Caught):
        getattr(omics, names[operation])(**params)
    request = caught[0]
    url = urlsplit(request.url)
    route = find_route(request.method, url.path)
    assert route is not None, request.url
    assert route[0] == operation
    headers = {
        str(name).lower(): value if isinstance(value, str) else value.decode()
        for name, value in request.headers.items()
    }
    body = request.body if isinstance(request.body, bytes) else (request.body or b"")
    body = body.read() if hasattr(body, "read") else body
    return wire.Request(*route, parse_qs(url.query, keep_blank_values=True), headers, body)


class Caught(Exception):
    """The request was seen; nothing is sent."""


@pytest.mark.parametrize("operation", service_model().operation_names)
def test_what_boto3_sends_is_read_as_it_was_asked(operation: str) -> None:
    shape = operation_model(operation).input_shape
    asked = example(shape) if shape is not None else {}
    params, problems = wire.parse(sent(operation, asked))
    assert problems == []
    assert params == as_read(asked)


@pytest.mark.parametrize("operation", service_model().operation_names)
def test_what_is_written_is_what_boto3_reads(operation: str) -> None:
    from botocore.parsers import create_parser

    model = operation_model(operation)
    shape = model.output_shape
    if shape is None or shape.serialization.get("payload"):
        return
    value = as_read(example(shape))
    answered = wire.json_answer(shapes.write(shape, {**value, "unknownMember": 1, next(iter(value), "x"): None}))
    parsed = create_parser("rest-json").parse(
        {"status_code": 200, "headers": answered.headers, "body": answered.body}, shape
    )
    assert "unknownMember" not in parsed
    expected = {name: inner for i, (name, inner) in enumerate(example(shape).items()) if i > 0}
    assert {name: inner for name, inner in parsed.items() if name != "ResponseMetadata"} == expected


def test_a_literal_segment_is_no_batch() -> None:
    assert find_route("POST", "/runBatch/cancel") == ("CancelRunBatch", {})
    assert find_route("GET", "/runBatch/cancel") == ("GetBatch", {"batchId": "cancel"})
    assert find_route("PUT", "/runBatch/cancel") is None


def test_an_encoded_arn_is_one_segment() -> None:
    found = find_route("GET", "/tags/arn%3Aaws%3Aomics%3Aus-east-1%3A123456789012%3Arun%2F1")
    assert found == ("ListTagsForResource", {"resourceArn": f"{ACCOUNT_ARN}:run/1"})
