"""Values and the shapes of botocore's service model: reading with every constraint checked, and writing.

boto3 itself checks types, required members and minima, but no maxima, patterns or enums; a caller that sends what AWS
would refuse must be refused here too.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import cache
from pathlib import Path
from typing import Any

import regex  # type: ignore[import-untyped]

SHOWN = 60  # characters of a refused value that an error repeats


class Reader:
    """Turns values as clients send them into parameters, and notes every problem.

    Timestamps become ISO 8601 text in UTC with milliseconds, as `service.timestamp` writes it, so that they compare as
    text; blobs become bytes, a stream stays a path; documents are not touched; a null member is as absent.

    Attributes:
        problems: One sentence each, naming the member.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []

    def read(self, shape: Any, value: Any, at: str) -> Any:
        """Return the value as a parameter.

        Args:
            shape: What the model says of it.
            value: As parsed from JSON, or as a Python caller gives it (bytes, datetimes).
            at: The member's place, such as `sources.1.member.name`; empty for the request itself.
        """
        if getattr(shape, "is_document_type", False):
            return value
        readers: dict[str, Callable[[Any, Any, str], Any]] = {
            "structure": self._structure,
            "list": self._list,
            "map": self._map,
            "blob": self._blob,
            "timestamp": self._timestamp,
            "string": self._string,
            "integer": self._number,
            "long": self._number,
            "float": self._number,
            "double": self._number,
            "boolean": self._boolean,
        }
        return readers[shape.type_name](shape, value, at)

    def _structure(self, shape: Any, value: Any, at: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            self._refuse(value, at, "Member must be an object")
            return {}
        given = {name: value[name] for name in shape.members if value.get(name) is not None}
        for name in shape.required_members:
            if name not in given:
                self.problems.append(f"Value null at '{_inside(at, name)}' {FAILED} Member must not be null")
        if shape.is_tagged_union and len(given) != 1:
            names = ", ".join(shape.members)
            self.problems.append(f"Value at '{at or 'body'}' {FAILED} Member must have exactly one of {names}")
        return {name: self.read(shape.members[name], inner, _inside(at, name)) for name, inner in given.items()}

    def _list(self, shape: Any, value: Any, at: str) -> list[Any]:
        if not isinstance(value, list | tuple):
            self._refuse(value, at, "Member must be a list")
            return []
        self._within(shape, len(value), value, at, "length")
        return [self.read(shape.member, inner, f"{at}.{i}.member") for i, inner in enumerate(value, start=1)]

    def _map(self, shape: Any, value: Any, at: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            self._refuse(value, at, "Member must be an object")
            return {}
        self._within(shape, len(value), value, at, "length")
        return {
            self.read(shape.key, key, f"{at}.key"): self.read(shape.value, inner, _inside(at, str(key)))
            for key, inner in value.items()
        }

    def _string(self, shape: Any, value: Any, at: str) -> str:
        if not isinstance(value, str):
            self._refuse(value, at, "Member must be a string")
            return ""
        self._within(shape, len(value), value, at, "length")
        pattern = None if shape.name in NOT_AS_WRITTEN else shape.metadata.get("pattern")
        if pattern is not None and not _compiled(pattern).fullmatch(value):
            self._refuse(value, at, f"Member must satisfy regular expression pattern: {pattern}")
        allowed = shape.metadata.get("enum")
        if allowed and value not in allowed:
            self._refuse(value, at, f"Member must satisfy enum value set: [{', '.join(allowed)}]")
        return value

    def _number(self, shape: Any, value: Any, at: str) -> int | float:
        fraction = shape.type_name in ("float", "double")
        if isinstance(value, bool) or not isinstance(value, int | float if fraction else int):
            self._refuse(value, at, "Member must be a number" if fraction else "Member must be a whole number")
            return 0
        self._within(shape, value, value, at, "value")
        return value

    def _boolean(self, _shape: Any, value: Any, at: str) -> bool:
        if not isinstance(value, bool):
            self._refuse(value, at, "Member must be true or false")
            return False
        return value

    def _blob(self, shape: Any, value: Any, at: str) -> bytes | Path:
        if isinstance(value, Path):
            return value
        try:
            content = value if isinstance(value, bytes) else base64.b64decode(value, validate=True)
        except (binascii.Error, TypeError, ValueError):
            self._refuse("(bytes)", at, "Member must be base64")
            return b""
        self._within(shape, len(content), "(bytes)", at, "length")
        return content

    def _timestamp(self, _shape: Any, value: Any, at: str) -> str:
        try:
            return _moment(value).astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        except (ValueError, TypeError, OverflowError, OSError):
            self._refuse(value, at, "Member must be a time such as 2026-01-31T12:00:00Z")
            return ""

    def _within(self, shape: Any, size: int, value: Any, at: str, measure: str) -> None:
        least, most = shape.metadata.get("min"), shape.metadata.get("max")
        if least is not None and size < least:
            self._refuse(value, at, f"Member must have {measure} greater than or equal to {least}")
        if most is not None and size > most:
            self._refuse(value, at, f"Member must have {measure} less than or equal to {most}")

    def _refuse(self, value: Any, at: str, why: str) -> None:
        shown = str(value)
        shown = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}…"
        self.problems.append(f"Value '{shown}' at '{at or 'body'}' {FAILED} {why}")


NOT_AS_WRITTEN = {"Range"}  # its pattern has no letters, and so would refuse every `bytes=0-99`
FAILED = "failed to satisfy constraint:"


def read(shape: Any, value: Any) -> tuple[dict[str, Any], list[str]]:
    """Return a structure's parameters and every problem that they have."""
    reader = Reader()
    return reader.read(shape, value, ""), reader.problems


def write(shape: Any, value: Any) -> Any:
    """Return a value as JSON says it: unknown members and None dropped, bytes as base64, times as the model has them.

    A model that says nothing of times has them as seconds since 1970, as rest-json does.
    """
    if value is None or getattr(shape, "is_document_type", False):
        return value
    if shape.type_name == "structure":
        given = ((name, inner, value.get(name)) for name, inner in shape.members.items())
        return {name: write(inner, found) for name, inner, found in given if found is not None}
    if shape.type_name == "list":
        return [write(shape.member, inner) for inner in value]
    if shape.type_name == "map":
        return {key: write(shape.value, inner) for key, inner in value.items() if inner is not None}
    if shape.type_name == "blob":
        return base64.b64encode(value).decode("ascii")
    if shape.type_name == "timestamp":
        moment = _moment(value)
        iso = shape.serialization.get("timestampFormat") == "iso8601"
        return (value if isinstance(value, str) else moment.isoformat()) if iso else round(moment.timestamp(), 3)
    return value


def write_headers(shape: Any, value: Mapping[str, Any]) -> dict[str, str]:
    """Return those members of an answer that go into headers; times as HTTP has them."""
    found = {}
    for name, member in shape.members.items():
        given = value.get(name)
        if member.serialization.get("location") == "header" and given is not None:
            is_time = member.type_name == "timestamp"
            found[member.serialization["name"]] = (
                format_datetime(_moment(given), usegmt=True) if is_time else str(given)
            )
    return found


def from_text(shape: Any, values: list[str]) -> Any:
    """Return what a path, query or header says as JSON would: numbers and truth values parsed, lists kept.

    What cannot be parsed stays text, so that reading it names the problem.
    """
    if shape.type_name == "list":
        return values
    text = values[-1]
    if shape.type_name in ("integer", "long"):
        return int(text) if regex.fullmatch(r"[+-]?[0-9]{1,18}", text) else text
    if shape.type_name == "boolean":
        return {"true": True, "false": False}.get(text.lower(), text)
    return text


def _moment(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC)
    found = datetime.fromisoformat(value)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


@cache
def _compiled(pattern: str) -> Any:
    return regex.compile(pattern)


def _inside(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name
