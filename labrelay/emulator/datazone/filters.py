"""The filters of DataZone's searches: clauses of `and`, `or` and comparisons of one attribute. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def fits(item: Mapping[str, Any], clause: Mapping[str, Any] | None) -> bool:
    """Return whether an item's attributes are as a filter clause asks; no clause asks for nothing."""
    if not clause:
        return True
    if "and" in clause:
        return all(fits(item, each) for each in clause["and"])
    if "or" in clause:
        return any(fits(item, each) for each in clause["or"])
    asked = clause["filter"]
    value, operator = item.get(asked["attribute"]), asked.get("operator", "EQ")
    wanted: Any = asked.get("intValue", asked.get("value"))
    if value is None or wanted is None:
        return False
    if isinstance(value, list):
        return any(_holds(each, operator, wanted) for each in value)
    return _holds(value, operator, wanted)


def _holds(value: Any, operator: str, wanted: Any) -> bool:
    if operator == "TEXT_SEARCH":
        return str(wanted).casefold() in str(value).casefold()
    if isinstance(wanted, int):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        left, right = value, wanted
    else:
        left, right = str(value), str(wanted)  # type: ignore[assignment]
    compared = {
        "EQ": left == right,
        "LT": left < right,
        "LE": left <= right,
        "GT": left > right,
        "GE": left >= right,
    }
    return compared[operator]
