"""Quality of Nanopore runs: from the sequencing summary where it is short enough to be read now, else the report."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.model.qc import QCMetric
from labrelay.parsers.listing import Entry, Listing, open_regular
from labrelay.parsers.ont_run import Run
from labrelay.parsers.ont_samples import label_of
from labrelay.parsers.text import warning

if TYPE_CHECKING:
    from labrelay.parsers.sequencing_summary import Counted, Summary

_AT_ONCE = 64 * 1024 * 1024  # a fraction of a second
_BLOCK = 1024 * 1024  # larger ones are no faster and cost memory


def quality_of(listing: Listing, runs: Sequence[Run], several: bool) -> tuple[list[QCMetric], list[Problem]]:
    """Return the metrics of all runs; a scope names the flow cell where there are several.

    A sequencing summary of more than 64 MB is read only where it is the one file that was named.

    Args:
        listing: Of the folder.
        runs: Its runs.
        several: They are of several samples.
    """
    metrics: list[QCMetric] = []
    problems: list[Problem] = []
    alone = len(listing.files) == 1
    for run in runs:
        scope = "run" if len(runs) == 1 else run.name
        tables = [place.entry for place in run.group.controls.get("sequencing_summary", ()) if place.entry.size]
        found = []
        for entry in tables[:1]:
            summary, said = scan(listing, entry, None if alone else _AT_ONCE)
            problems += said
            found = list(_metrics(run, summary, scope, entry.path, several))
        named = {metric.name for metric in found}
        reported = [each.model_copy(update={"scope": scope}) for each in run.report.metrics if each.name not in named]
        metrics += [*found, *reported]
    return metrics, problems


def scan(listing: Listing, entry: Entry, most: int | None = None) -> tuple[Summary, list[Problem]]:
    """Return what a sequencing summary counts, plain or in gzip, read in blocks, and what is wrong with it.

    Args:
        listing: Of its folder.
        entry: The file.
        most: Bytes of the table that are read; of a larger one nothing is said but that it is larger.
    """
    from labrelay.parsers.sequencing_summary import Summary, SummaryScan  # numpy: only where there is one to count

    counting, taken = SummaryScan(), 0
    if most is not None and entry.size > most:
        return Summary(), [_not_read(entry)]
    try:
        with os.fdopen(open_regular(listing.root, entry.path), "rb", buffering=0) as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            source = gzip.GzipFile(fileobj=raw) if packed else raw
            while chunk := source.read(_BLOCK):
                taken += len(chunk)
                if most is not None and taken > most:
                    return Summary(), [_not_read(entry)]
                counting.feed(chunk)
    except (OSError, EOFError, zlib.error) as broken:
        what = f"it cannot be read to its end ({printable(str(broken), 100)}), so nothing was counted: copy it again"
        return Summary(), [warning("UNREADABLE", what, entry.path)]
    summary = counting.finish()
    if not counting.recognised:
        what = "its first line names no read_id and no sequence_length_template, so nothing was counted"
        return summary, [warning("BAD_REPORT", what, entry.path, 1)]
    if summary.left_out:
        what = f"{summary.left_out:,} of its rows do not fit its columns and were not counted: was it cut?"
        return summary, [warning("BAD_REPORT", what, entry.path)]
    return summary, []


def _not_read(entry: Entry) -> Problem:
    what = f"it has {entry.size / 10**6:,.0f} MB and is not counted here: `labrelay inspect` of this file counts it"
    return warning("SUMMARY_NOT_READ", what, entry.path)


def _metrics(run: Run, summary: Summary, scope: str, path: str, several: bool) -> Iterator[QCMetric]:
    if summary.total is None:
        return
    yield from _counts(summary.total, scope, path)
    for name, value, unit in (
        ("n50", summary.n50, "bp"),
        ("longest_read", summary.longest, "bp"),
        ("mean_quality", summary.mean_quality, "phred"),
    ):
        yield QCMetric(name=name, value=value, unit=unit, scope=scope, source=path)
    for barcode, counts in summary.barcodes.items():
        if barcode:
            label = label_of(run, barcode, several)
            yield from _counts(counts, label, path)


def _counts(counts: Counted, scope: str, path: str) -> Iterator[QCMetric]:
    """Give counts; `reads` are those that passed, as only they are in a sample's files."""
    share = 100 * counts.reads_passed / counts.reads if counts.reads else None
    for name, value, unit in (
        ("reads", counts.reads_passed, "count"),
        ("reads_failed", counts.reads - counts.reads_passed, "count"),
        ("bases", counts.bases_passed, "bp"),
        ("bases_failed", counts.bases - counts.bases_passed, "bp"),
        ("passed_percent", share, "percent"),
    ):
        yield QCMetric(name=name, value=value, unit=unit, scope=scope, source=path)
