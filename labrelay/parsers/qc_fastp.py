"""What fastp counted, from its JSON report."""

from __future__ import annotations

from labrelay.model.qc import QCMetric
from labrelay.parsers.qc_values import Metrics, as_object, json_object, number


def looks_like(head: bytes) -> bool:
    """Return whether a file begins as fastp's report does."""
    return head.lstrip().startswith(b"{") and (b'"before_filtering"' in head or b'"fastp_version"' in head)


def read(data: bytes, scope: str, source: str) -> list[QCMetric]:
    """Return reads and quality before and after filtering, why reads were dropped, and duplication.

    fastp counts each mate of a pair as a read. Percentages are made from counts, so that a file without reads has none.
    """
    report = json_object(data)
    summary = as_object(report.get("summary"))
    metrics = Metrics(scope, source)
    for name in ("before", "after"):
        counts = as_object(summary.get(f"{name}_filtering"))
        reads, bases = number(counts.get("total_reads")), number(counts.get("total_bases"))
        metrics.add(f"reads_{name}", reads, "count")
        metrics.add(f"bases_{name}", bases, "bp")
        metrics.percent(f"q30_percent_{name}", number(counts.get("q30_bases")), bases)
        metrics.share(f"gc_percent_{name}", number(counts.get("gc_content")) if bases else None)
    before = number(as_object(summary.get("before_filtering")).get("total_reads"))
    after = number(as_object(summary.get("after_filtering")).get("total_reads"))
    metrics.percent("kept_percent", after, before)
    dropped = as_object(report.get("filtering_result"))
    for key in ("low_quality_reads", "too_many_N_reads", "too_short_reads", "too_long_reads"):
        metrics.add(key.lower(), number(dropped.get(key)), "count")
    cut = as_object(report.get("adapter_cutting"))
    metrics.add("adapter_trimmed_reads", number(cut.get("adapter_trimmed_reads")), "count")
    metrics.share("duplication_percent", number(as_object(report.get("duplication")).get("rate")) if before else None)
    metrics.add("insert_size_peak", number(as_object(report.get("insert_size")).get("peak")) or None, "bp")
    return metrics.found
