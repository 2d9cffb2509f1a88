"""Quality of a PacBio run: what data sets, ccs and lima count, for each cell and each sample."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from labrelay.model.problem import Problem
from labrelay.model.qc import QCMetric
from labrelay.parsers.listing import Listing, read_small
from labrelay.parsers.pacbio_cell import Cell
from labrelay.parsers.pacbio_names import PacBioName
from labrelay.parsers.pacbio_stats import ccs_metrics, lima_counts, lima_summary_metrics
from labrelay.parsers.text import warning

_CCS = re.compile(r"(?:.*\.)?ccs[._]reports?\.(?P<form>json|txt)\Z")
_LIMA = re.compile(r"(?P<reads>.*\.)?lima[._](?P<what>summary|counts)(?:\.txt)?\Z")


def quality_of(
    cells: Sequence[Cell], others: Sequence[PacBioName], listing: Listing
) -> tuple[list[QCMetric], list[Problem]]:
    """Return the metrics of all cells, and of ccs reports that lie there without a cell.

    Args:
        cells: With their data sets read.
        others: Files that are called by no movie.
        listing: Of the folder.
    """
    metrics: list[QCMetric] = []
    problems: list[Problem] = []
    for cell in cells:
        found: dict[tuple[str, str], QCMetric] = {}
        for metric in [*_of_sets(cell, len(cells) > 1), *_of_reports(cell, len(cells) > 1, listing, problems)]:
            found.setdefault((metric.scope, metric.name), metric)  # a data set counts what is here, so it goes first
        metrics += found.values()
    reports = [name for name in others if _CCS.match(name.ending)]
    for name in _best(reports):
        told, said = _read(name, listing, problems, name.entry.folder or "run")
        metrics += told
        problems += said
    return metrics, problems


def _scope(cell: Cell, label: str, several: bool) -> str:
    return f"{label}, {cell.movie}" if several and label != cell.movie else label


def _of_sets(cell: Cell, several: bool) -> Iterator[QCMetric]:
    for path, told in cell.sets.items():
        name = next(each for each in cell.names if each.entry.path == path)
        if name.kind != (cell.kind or name.kind):
            continue
        label = cell.label(name.barcode) if name.barcode else cell.movie
        scope = _scope(cell, label, several)
        if told.reads is None:
            continue
        yield QCMetric(name="reads", value=told.reads, unit="count", scope=scope, source=path)
        if told.bases is not None:
            yield QCMetric(name="bases", value=told.bases, unit="bp", scope=scope, source=path)
            mean = told.bases / told.reads if told.reads else None
            yield QCMetric(name="mean_length", value=mean, unit="bp", scope=scope, source=path)


def _of_reports(cell: Cell, several: bool, listing: Listing, problems: list[Problem]) -> Iterator[QCMetric]:
    for name in _best([each for each in cell.names if _CCS.match(each.ending) and each.entry.size]):
        found, said = _read(name, listing, problems, cell.movie)
        problems += said
        yield from found
    for name in cell.names:
        match = _LIMA.match(name.ending)
        if match is None or not name.entry.size or "fail" in (match["reads"] or ""):
            continue
        data = _data(name, listing, problems)
        if data is None:
            continue
        if match["what"] == "summary":
            yield from lima_summary_metrics(data, name.entry.path, cell.movie)
            continue
        counts, said = lima_counts(data, name.entry.path)
        problems += said
        for barcode, count in counts.items():
            scope = _scope(cell, cell.label(barcode), several)
            yield QCMetric(name="reads", value=count, unit="count", scope=scope, source=name.entry.path)


def _best(reports: Sequence[PacBioName]) -> list[PacBioName]:
    """Return one report of each folder and movie: JSON before text, which says the same."""
    chosen: dict[tuple[str, str | None], PacBioName] = {}
    for name in sorted(reports, key=lambda each: not each.ending.endswith(".json")):
        chosen.setdefault((name.entry.folder, name.movie), name)
    return sorted(chosen.values(), key=lambda each: each.entry.path)[:100]


def _read(
    name: PacBioName, listing: Listing, problems: list[Problem], scope: str
) -> tuple[list[QCMetric], list[Problem]]:
    data = _data(name, listing, problems)
    return ccs_metrics(data, name.entry.path, scope) if data is not None else ([], [])


def _data(name: PacBioName, listing: Listing, problems: list[Problem]) -> bytes | None:
    found = read_small(listing.root, name.entry.path)
    if isinstance(found, Problem):
        problems.append(warning(found.code, found.message, found.path))
        return None
    return found
