"""What MultiQC is given of a run: Labrelay's own numbers as its custom content, so that it reads no file of the run.

A section is one JSON object of a file `*_mqc.json`. MultiQC puts names into its page as markup, and so every text here
is escaped. What has no value has no cell: it is never 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from labrelay.model.instrument import CycleQuality, InstrumentRun
from labrelay.model.names import printable
from labrelay.model.qc import QCMetric, told_apart
from labrelay.records.documents import heading, unit_sign

_PARTS = re.compile(r"(?:run|reads|(?:read|index|lane) \d+)\Z")
_UNKNOWN = "unknown_barcode_reads"
MOST_ROWS = 2000


def sections_of(run: InstrumentRun, cycles: Sequence[CycleQuality] = ()) -> dict[str, Any]:
    """Return the sections of an instrument run's report, by the name of their file without its ending.

    Args:
        run: What was read of the folder.
        cycles: The share of Q30 in each lane and cycle, where InterOp files tell it.
    """
    where = ", ".join(part for part in (run.platform, run.instrument_model, run.instrument_serial) if part)
    told = [metric for metric in run.qc if metric.value is not None]
    parts = [metric for metric in told if _PARTS.match(metric.scope)]
    unknown = [metric for metric in told if metric.name == _UNKNOWN]
    rest = [metric for metric in told if metric.name != _UNKNOWN and not _PARTS.match(metric.scope)]
    found = {
        "run": _table("run", "Run, reads and lanes", f"{run.run_id} ({where})", parts),
        "samples": _table("samples", "Samples", "As the converter, or the instrument, counted.", rest),
        "unknown": _table("unknown", "Unknown barcodes", "Frequent barcodes that no sample has.", unknown),
        "cycles": _by_cycle(cycles),
    }
    return {name: section for name, section in found.items() if section["data"]}


def sections_of_files(files: Iterable[tuple[str, str, Sequence[QCMetric]]]) -> dict[str, Any]:
    """Return a section for each tool of QC files, given as path, tool and numbers."""
    tools: dict[str, list[tuple[str, Sequence[QCMetric]]]] = {}
    for path, tool, metrics in files:
        if told := [metric for metric in metrics if metric.value is not None]:
            tools.setdefault(tool, []).append((path, told))
    found = {re.sub(r"\W+", "_", tool.lower()): (tool, told_apart(told)) for tool, told in tools.items()}
    return {key: _table(key, tool, "As the tool counted.", metrics) for key, (tool, metrics) in found.items()}


def _table(key: str, title: str, description: str, metrics: Sequence[QCMetric]) -> dict[str, Any]:
    rows: dict[str, dict[str, float]] = {}
    headers: dict[str, dict[str, Any]] = {}
    for metric in metrics:
        # MultiQC takes what stands before a slash for a folder, and leaves it out.
        name = _text(metric.scope.replace("/", "∕").replace("\\", "∖"))
        if metric.value is None or (name not in rows and len(rows) >= MOST_ROWS):
            continue
        rows.setdefault(name, {})[metric.name] = metric.value
        headers.setdefault(metric.name, _header(metric))
    made = _section(key, title, description, "table")
    made["pconfig"] |= {"col1_header": "Of", "sort_rows": False}
    return made | {"headers": headers, "data": rows}


def _header(metric: QCMetric) -> dict[str, Any]:
    sign = unit_sign(metric.unit)
    whole = metric.unit in ("count", "bp")
    return {
        "title": _text(heading(metric.name, {}) + (f" ({sign})" if sign else "")),
        "description": _text(f"{metric.name}, from {metric.source}" if metric.source else metric.name),
        "suffix": f" {_text(sign)}" if sign else "",
        "format": "{:,.0f}" if whole else "{:,.2f}",
        "min": 0,
        **({"max": 100} if metric.unit == "percent" else {}),
    }


def _by_cycle(cycles: Sequence[CycleQuality]) -> dict[str, Any]:
    lanes: dict[str, list[tuple[int, float]]] = {}
    for point in cycles:
        if point.q30_percent is not None:
            lanes.setdefault(f"lane {point.lane}", []).append((point.cycle, point.q30_percent))
    made = _section(
        "cycles", "Q30 by cycle", "Base calls of Q30 and better; cycles are counted through the run.", "linegraph"
    )
    made["pconfig"] |= {"xlab": "Cycle", "ylab": "Q30 (%)", "ymin": 0, "ymax": 100}
    return made | {"data": lanes}


def _section(key: str, title: str, description: str, plot: str) -> dict[str, Any]:
    config: dict[str, Any] = {"id": f"labrelay_{key}_plot", "title": f"Labrelay: {_text(title)}"}
    return {
        "id": f"labrelay_{key}",
        "section_name": _text(title),
        "description": _text(description),
        "plot_type": plot,
        "pconfig": config,
    }


def _text(words: str) -> str:
    return escape(printable(words, 200))
