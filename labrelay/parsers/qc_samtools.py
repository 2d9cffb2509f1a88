"""What samtools counted: flagstat, stats, idxstats and coverage, from their text (flagstat from its JSON, too).

Percentages are made from the counts: samtools writes `nan%`, `-nan%` or `N/A` for what it cannot divide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from labrelay.model.qc import QCMetric
from labrelay.parsers.qc_values import Metrics, as_object, json_object, number
from labrelay.parsers.text import decode, lines

MAX_REFERENCES = 100  # beyond so many, references are contigs, and their single counts tell nothing
_FLAG = re.compile(r"(\d{1,18}) \+ (\d{1,18}) ([^(\n]{3,60}?)(?: \((?!mapQ).*)?\s*\Z")
_IDXSTATS = re.compile(rb"[^\t\n]+\t\d+\t\d+\t\d+\r?\n")
_WORDS = {
    "in total": "total",
    "primary": "primary",
    "secondary": "secondary",
    "supplementary": "supplementary",
    "duplicates": "duplicates",
    "mapped": "mapped",
    "primary mapped": "primary mapped",
    "paired in sequencing": "paired in sequencing",
    "properly paired": "properly paired",
    "singletons": "singletons",
    "with mate mapped to a different chr": "with mate mapped to a different chr",
}
_STATS = (
    ("raw total sequences", "reads", "count"),
    ("bases mapped (cigar)", "bases_mapped", "bp"),
    ("average length", "mean_read_length", "bp"),
    ("average quality", "mean_quality", "phred"),
    ("insert size average", "insert_size_mean", "bp"),
)


def looks_like_flagstat(head: bytes) -> bool:
    """Return whether a file begins as `samtools flagstat` does, as text or as JSON."""
    first = head.lstrip()[:4000]
    return b"in total (QC-passed" in first or (first.startswith(b"{") and b'"QC-passed reads"' in first)


def looks_like_stats(head: bytes) -> bool:
    """Return whether a file begins as `samtools stats` does."""
    return b"# This file was produced by samtools stats" in head[:500] or b"\nSN\traw total sequences" in head


def looks_like_idxstats(head: bytes) -> bool:
    """Return whether every whole line has a name and three counts, as `samtools idxstats` writes."""
    whole = head[: head.rfind(b"\n") + 1]
    return bool(whole) and not _IDXSTATS.sub(b"", whole)


def looks_like_coverage(head: bytes) -> bool:
    """Return whether a file begins as `samtools coverage` does."""
    return head.startswith(b"#rname\tstartpos\tendpos\tnumreads\tcovbases\tcoverage\tmeandepth")


def read_flagstat(data: bytes, scope: str, source: str) -> list[QCMetric]:
    """Return counts of records by flag, and the mapped and properly paired shares; failed records count, too."""
    counts = _flags_of_json(data) if data.lstrip().startswith(b"{") else _flags_of_text(data)
    metrics = Metrics(scope, source)
    total = counts.get("total")
    metrics.add("records", total, "count")
    for word in ("secondary", "supplementary", "duplicates", "singletons"):
        metrics.add(f"{word}_records" if word.endswith("y") else word, counts.get(word), "count")
    metrics.add("mapped", counts.get("mapped"), "count")
    metrics.percent("mapped_percent", counts.get("mapped"), total)
    metrics.percent("proper_pair_percent", counts.get("properly paired"), counts.get("paired in sequencing"))
    metrics.percent("duplication_percent", counts.get("duplicates"), total)
    metrics.add("mate_elsewhere", counts.get("with mate mapped to a different chr"), "count")
    return metrics.found


def _flags_of_text(data: bytes) -> dict[str, float]:
    counts: dict[str, float] = {}
    for line in lines(decode(data, "").text)[:100]:
        match = _FLAG.match(line)
        key = _WORDS.get(match[3].strip()) if match else None
        if match and key:
            counts.setdefault(key, int(match[1]) + int(match[2]))
    return counts


def _flags_of_json(data: bytes) -> dict[str, float]:
    report = json_object(data)
    counts: dict[str, float] = {}
    for part in ("QC-passed reads", "QC-failed reads"):
        for name, value in as_object(report.get(part)).items():
            count = number(value)
            if count is not None:
                counts[name] = counts.get(name, 0) + count
    return counts


def read_stats(data: bytes, scope: str, source: str) -> list[QCMetric]:
    """Return the summary numbers (`SN`) of `samtools stats`."""
    rows = (line.split("\t") for line in lines(decode(data, "").text) if line.startswith("SN\t"))
    values = {row[1].rstrip(":"): number(row[2]) for row in rows if len(row) > 2}
    metrics = Metrics(scope, source)
    reads = values.get("raw total sequences")
    for key, name, unit in _STATS:
        # Averages over nothing are written as 0.
        of = values.get("reads paired") if name == "insert_size_mean" else reads
        metrics.add(name, values.get(key) if of or name == "reads" else None, unit)
    metrics.percent("mapped_percent", values.get("reads mapped"), values.get("sequences") or reads)
    metrics.percent("proper_pair_percent", values.get("reads properly paired"), values.get("reads paired"))
    metrics.percent("duplication_percent", values.get("reads duplicated"), reads)
    metrics.percent("error_percent", values.get("mismatches"), values.get("bases mapped (cigar)"))
    return metrics.found


def _rows(data: bytes, columns: int) -> Iterator[list[str]]:
    for line in lines(decode(data, "").text):
        row = line.split("\t")
        if len(row) >= columns and not line.startswith("#"):
            yield row


def read_idxstats(data: bytes, scope: str, source: str) -> list[QCMetric]:
    """Return mapped and unmapped records, and those of each reference where there are few."""
    rows = [(row[0], number(row[2]), number(row[3])) for row in _rows(data, 4)]
    known = [(name, mapped, rest) for name, mapped, rest in rows if mapped is not None and rest is not None]
    if not known:
        return []
    metrics = Metrics(scope, source)
    mapped, unmapped = sum(row[1] for row in known), sum(row[2] for row in known)
    metrics.add("mapped", mapped, "count")
    metrics.add("unmapped", unmapped, "count")
    metrics.percent("mapped_percent", mapped, mapped + unmapped)
    named = [row for row in known if row[0] != "*"]
    for name, count, _ in named if len(named) <= MAX_REFERENCES else ():
        metrics.add("mapped", count, "count", f"{scope}, {name[:80]}")
    return metrics.found


def read_coverage(data: bytes, scope: str, source: str) -> list[QCMetric]:
    """Return breadth and mean depth over all references by length, and of each where there are few."""
    rows = []
    for row in _rows(data, 7):
        first, last, covered, depth = (number(row[place]) for place in (1, 2, 4, 6))
        if None not in (first, last, covered, depth):
            rows.append((row[0], (last or 0) - (first or 0) + 1, covered or 0, depth or 0))
    metrics = Metrics(scope, source)
    length = sum(row[1] for row in rows)
    if length <= 0:
        return []
    metrics.percent("breadth_1x_percent", sum(row[2] for row in rows), length)
    metrics.add("mean_depth", sum(row[1] * row[3] for row in rows) / length, "x")
    for name, _, _, depth in rows if 1 < len(rows) <= MAX_REFERENCES else ():
        metrics.add("mean_depth", depth, "x", f"{scope}, {name[:80]}")
    return metrics.found
