"""What the documents of a result share: the file that was made, media types, and one wording of numbers and times.

The crate, the report, the archive and the tables say the same thing in the same words because they ask here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from labrelay.model.qc import Threshold

# The system's own table differs from machine to machine, and a crate's bytes must not.
MEDIA_TYPES: Mapping[str, str] = {
    ".bam": "application/vnd.ga4gh.bam",
    ".bai": "application/octet-stream",
    ".bcf": "application/vnd.ga4gh.bcf",
    ".bed": "text/x-bed",
    ".cram": "application/vnd.ga4gh.cram",
    ".csv": "text/csv",
    ".fa": "text/x-fasta",
    ".fasta": "text/x-fasta",
    ".fastq": "text/x-fastq",
    ".fq": "text/x-fastq",
    ".gff3": "text/x-gff3",
    ".gz": "application/gzip",
    ".html": "text/html",
    ".json": "application/json",
    ".log": "text/plain",
    ".md": "text/markdown",
    ".nf": "text/plain",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".py": "text/x-python",
    ".svg": "image/svg+xml",
    ".toml": "application/toml",
    ".tsv": "text/tab-separated-values",
    ".txt": "text/plain",
    ".vcf": "text/x-vcf",
    ".wdl": "text/x-wdl",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
# Engines add the scatter's index (miniwdl `align-3`, Nextflow `ALIGN (s1)`), and we the number of another try; a tool
# is described once for all shards and tries.
SHARD = re.compile(r"(?:-\d+| \(.*\))\Z")
ANOTHER_TRY = re.compile(r", try \d+\Z")
METADATA = "ro-crate-metadata.json"
UNIT_SIGNS: Mapping[str, str] = {"percent": "%", "x": "×", "phred": "", "count": "", "bp": "bp", "s": "s"}


@dataclass(frozen=True)
class Document:
    """A file that Labrelay made about a result: where it lies, what a person calls it, and its media type."""

    path: Path
    title: str
    media_type: str


def media_type(name: str | Path) -> str:
    """Return the media type for a file name by its last suffix, the same on every machine."""
    return MEDIA_TYPES.get(PurePosixPath(name).suffix.lower(), "application/octet-stream")


def document(path: Path, title: str) -> Document:
    """Return the `Document` for a file with the media type of its name."""
    return Document(path, title, media_type(path.name))


def sha256_and_size(path: Path) -> tuple[str, int]:
    """Read a small file once; return its SHA-256 (64 lower-case digits) and its bytes."""
    content = path.read_bytes()
    return hashlib.sha256(content).hexdigest(), len(content)


def utc_text(moment: datetime) -> str:
    """Return ISO 8601 in UTC with milliseconds and `Z`; a moment without a zone stays without one."""
    if moment.tzinfo is None:
        return moment.isoformat(timespec="milliseconds")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def day_and_time(moment: datetime) -> str:
    """Return `23 November 2026, 14:05 UTC` for people; a moment without a zone says so by naming none."""
    zone = "" if moment.tzinfo is None else " UTC"
    shown = moment if moment.tzinfo is None else moment.astimezone(UTC)
    return f"{shown.day} {shown:%B %Y, %H:%M}{zone}"


def duration_text(seconds: float) -> str:
    """Return a duration for people: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def heading(name: str, labels: Mapping[str, str]) -> str:
    """Return the heading of a metric: the definition's label, else its name in words without the unit's word."""
    if name in labels:
        return labels[name]
    words = name.removesuffix("_percent").replace("_", " ").strip()
    return words[:1].upper() + words[1:] if words else name


def number_text(value: float | None) -> str:
    """Return a number for people: thousands apart, at most two decimals and four significant digits; `–` for none."""
    if value is None:
        return "–"
    if float(value).is_integer():
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.1f}".removesuffix(".0")
    return f"{value:.2f}".rstrip("0").rstrip(".") if abs(value) >= 0.01 else f"{value:.2g}"


def unit_sign(unit: str) -> str:
    """Return how a unit is written behind a number (`%`, `×`), itself when it has no sign, nothing for counts."""
    return UNIT_SIGNS.get(unit, unit)


def with_unit(value: float | None, unit: str) -> str:
    """Return a number with its unit as people write it: `98.7 %`, `312×`, `1,204`."""
    sign = unit_sign(unit)
    if value is None or not sign:
        return number_text(value)
    return f"{number_text(value)}{sign}" if sign == "×" else f"{number_text(value)} {sign}"


def threshold_text(threshold: Threshold, unit: str) -> str:
    """Return the bounds in words: `fail below 90 %, warn below 95 %`."""
    bounds = (
        ("fail below", threshold.fail_below),
        ("warn below", threshold.warn_below),
        ("warn above", threshold.warn_above),
        ("fail above", threshold.fail_above),
    )
    return ", ".join(f"{word} {with_unit(bound, unit)}" for word, bound in bounds if bound is not None)


def call_name(task: str) -> str:
    """Return a task's name without the engine's prefix, shard and try, so that all of them name one tool."""
    whole = ANOTHER_TRY.sub("", task.removeprefix("call-"))
    return SHARD.sub("", whole) or task
