"""The numbers of a result, read from the outputs that the definition names: JSON, and QC files of common tools."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from labrelay.model.qc import QCMetric, told_apart
from labrelay.parsers.qc_files import read_qc, tool_of
from labrelay.workflows.definition import Definition
from labrelay.workflows.specs import MetricSpec

MAX_BYTES = 50_000_000
MAX_OF_A_FILE = 200  # beyond so many, they are of lanes and barcodes, and no reader sees through them
_log = logging.getLogger(__name__)


def read_metrics(
    definition: Definition, outputs: Sequence[tuple[str, Path]], scope: str = "run"
) -> tuple[QCMetric, ...]:
    """Return the definition's metrics in its order; one that is not in its file has the value None, never 0.

    Then come the other numbers of QC files, each called `OUTPUT_NUMBER`.

    Args:
        definition: Says in which output and under which pointer each number is.
        outputs: Name and path of each output file.
        scope: What the metrics are about, such as the sample's name.
    """
    documents: dict[str, Any] = {}
    paths = dict(outputs)
    told = {name: _qc(name, outputs, scope) for name, spec in definition.outputs.items() if spec.qc}
    found = []
    for name, spec in definition.metrics.items():
        if spec.output in told:
            found += _picked(name, spec, told[spec.output], scope)
            continue
        path = paths.get(spec.output)
        if spec.output not in documents:
            documents[spec.output] = _read(path)
        value = _number(_at(documents[spec.output], spec.pointer))
        source = path.name if path is not None else None
        found.append(QCMetric(name=name, value=value, unit=spec.unit, scope=scope, source=source))
    taken = {(spec.output, spec.pointer[1:]) for spec in definition.metrics.values()}
    for output, metrics in told.items():
        for metric in metrics:
            name = _joined(output, metric.name)
            if (output, metric.name) not in taken and name not in definition.metrics:
                found.append(metric.model_copy(update={"name": name}))
    return tuple(in_order(definition, found))


def in_order(definition: Definition, metrics: Iterable[QCMetric]) -> list[QCMetric]:
    """Return the metrics as the definition has them, then the others by name; scopes by theirs."""
    order = {name: place for place, name in enumerate(definition.metrics)}
    return sorted(metrics, key=lambda m: (order.get(m.name, len(order)), m.name, m.scope))


def _qc(output: str, outputs: Sequence[tuple[str, Path]], scope: str) -> list[QCMetric]:
    """Return the numbers in an output's QC files; the scope tells which file, where there are several."""
    paths = [path for name, path in outputs if name == output]
    files = []
    for path in paths:
        data = _bytes(path)
        if data is None or tool_of(data) is None:
            _log.warning("%s is a QC file by its definition, but no tool known here wrote it: no numbers", path.name)
            continue
        metrics = read_qc(path.name, data, scope if len(paths) == 1 else None)
        files.append((path.as_posix(), metrics[:MAX_OF_A_FILE]))
    found: dict[tuple[str, str], QCMetric] = {}
    for metric in told_apart(files):
        # What lies within the file's scope says so: `run, chr1`.
        within = metric.scope.removeprefix(f"{scope}, ")
        found.setdefault((within, metric.name), metric.model_copy(update={"scope": within}))
    return list(found.values())


def _picked(name: str, spec: MetricSpec, told: Iterable[QCMetric], scope: str) -> list[QCMetric]:
    """Return the number that a metric of a QC file is; one without a value where no file has it.

    Numbers of whole files stand before those of parts (`chr1`), and the reader's unit before the definition's.
    """
    named = [metric for metric in told if metric.name == spec.pointer[1:]]
    whole = [metric for metric in named if metric.scope == scope] or [m for m in named if ", " not in m.scope]
    if not named:
        return [QCMetric(name=name, value=None, unit=spec.unit, scope=scope)]
    return [metric.model_copy(update={"name": name}) for metric in whole or named]


def _joined(output: str, name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", f"{output}_{name}".lower()).strip("_")


def _bytes(path: Path | None) -> bytes | None:
    try:
        return None if path is None or path.stat().st_size > MAX_BYTES else path.read_bytes()
    except OSError:
        return None


def _read(path: Path | None) -> Any:
    data = _bytes(path)
    try:
        return json.loads(data) if data is not None else None
    except (ValueError, RecursionError):
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
