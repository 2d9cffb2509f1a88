"""What Element counts: RunStats.json of bases2fastq or of cells2stats (one name, two schemas), and AvitiRunStats.json.

The keys of AvitiRunStats.json are from documents and public programs, not from a real file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from labrelay.model.problem import Problem
from labrelay.model.qc import QCMetric
from labrelay.parsers.conversion import scope_of
from labrelay.parsers.json_text import JsonObject, number_at, objects_at, parse_object, text_at
from labrelay.parsers.text import warning

CAP = 24 * 1024 * 1024  # with many samples it passes 100 MB; the numbers per cycle in it are not kept
_GIGA = 10**9
_NAMES = {
    "NumPolonies": ("reads", "count", 1),
    "PolonyCount": ("polonies", "count", 1),
    "PFCount": ("polonies_passed", "count", 1),
    "PercentPF": ("passed_percent", "percent", 1),
    "PercentQ30": ("q30_percent", "percent", 1),
    "PercentQ40": ("q40_percent", "percent", 1),
    "PercentQ50": ("q50_percent", "percent", 1),
    "QualityScoreMean": ("mean_quality", "phred", 1),
    "AvgQScore": ("mean_quality", "phred", 1),
    "PercentAssignedReads": ("assigned_percent", "percent", 1),
    "PercentMismatch": ("index_mismatch_percent", "percent", 1),
    "PercentUnexpectedIndexPairs": ("unexpected_index_percent", "percent", 1),
    "TotalYield": ("bases", "bp", _GIGA),
    "Yield": ("bases", "bp", _GIGA),
    "PercentConfluency": ("confluency_percent", "percent", 1),
    "PercentNucleatedCells": ("nucleated_percent", "percent", 1),
    "CellCount": ("cells", "count", 1),
    "MedianCellDiameter": ("cell_diameter_um", "um", 1),
}
_KEEP = frozenset(_NAMES) | {
    "RunID", "RunName", "FlowCellID", "AnalysisID", "AnalysisVersion", "Provider", "Lanes", "Lane", "LaneStats",
    "SampleStats", "SampleName", "Occurrences", "CytoStats", "DemuxStats", "Wells", "WellLocation", "RunStats",
}  # fmt: skip


class Stats(NamedTuple):
    """What a statistics file says: whose it is, and its metrics."""

    run_id: str | None
    run_name: str | None
    flow_cell: str | None
    program: str
    samples: list[str]
    metrics: list[QCMetric]


def parse_run_stats(data: bytes, path: str) -> tuple[Stats | None, list[Problem]]:
    """Return what RunStats.json says, of whichever of the two programs wrote it; null stays None.

    Args:
        data: The whole file.
        path: For messages and as the metrics' source.
    """
    found, problems = parse_object(data, path, keep=_KEEP)
    if found is None:
        return None, problems
    provider = text_at(found, "Provider")
    version = text_at(found, "AnalysisVersion")
    cells = provider == "cells2stats" or "CytoStats" in found
    if not cells and "NumPolonies" not in found and "Lanes" not in found:
        what = "it is called like statistics of bases2fastq and holds none of its names, so nothing was taken"
        return None, [*problems, warning("BAD_REPORT", what, path)]
    metrics = list(_cells(found, path) if cells else _bases(found, path))
    program = f"{provider or ('cells2stats' if cells else 'bases2fastq')}{f' {version}' if version else ''}"
    return (
        Stats(
            run_id=text_at(found, "RunID"),
            run_name=text_at(found, "RunName"),
            flow_cell=text_at(found, "FlowCellID"),
            program=program,
            samples=[name for each in objects_at(found, "SampleStats") if (name := text_at(each, "SampleName"))],
            metrics=metrics,
        ),
        problems,
    )


def _bases(found: JsonObject, path: str) -> Iterator[QCMetric]:
    yield from _metrics(found, "run", path)
    for lane in objects_at(found, "Lanes"):
        number = number_at(lane, "Lane")
        if number is not None and 0 < number < 100:
            yield from _metrics(lane, f"lane {int(number)}", path)
    for sample in objects_at(found, "SampleStats"):
        name = text_at(sample, "SampleName")
        if name is None:
            continue
        yield from _metrics(sample, name, path)
        for lane in objects_at(sample, "Occurrences"):
            number = number_at(lane, "Lane")
            if number is not None and 0 < number < 100:
                yield from _metrics(lane, scope_of(name, int(number)), path)


def _cells(found: JsonObject, path: str) -> Iterator[QCMetric]:
    yield from _metrics(found.get("DemuxStats"), "run", path)
    cyto = found.get("CytoStats")
    for well in objects_at(cyto, "Wells"):
        place = text_at(well, "WellLocation")
        if place is not None:
            yield from _metrics(well, f"well {place}", path)


def _metrics(values: object, scope: str, path: str) -> Iterator[QCMetric]:
    for key, (name, unit, factor) in _NAMES.items():
        if isinstance(values, dict) and key in values:
            value = number_at(values, key)
            yield QCMetric(
                name=name, value=None if value is None else value * factor, unit=unit, scope=scope, source=path
            )


def parse_instrument_stats(data: bytes, path: str) -> tuple[list[QCMetric], list[Problem]]:
    """Return what AvitiRunStats.json says of the run and its lanes, as the instrument counted it.

    Args:
        data: The whole file.
        path: For messages and as the metrics' source.
    """
    found, problems = parse_object(data, path, keep=_KEEP)
    if found is None:
        return [], problems
    whole = found.get("RunStats")
    metrics = list(_metrics(whole if isinstance(whole, dict) else found, "run", path))
    for lane in objects_at(found, "LaneStats") or objects_at(found, "Lanes"):
        number = number_at(lane, "Lane")
        if number is not None and 0 < number < 100:
            metrics += _metrics(lane, f"lane {int(number)}", path)
    return metrics, problems
