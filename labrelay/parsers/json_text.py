"""JSON from instruments and tools: one object, looked into by keys, with nothing raised for what it may hold."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.parsers.text import decode, warning

JsonObject = dict[str, object]
_MAX_COUNT = 10**18


def parse_object(data: bytes, path: str, keep: frozenset[str] | None = None) -> tuple[JsonObject | None, list[Problem]]:
    """Return the object of a JSON file, or None with the warning `BAD_JSON`.

    Args:
        data: The whole file; the caller has bounded it.
        path: For messages.
        keep: Only what stands under these names is kept while reading, so that a large file of numbers per cycle costs
            little memory; all names when not given.
    """
    if not data.strip():
        return None, [warning("ZERO_BYTE_FILE", "it is empty, so nothing was taken from it", path)]
    try:
        found = json.loads(decode(data, path).text, object_pairs_hook=_keeping(keep) if keep else None)
    except (ValueError, RecursionError) as bad:
        return None, [warning("BAD_JSON", f"it is not JSON ({printable(str(bad), 100)}): copy it again", path)]
    if not isinstance(found, dict):
        return None, [warning("BAD_JSON", "it is JSON, and not an object with names: is it another file?", path)]
    return found, []


def _keeping(keep: frozenset[str]) -> Callable[[list[tuple[str, object]]], JsonObject | None]:
    def made(pairs: list[tuple[str, object]]) -> JsonObject | None:
        return {key: value for key, value in pairs if key in keep} or None

    return made


def at(value: object, *keys: str) -> object:
    """Return what lies below these keys, one in the other, or None."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def text_at(value: object, *keys: str) -> str | None:
    """Return a text below these keys, stripped; a whole number is given as its digits, an empty text as None."""
    found = at(value, *keys)
    if isinstance(found, str):
        return found.strip() or None
    return str(found) if isinstance(found, int) and not isinstance(found, bool) and abs(found) < _MAX_COUNT else None


def number_at(value: object, *keys: str) -> float | None:
    """Return a finite number below these keys, also one that is written as text; null is None."""
    found = at(value, *keys)
    if isinstance(found, bool) or not isinstance(found, int | float | str):
        return None
    try:
        number = float(found)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def objects_at(value: object, *keys: str) -> list[JsonObject]:
    """Return the objects of a list below these keys; what is none is passed over."""
    found = at(value, *keys)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
