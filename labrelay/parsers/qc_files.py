"""The registry of QC files: a file of a common tool, recognised by its content, becomes a list of metrics.

A reader is one module `qc_TOOL.py` with two functions, `looks_like(head)` and `read(data, scope, source)`, and one line
here. A broken file gives what can be read of it, or nothing; no reader raises.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from labrelay.model.qc import QCMetric
from labrelay.parsers import (
    conversion,
    element_stats,
    lane_balance,
    pacbio_stats,
    qc_fastp,
    qc_fastqc,
    qc_samtools,
)

HEAD = 65_536
MAX_BYTES = 64 * 1024 * 1024
_SUFFIX = re.compile(
    r"(?:_fastqc\.zip|_fastqc_data\.txt|[._](?:flagstat|stats|idxstats|coverage|fastp|samtools)|\.(?:json|txt|tsv|log"
    r"|zip|csv|bam|cram|fastq|fq|gz))\Z",
    re.IGNORECASE,
)


class _Reader(NamedTuple):
    tool: str
    looks_like: Callable[[bytes], bool]
    read: Callable[[bytes, str, str], list[QCMetric]]


def _bcl_convert(data: bytes, _scope: str, source: str) -> list[QCMetric]:
    return conversion.bcl_convert_metrics((data, source), None)[0]


def _quality(data: bytes, _scope: str, source: str) -> list[QCMetric]:
    return conversion.bcl_convert_metrics(None, (data, source))[0]


def _stats_json(data: bytes, _scope: str, source: str) -> list[QCMetric]:
    unknown = lane_balance.unknown_of_stats(data)
    return [*conversion.bcl2fastq_metrics(data, source)[1], *lane_balance.unknown_metrics(unknown, source)]


def _unknown(data: bytes, _scope: str, source: str) -> list[QCMetric]:
    return lane_balance.unknown_metrics(lane_balance.unknown_of_report(data, source)[0], source)


def _bases2fastq(data: bytes, _scope: str, source: str) -> list[QCMetric]:
    stats, _ = element_stats.parse_run_stats(data, source)
    return stats.metrics if stats is not None else []


def _ccs(data: bytes, scope: str, source: str) -> list[QCMetric]:
    # The reader goes by the name's ending, and here only the content counts.
    kind = "ccs.json" if data.lstrip().startswith(b"{") else "ccs.txt"
    found, _ = pacbio_stats.ccs_metrics(data, kind, scope)
    return [metric.model_copy(update={"source": source}) for metric in found]


def _is_ccs(head: bytes) -> bool:
    first = head.lstrip()[:4000]
    return first.startswith(b"ZMWs input") or (first.startswith(b"{") and b"zmw_passed_yield" in first)


def _lima(data: bytes, scope: str, source: str) -> list[QCMetric]:
    return pacbio_stats.lima_summary_metrics(data, source, scope)


def _is_lima(head: bytes) -> bool:
    return b"above all thresholds" in head[:1000]


READERS = (
    _Reader("fastp", qc_fastp.looks_like, qc_fastp.read),
    _Reader("FastQC", qc_fastqc.looks_like, qc_fastqc.read),
    _Reader("samtools flagstat", qc_samtools.looks_like_flagstat, qc_samtools.read_flagstat),
    _Reader("samtools stats", qc_samtools.looks_like_stats, qc_samtools.read_stats),
    _Reader("samtools coverage", qc_samtools.looks_like_coverage, qc_samtools.read_coverage),
    _Reader("bases2fastq", lambda head: b'"NumPolonies"' in head, _bases2fastq),
    _Reader("lima", _is_lima, _lima),
    _Reader("ccs", _is_ccs, _ccs),
    _Reader("bcl2fastq", lambda head: b'"ReadInfosForLanes"' in head or b'"ConversionResults"' in head, _stats_json),
    _Reader("BCL Convert demultiplexing", lambda head: head.startswith(b"Lane,SampleID,") and b"# Reads" in head[:400]
            and b"ReadNumber" not in head[:400], _bcl_convert),
    _Reader("BCL Convert quality", lambda head: head.startswith(b"Lane,SampleID,") and b"YieldQ30" in head[:400],
            _quality),
    _Reader("BCL Convert unknown barcodes", lambda head: head.startswith(b"Lane,index,index2,# Reads"), _unknown),
    _Reader("samtools idxstats", qc_samtools.looks_like_idxstats, qc_samtools.read_idxstats),
)  # fmt: skip


def tool_of(data: bytes) -> str | None:
    """Return which tool wrote a file, by its first bytes; None when none of ours."""
    head = data[:HEAD]
    return next((reader.tool for reader in READERS if reader.looks_like(head)), None)


def read_qc(name: str, data: bytes, scope: str | None = None) -> list[QCMetric]:
    """Return the metrics in a QC file; nothing when no reader knows it, or when it is broken or too large.

    Args:
        name: Its path, which becomes the metrics' source.
        data: The whole file.
        scope: What it is about, such as a sample's name; without it the file's name, less what tools append.
    """
    head = data[:HEAD]
    reader = next((reader for reader in READERS if reader.looks_like(head)), None)
    if reader is None or len(data) > MAX_BYTES:
        return []
    return reader.read(data, scope if scope is not None else _scope(name), name)


def _scope(name: str) -> str:
    stem = name.rpartition("/")[2]
    while (shorter := _SUFFIX.sub("", stem)) not in ("", stem):
        stem = shorter
    return stem[:200]
