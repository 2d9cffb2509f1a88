"""The reports that converters leave in an Illumina folder, read together: quality, run ids and unknown barcodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from labrelay.model.instrument import SheetSample
from labrelay.model.problem import Problem
from labrelay.model.qc import QCMetric
from labrelay.parsers import conversion
from labrelay.parsers.lane_balance import (
    Unknown,
    hopping_metrics,
    suspects,
    unknown_metrics,
    unknown_of_report,
    unknown_of_stats,
)
from labrelay.parsers.listing import Entry, Listing
from labrelay.parsers.reading import Reading

# Ten thousand samples in eight lanes take half of it; JSON takes ten times its size in memory.
_CAP = 16 * 1024 * 1024


@dataclass
class Reports:
    """What the converters say.

    Attributes:
        metrics: Of samples and lanes.
        stated: The run ids that reports name, by the report's path.
        unknown: The barcodes of no sample, by the report's path.
    """

    metrics: list[QCMetric] = field(default_factory=list)
    stated: dict[str, str] = field(default_factory=dict)
    unknown: dict[str, list[Unknown]] = field(default_factory=dict)

    def suspects(self, samples: Sequence[SheetSample]) -> list[Problem]:
        """Return a warning for each unknown barcode that looks like a sample of its own."""
        told = self.unknown.items()
        return [problem for path, found in told for problem in suspects(found, self.metrics, samples, path)]


def reports_in(listing: Listing) -> Iterator[Entry]:
    """Give Demultiplex_Stats.csv and Stats.json, where a converter puts them."""
    for entry in listing.named("demultiplex_stats.csv", "stats.json"):
        if entry.folder.lower().rpartition("/")[2] in ("reports", "stats"):
            yield entry


def read_reports(reading: Reading, entries: Iterable[Entry]) -> Reports:
    """Return what these reports, and the files beside them, say; problems go to `reading`."""
    reports = Reports()
    for entry in entries:
        data = reading.data(entry, _CAP, needed=False)
        if data is None:
            continue
        if entry.name.lower() == "stats.json":
            run_id, found, problems = conversion.bcl2fastq_metrics(data, entry.path)
            reports.unknown[entry.path] = unknown_of_stats(data)
            if run_id:
                reports.stated[entry.path] = run_id
        else:
            quality = _beside(reading, entry, "Quality_Metrics.csv")
            found, problems = conversion.bcl_convert_metrics((data, entry.path), quality)
            adapters = _beside(reading, entry, "Adapter_Metrics.csv")
            if adapters is not None:
                found += conversion.adapter_metrics(*adapters)
            hopped = _beside(reading, entry, "Index_Hopping_Counts.csv")
            if hopped is not None:
                found += hopping_metrics(*hopped)
            unknown = _beside(reading, entry, "Top_Unknown_Barcodes.csv")
            if unknown is not None:
                reports.unknown[unknown[1]], wrong = unknown_of_report(*unknown)
                problems += wrong
        reports.metrics += found
        reading.problems += problems
    for path, unknown_barcodes in reports.unknown.items():
        reports.metrics += unknown_metrics(unknown_barcodes, path)
    return reports


def _beside(reading: Reading, entry: Entry, name: str) -> tuple[bytes, str] | None:
    there = reading.listing.find(f"{entry.folder}/{name}")
    data = reading.data(there, _CAP, needed=False)
    return (data, there.path) if there is not None and data is not None else None
