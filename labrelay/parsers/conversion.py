"""Quality as the converter counted it: BCL Convert's `Reports/*.csv` and bcl2fastq's `Stats/Stats.json`.

Percentages are made from counts, never averaged, and a sample without reads has none: BCL Convert writes
`% Perfect Index Reads` 1.0000 for zero reads, which looks like the best sample of all. Columns differ by version, so
they are found by name; what a version does not write is not there, not 0.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.model.qc import QCMetric
from labrelay.parsers.lane_balance import UNDETERMINED, lane_metrics
from labrelay.parsers.text import cells, column_key, decode, error, lines, to_int, warning

_MAX_COUNT = 10**18
_Scope = tuple[str, int]


@dataclass
class _Tally:
    """Sums over the indexes and reads of one sample in one lane; None until a file states the count."""

    reads: int | None = None
    perfect: int | None = None
    bases: int | None = None
    q30_bases: int | None = None
    quality_sum: int | None = None

    def add(self, **counts: int | None) -> None:
        for name, count in counts.items():
            if count is not None:
                setattr(self, name, (getattr(self, name) or 0) + count)


def scope_of(sample: str, lane: int) -> str:
    """Return the scope of a sample's metrics in a lane, as the metrics are labelled: `NA12878, lane 1`."""
    return f"{sample}, lane {lane}"


def bcl_convert_metrics(
    demultiplex: tuple[bytes, str] | None, quality: tuple[bytes, str] | None
) -> tuple[list[QCMetric], list[Problem]]:
    """Return metrics for each sample and lane, and for the undetermined reads of each lane.

    Args:
        demultiplex: Content and path of Demultiplex_Stats.csv.
        quality: Content and path of Quality_Metrics.csv, which versions before 3.9 do not write.
    """
    problems: list[Problem] = []
    metrics: list[QCMetric] = []
    for given, columns in ((demultiplex, _DEMULTIPLEX), (quality, _QUALITY)):
        if given is None:
            continue
        tallies: dict[_Scope, _Tally] = {}
        for scope, row in _table(*given, problems):
            counts = {name: to_int(row.get(column)) for name, column in columns.items() if column in row}
            if row.get("index") == "":
                # A whole lane as one sample has no index that could match, and is counted as perfect.
                counts.pop("perfect", None)
            tallies.setdefault(scope, _Tally()).add(**counts)
        metrics += _metrics(tallies, given[1])
        if columns is _DEMULTIPLEX:
            metrics += lane_metrics(_reads(tallies), given[1])
    return metrics, problems


def _reads(tallies: Mapping[_Scope, _Tally]) -> dict[_Scope, int | None]:
    return {scope: tally.reads for scope, tally in tallies.items() if tally.reads is not None}


_DEMULTIPLEX = {"reads": "reads", "perfect": "perfectindexreads"}
_QUALITY = {"bases": "yield", "q30_bases": "yieldq30", "quality_sum": "qualityscoresum"}


def _table(data: bytes, path: str, problems: list[Problem]) -> Iterator[tuple[_Scope, Mapping[str, str]]]:
    """Give each row by column; counts (`# Reads`) win over percentages (`% Reads`) of the same name."""
    text, found = decode(data, path)
    problems.extend(found)
    all_lines = lines(text)
    header = cells(all_lines[0])[0]
    keys = [f"percent {cell}" if cell.startswith("%") else column_key(cell) for cell in header]
    if not {"lane", "sampleid"} <= set(keys):
        what = "its first line does not name Lane and SampleID, so no metrics were taken from it"
        problems.append(warning("BAD_REPORT", what, path, 1))
        return
    for number, line in enumerate(all_lines[1:], 2):
        row, _ = cells(line)
        if not any(row):
            continue
        values = dict(zip(keys, row, strict=False))
        lane, sample = to_int(values.get("lane")), values.get("sampleid")
        if lane is None or not sample or len(row) != len(keys):
            problems.append(warning("BAD_REPORT", "the row does not fit the columns; it was left out", path, number))
            continue
        yield (sample, lane), values


def adapter_metrics(data: bytes, path: str) -> list[QCMetric]:
    """Return the share of adapter bases of each sample and lane, from Adapter_Metrics.csv of any version.

    Versions before 3.9 have columns for both reads (`R1_AdapterBases`), later ones a row a read.
    """
    sums: dict[_Scope, tuple[int, int]] = {}
    for scope, row in _table(data, path, []):
        cut = [count for key, text in row.items() if key.endswith("adapterbases") and (count := to_int(text))]
        kept = [count for key, text in row.items() if key.endswith("samplebases") and (count := to_int(text))]
        before = sums.get(scope, (0, 0))
        sums[scope] = (before[0] + sum(cut), before[1] + sum(kept))
    return [
        QCMetric(name="adapter_percent", value=100 * cut / (cut + kept), unit="percent", scope=scope_of(*scope),
                 source=path)
        for scope, (cut, kept) in sums.items()
        if cut + kept
    ]  # fmt: skip


