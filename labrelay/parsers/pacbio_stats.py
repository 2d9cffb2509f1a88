"""What ccs and lima count: HiFi yield of a cell, and reads of each barcode, in the dialects of their versions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from labrelay.model.problem import Problem
from labrelay.model.qc import QCMetric
from labrelay.parsers.json_text import number_at, objects_at, parse_object, text_at
from labrelay.parsers.text import decode, lines, to_int, warning

_MOST_LINES = 5000
# The ids of ccs 5; ccs 6 writes `ccs_processing.` before them, SMRT Link its own.
_IDS = {
    "zmw_input": ("zmws", "count"),
    "zmw_passed_yield": ("zmws_passed", "count"),
    "zmw_filtered_yield": ("zmws_failed", "count"),
    "number_of_ccs_reads": ("reads", "count"),
    "number_of_hifi_reads": ("reads", "count"),
    "total_number_of_ccs_bases": ("bases", "bp"),
    "total_number_of_hifi_bases": ("bases", "bp"),
    "mean_ccs_readlength": ("mean_length", "bp"),
    "ccs_accuracy_median": ("accuracy_median", ""),
    "median_accuracy": ("accuracy_median", ""),
}
_LINES = (
    ("zmws", re.compile(r"ZMWs input\s*(?:\(A\))?\s*:\s*(\d+)")),
    ("zmws_passed", re.compile(r"ZMWs (?:generating CCS|pass filters)\s*(?:\(B\))?\s*:\s*(\d+)")),
    ("zmws_failed", re.compile(r"ZMWs (?:filtered|fail filters)\s*(?:\(C\))?\s*:\s*(\d+)")),
)
_LIMA = (
    ("reads_to_assign", re.compile(r"(?:ZMWs|Reads) input\s*(?:\(A\))?\s*:\s*(\d+)")),
    ("reads_assigned", re.compile(r"(?:ZMWs|Reads) above all thresholds\s*(?:\(A\)|\(B\))?\s*:\s*(\d+)")),
    ("reads_unassigned", re.compile(r"(?:ZMWs|Reads) below any threshold\s*(?:\(B\)|\(C\))?\s*:\s*(\d+)")),
)


def ccs_metrics(data: bytes, path: str, scope: str) -> tuple[list[QCMetric], list[Problem]]:
    """Return what a ccs report counts, JSON (ccs 5 and later) or text.

    Args:
        data: The whole file.
        path: For messages and as the metrics' source; its ending says which of the two it is.
        scope: The cell.
    """
    counts: dict[str, tuple[float, str]] = {}
    if path.lower().endswith(".json"):
        report, problems = parse_object(data, path)
        for item in objects_at(report, "attributes"):
            known = _IDS.get((text_at(item, "id") or "").rpartition(".")[2])
            value = number_at(item, "value")
            if known is not None and value is not None:
                counts.setdefault(known[0], (value, known[1]))
    else:
        problems, counts = [], {name: (count, "count") for name, count in _counted(data, path, _LINES)}
    if not counts and not problems:
        problems = [warning("BAD_REPORT", "nothing in it is known of a ccs report, so nothing was taken", path)]
    found = [QCMetric(name=name, value=v, unit=unit, scope=scope, source=path) for name, (v, unit) in counts.items()]
    zmws, passed = counts.get("zmws"), counts.get("zmws_passed")
    if zmws and passed:
        share = 100 * passed[0] / zmws[0] if zmws[0] else None
        found.append(QCMetric(name="zmws_passed_percent", value=share, unit="percent", scope=scope, source=path))
    return found, problems


def _counted(data: bytes, path: str, known: tuple[tuple[str, re.Pattern[str]], ...]) -> Iterator[tuple[str, int]]:
    seen = set()
    for line in lines(decode(data, path).text)[:_MOST_LINES]:
        for name, pattern in known:
            match = pattern.match(line[:200].strip())
            count = to_int(match[1]) if match else None
            if count is not None and name not in seen:
                seen.add(name)
                yield name, count


def lima_summary_metrics(data: bytes, path: str, scope: str) -> list[QCMetric]:
    """Return how many reads of a cell got a barcode, by lima's summary."""
    return [
        QCMetric(name=name, value=count, unit="count", scope=scope, source=path)
        for name, count in _counted(data, path, _LIMA)
    ]


def lima_counts(data: bytes, path: str) -> tuple[dict[str, int], list[Problem]]:
    """Return the reads of each barcode, such as `bc1002--bc1002`, by lima's counts.

    Args:
        data: A tab-separated table with IdxFirstNamed, IdxCombinedNamed and Counts.
        path: For messages.
    """
    rows = [line.split("\t") for line in lines(decode(data, path).text)[:_MOST_LINES] if line.strip()]
    if not rows:
        return {}, []
    keys = [cell.strip() for cell in rows[0]]
    if not {"IdxFirstNamed", "IdxCombinedNamed", "Counts"} <= set(keys):
        what = "its first line does not name IdxFirstNamed, IdxCombinedNamed and Counts, so nothing was taken"
        return {}, [warning("BAD_REPORT", what, path, 1)]
    found = {}
    for row in rows[1:]:
        values = dict(zip(keys, row, strict=False))
        count = to_int(values.get("Counts"))
        first, second = values.get("IdxFirstNamed"), values.get("IdxCombinedNamed")
        if count is not None and first and second:
            found[f"{first}--{second}"] = count
    return found, []
