"""QC files of common tools in a folder that is no instrument's run: which tool wrote each, and its numbers."""

from __future__ import annotations

from typing import NamedTuple

from labrelay.model.problem import Problem
from labrelay.model.qc import QCMetric
from labrelay.parsers.listing import Listing, read_head, read_small
from labrelay.parsers.qc_files import HEAD, MAX_BYTES, read_qc, tool_of

MOST = 500  # files whose heads are read: more of them are no folder of reports
_ENDINGS = (".json", ".txt", ".tsv", ".csv", ".zip", ".log", ".stats", ".flagstat", ".idxstats", ".coverage")


class QCFile(NamedTuple):
    """A file that a tool wrote, with its numbers."""

    path: str
    tool: str
    metrics: tuple[QCMetric, ...]


def qc_files_in(listing: Listing) -> list[QCFile]:
    """Return the QC files of a listing by path; what is of no known tool, or cannot be read, is left out."""
    found = []
    candidates = [entry for entry in listing.files if entry.name.lower().endswith(_ENDINGS)] or list(listing.files)
    for entry in candidates[:MOST]:
        tool = tool_of(read_head(listing.root, entry.path, HEAD)) if entry.size <= MAX_BYTES else None
        data = read_small(listing.root, entry.path, MAX_BYTES) if tool is not None else None
        if tool is not None and data is not None and not isinstance(data, Problem):
            found.append(QCFile(entry.path, tool, tuple(read_qc(entry.path, data))))
    return found