def bcl2fastq_metrics(data: bytes, path: str) -> tuple[str | None, list[QCMetric], list[Problem]]:
    """Return the run's id, metrics for each sample and lane and for each lane, and problems.

    The lane's own `Yield` is left out: it counts raw clusters and does not agree with the sum of its samples.

    Args:
        data: Stats.json.
        path: For messages and as the metrics' source.
    """
    try:
        stats = json.loads(decode(data, path).text)
    except (ValueError, RecursionError) as bad:
        return None, [], [warning("BAD_REPORT", f"it is not JSON: {printable(str(bad), 100)}", path)]
    if not isinstance(stats, dict):
        return None, [], [warning("BAD_REPORT", "it is not an object of bcl2fastq statistics", path)]
    tallies: dict[_Scope, _Tally] = {}
    metrics: list[QCMetric] = []
    for conversion in _objects(stats.get("ConversionResults")):
        lane = _count(conversion.get("LaneNumber"))
        if lane is None:
            continue
        for name, key in (("clusters_raw", "TotalClustersRaw"), ("clusters_pf", "TotalClustersPF")):
            clusters = _count(conversion.get(key))
            if clusters is not None:
                metrics.append(QCMetric(name=name, value=clusters, unit="count", scope=f"lane {lane}", source=path))
        for sample in _objects(conversion.get("DemuxResults")):
            sample_id = sample.get("SampleId") or sample.get("SampleName")
            if isinstance(sample_id, str):
                _add_sample(tallies.setdefault((sample_id, lane), _Tally()), sample)
        undetermined = conversion.get("Undetermined")
        if isinstance(undetermined, dict):
            _add_sample(tallies.setdefault((UNDETERMINED, lane), _Tally()), undetermined)
    run_id = stats.get("RunId")
    metrics += [*_metrics(tallies, path), *lane_metrics(_reads(tallies), path)]
    return (run_id if isinstance(run_id, str) else None), metrics, []


def _add_sample(tally: _Tally, sample: dict[str, Any]) -> None:
    tally.add(reads=_count(sample.get("NumberReads")))
    for index in _objects(sample.get("IndexMetrics")):
        matches = index.get("MismatchCounts")
        tally.add(perfect=_count(matches.get("0")) if isinstance(matches, dict) else None)
    for read in _objects(sample.get("ReadMetrics")):
        tally.add(
            bases=_count(read.get("Yield")),
            q30_bases=_count(read.get("YieldQ30")),
            quality_sum=_count(read.get("QualityScoreSum")),
        )


def _objects(value: object) -> Iterator[dict[str, Any]]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_COUNT else None


def _metrics(tallies: Mapping[_Scope, _Tally], source: str) -> Iterator[QCMetric]:
    for (sample, lane), tally in tallies.items():
        for name, value, unit, known in _values(tally):
            # Converters count every undetermined read as a perfect match, which it is of nothing.
            if known and not (sample == UNDETERMINED and name == "perfect_index_percent"):
                yield QCMetric(name=name, value=value, unit=unit, scope=scope_of(sample, lane), source=source)


def _values(tally: _Tally) -> Iterable[tuple[str, float | None, str, bool]]:
    return (
        ("reads", tally.reads, "count", tally.reads is not None),
        ("perfect_index_percent", _ratio(tally.perfect, tally.reads, 100), "percent", tally.perfect is not None),
        ("bases", tally.bases, "bp", tally.bases is not None),
        ("q30_percent", _ratio(tally.q30_bases, tally.bases, 100), "percent", tally.q30_bases is not None),
        ("mean_quality", _ratio(tally.quality_sum, tally.bases, 1), "phred", tally.quality_sum is not None),
    )


def _ratio(part: int | None, whole: int | None, factor: int) -> float | None:
    return factor * part / whole if part is not None and whole else None


def wrong_run(stated: str | None, run_id: str, path: str) -> list[Problem]:
    """Return an error when a report beside the run is that of another run."""
    if stated is None or stated == run_id:
        return []
    text = f"it is about run {printable(stated, 80)} and the folder holds {printable(run_id, 80)}; take one away"
    return [error("WRONG_RUN", text, path)]
