"""The numbers of a result, read from the JSON outputs that the definition names."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labrelay.model.qc import QCMetric
from labrelay.workflows.definition import Definition

MAX_BYTES = 50_000_000


def read_metrics(definition: Definition, outputs: Mapping[str, Path], scope: str = "run") -> tuple[QCMetric, ...]:
    """Return the definition's metrics in its order; one that is not in its file has the value None, never 0.

    Args:
        definition: Says in which output and under which pointer each number is.
        outputs: The path of each output file, by output name.
        scope: What the metrics are about, such as the sample's name.
    """
    documents: dict[str, Any] = {}
    found = []
    for name, spec in definition.metrics.items():
        path = outputs.get(spec.output)
        if spec.output not in documents:
            documents[spec.output] = _read(path)
        value = _number(_at(documents[spec.output], spec.pointer))
        source = path.name if path is not None else None
        found.append(QCMetric(name=name, value=value, unit=spec.unit, scope=scope, source=source))
    return tuple(found)


def _read(path: Path | None) -> Any:
    try:
        if path is None or path.stat().st_size > MAX_BYTES:
            return None
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def _at(document: Any, pointer: str) -> Any:
    """Return what a JSON pointer (RFC 6901) points to, or None."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict):
            document = document.get(key)
        elif isinstance(document, list) and key.isdigit() and int(key) < len(document):
            document = document[int(key)]
        else:
            return None
    return document


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)
