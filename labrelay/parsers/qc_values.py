"""Numbers as tools write them, and the metrics that they become: what a tool does not say is not there, never 0."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

from labrelay.model.qc import QCMetric
from labrelay.parsers.text import to_float


def json_object(data: bytes) -> dict[str, Any]:
    """Return the object in a JSON file; an empty one when it holds none."""
    try:
        return as_object(json.loads(data))
    except (ValueError, RecursionError):
        return {}


def as_object(value: object) -> dict[str, Any]:
    """Return the value when it is an object with names, else an empty one."""
    return value if isinstance(value, dict) else {}


def number(value: object) -> float | None:
    """Return a finite number, also one that stands there as text; None for anything else."""
    if isinstance(value, str):
        return to_float(value.strip().rstrip("%"))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:
        return None


@dataclass
class Metrics:
    """The metrics of one file, in the order in which they were found."""

    scope: str
    source: str
    found: list[QCMetric] = field(default_factory=list)

    def add(self, name: str, value: float | None, unit: str, scope: str | None = None) -> None:
        """Add a number; nothing when there is none."""
        if value is not None:
            self.found.append(
                QCMetric(name=name, value=value, unit=unit, scope=scope or self.scope, source=self.source)
            )

    def percent(self, name: str, part: float | None, whole: float | None) -> None:
        """Add a percentage of two counts; None as its value when the whole is 0, nothing when a count is missing."""
        if part is None or whole is None:
            return
        value = 100 * part / whole if whole else None
        self.found.append(QCMetric(name=name, value=value, unit="percent", scope=self.scope, source=self.source))

    def share(self, name: str, part: float | None) -> None:
        """Add a share of 1 as a percentage."""
        self.add(name, None if part is None else 100 * part, "percent")
