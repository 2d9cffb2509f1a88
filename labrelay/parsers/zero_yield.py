"""Did the instrument give anything at all? A run of which nothing came is told in one line, before all else.

Here, too, is who has no reads beside a mate that has some: both need a look into files that may be empty.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from labrelay.model.files import FileRole
from labrelay.model.instrument import InstrumentRun, RunFile
from labrelay.model.names import printable
from labrelay.model.problem import Problem, Severity
from labrelay.model.qc import QCMetric
from labrelay.model.words import counted
from labrelay.parsers.fastq_names import NO_HEADER, pair_reads
from labrelay.parsers.lane_balance import UNDETERMINED
from labrelay.parsers.listing import open_regular
from labrelay.parsers.text import error, warning

_COUNTS = {
    "reads": "reads",
    "clusters_pf": "clusters that passed its filter",
    "clusters": "clusters",
    "polonies_passed": "polonies that passed its filter",
    "polonies": "polonies",
    "zmws_passed": "ZMWs that passed",
    "cells": "cells",
}  # fmt: skip
_GZIP = b"\x1f\x8b"
MOST_EMPTY = 400  # bytes of a compressed file without a record, which has its own name in its header


def zero_yield(run: InstrumentRun, root: Path) -> Problem | None:
    """Return a warning where a run counts none of what it should, or each of its files of reads is empty, or None.

    A run whose reads all went to no sample is one of these, too, and is told apart from one that has no reads.

    Cost: files are opened only while all are so small that they may hold nothing.

    Args:
        run: As it was parsed.
        root: Where its files lie.
    """
    none = next((m for m in run.qc if m.name in _COUNTS and m.value == 0 and m.scope == "run"), None)
    if none is not None:
        told = f"{none.source} counts 0 {_COUNTS[none.name]}" if none.source else f"it counts 0 {_COUNTS[none.name]}"
        return warning("ZERO_YIELD", f"nothing came of this run: {told}; look at what was loaded", none.source)
    files = [file for file in run.files if file.role is FileRole.READS]
    if any(file.size > MOST_EMPTY for file in files):
        return None
    return _of_counts(run.qc) or _of_files(run, files, root)


def _of_counts(qc: Sequence[QCMetric]) -> Problem | None:
    """Return a warning where the converter counts reads, and none of them for any sample."""
    counts = [(m.scope.rpartition(", lane ")[0], m) for m in qc if m.name == "reads" and ", lane " in m.scope]
    samples = {name for name, _ in counts} - {UNDETERMINED}
    if not samples or any(metric.value != 0 for name, metric in counts if name in samples):
        return None
    source = counts[0][1].source
    none = f"{counted(len(samples), 'sample has', 'samples have')} 0 reads"
    lost = sum(metric.value or 0 for name, metric in counts if name == UNDETERMINED)
    lost = lost or next((m.value or 0 for m in qc if m.name == "reads" and m.scope == "run"), 0)
    if not lost:
        return warning("ZERO_YIELD", f"nothing came of this run: {none}; look at what was loaded", source)
    unknown = max((m for m in qc if m.name == "unknown_barcode_reads"), key=lambda m: m.value or 0, default=None)
    which = f"of which {unknown.scope} has most ({unknown.value:,.0f})" if unknown else "which the converter lists"
    likely = "the sheet, an index or its orientation is likely wrong: compare it with the unknown barcodes"
    return warning("ZERO_YIELD", f"{none}, for all {lost:,.0f} are {UNDETERMINED}; {likely}, {which}", source)


def _of_files(run: InstrumentRun, files: Sequence[RunFile], root: Path) -> Problem | None:
    """Return a warning where each file of reads is empty, but where files without a byte are told of already."""
    if not files or any(problem.code == "NO_READS" for problem in run.problems):
        return None
    if not all(file.size == 0 or _is_empty(root, file.path) for file in files):
        return None
    what = counted(len(files), "file of reads, which holds", "files of reads, which hold")
    return warning("ZERO_YIELD", f"nothing came of this run: {what} not one read; look at what was loaded")


def half_empty(files: Sequence[RunFile], root: Path) -> Iterator[Problem]:
    """Give an error for each pair of which one mate alone holds no read: it is refused when it is taken in.

    Cost: the names of mates, where one is so small that it may hold nothing; only such ones are opened.

    Args:
        files: Of a run.
        root: Where they lie.
    """
    reads = [file for file in files if file.role is FileRole.READS and file.read in (1, 2)]
    if all(file.size > MOST_EMPTY for file in reads):
        return
    for pair in pair_reads(reads).pairs:
        mates = (pair.first, pair.second)
        none = [mate for mate in mates if mate.size <= MOST_EMPTY and (not mate.size or _is_empty(root, mate.path))]
        if len(none) == 1:
            other = mates[none[0] is pair.first]
            what = "not one read" if none[0].size else "no bytes"
            yield error(
                "MATE_EMPTY", f"it has {what} and its mate {printable(other.path)} has: copy it again", none[0].path
            )


def without_header(run: InstrumentRun) -> Iterator[Problem]:
    """Give an error for BAM and CRAM files without a byte that their platform has not told: their header is lost.

    Args:
        run: As it was parsed.
    """
    told = {p.path for p in run.problems if p.code == "ZERO_BYTE_FILE" and p.severity is Severity.ERROR}
    empty = [f.path for f in run.files if f.role is FileRole.ALIGNMENT and not f.size and f.path not in told]
    if empty:
        more = f" (and {len(empty) - 1:,} more)" if len(empty) > 1 else ""
        yield error("ZERO_BYTE_FILE", f"{NO_HEADER}{more}; copy it again", empty[0])


def _is_empty(root: Path, path: str) -> bool:
    """Tell whether a small file holds nothing once it is unpacked; one that cannot be read is left to the gate."""
    try:
        with os.fdopen(open_regular(root, path), "rb") as source:
            data = source.read()
        while data.startswith(_GZIP):  # bgzip writes several members, the last of them empty
            member = zlib.decompressobj(wbits=31)
            if member.decompress(data, 1) or not member.eof:
                return False
            data = member.unused_data
    except (OSError, zlib.error):
        return False
    return not data
