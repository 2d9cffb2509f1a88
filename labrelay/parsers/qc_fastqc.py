"""What FastQC found, from `fastqc_data.txt` or the zip that it comes in."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator

from labrelay.model.qc import QCMetric
from labrelay.parsers.qc_values import Metrics, number
from labrelay.parsers.text import decode, lines

MAX_INFLATED = 20 * 1024 * 1024


def looks_like(head: bytes) -> bool:
    """Return whether a file begins as `fastqc_data.txt` or as a FastQC zip does."""
    return head.startswith(b"##FastQC") or (head.startswith(b"PK") and b"_fastqc/" in head[:200])


def read(data: bytes, scope: str, source: str) -> list[QCMetric]:
    """Return counts, GC, duplication, the lowest mean quality of a position, adapters, and how many modules failed."""
    text = _unzipped(data) if data.startswith(b"PK") else data
    modules = list(_modules(text)) if text is not None else []
    basic = next((rows for name, _, rows in modules if name == "Basic Statistics"), [])
    named = next((row[1] for row in basic if len(row) > 1 and row[0] == "Filename"), "")
    # Unzipped, the file is called the same for every sample.
    metrics = Metrics(named.partition(".")[0][:200] or scope if scope == "fastqc_data" else scope, source)
    _basic(basic, metrics)
    reads = _value(basic, "Total Sequences")
    for name, _, rows in modules:
        if name == "Sequence Duplication Levels" and reads:
            # Named `Total Duplicate Percentage` before version 0.11, which is the other way round.
            left = _value(rows, "#Total Deduplicated Percentage")
            metrics.add("duplication_percent", 100 - left if left is not None else None, "percent")
            metrics.add("duplication_percent", _value(rows, "#Total Duplicate Percentage"), "percent")
        elif name == "Per base sequence quality":
            means = [value for row in rows[1:] if len(row) > 1 and (value := number(row[1])) is not None]
            metrics.add("lowest_mean_quality", min(means, default=None), "phred")
        elif name == "Adapter Content":
            parts = [value for row in rows[1:] for cell in row[1:] if (value := number(cell)) is not None]
            metrics.add("adapter_percent", max(parts, default=None), "percent")
    for word, label in (("fail", "modules_failed"), ("warn", "modules_warned")):
        if modules:
            metrics.add(f"fastqc_{label}", sum(status == word for _, status, _ in modules), "count")
    return metrics.found


def _unzipped(data: bytes) -> bytes | None:
    """Return `fastqc_data.txt` of the zip; None when it has none, is broken, or would inflate beyond reason."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = [info for info in archive.infolist() if info.filename.rpartition("/")[2] == "fastqc_data.txt"]
            if not infos or infos[0].flag_bits & 1:
                return None
            with archive.open(infos[0]) as member:
                found = member.read(MAX_INFLATED + 1)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError):
        return None
    return found if len(found) <= MAX_INFLATED else None


def _modules(data: bytes) -> Iterator[tuple[str, str, list[list[str]]]]:
    """Give the name, the verdict and the rows of each module."""
    name, status, rows = "", "", list[list[str]]()
    for line in lines(decode(data, "").text):
        if line == ">>END_MODULE":
            if name:
                yield name, status, rows
            name, rows = "", []
        elif line.startswith(">>"):
            name, _, status = line[2:].partition("\t")
            status = status.strip()
        elif name and line:
            rows.append(line.split("\t"))


def _value(rows: list[list[str]], name: str) -> float | None:
    return next((number(row[1]) for row in rows if len(row) > 1 and row[0] == name), None)


def _basic(rows: list[list[str]], metrics: Metrics) -> None:
    reads = _value(rows, "Total Sequences")
    metrics.add("reads", reads, "count")
    metrics.add("poor_quality_reads", _value(rows, "Sequences flagged as poor quality"), "count")
    metrics.add("gc_percent", _value(rows, "%GC") if reads else None, "percent")
    length = next((row[1] for row in rows if len(row) > 1 and row[0] == "Sequence length"), "")
    shortest, _, longest = length.partition("-")
    metrics.add("shortest_read", number(shortest) if reads else None, "bp")
    metrics.add("longest_read", number(longest or shortest) if reads else None, "bp")
