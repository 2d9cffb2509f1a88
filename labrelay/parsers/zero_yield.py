"""Did the instrument give anything at all? A run of which nothing came is told in one line, before all else."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

from labrelay.model.files import FileRole
from labrelay.model.instrument import InstrumentRun
from labrelay.model.problem import Problem
from labrelay.model.words import counted
from labrelay.parsers.listing import open_regular
from labrelay.parsers.text import warning

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

    Cost: files are opened only while all are so small that they may hold nothing.

    Args:
        run: As it was parsed.
        root: Where its files lie.
    """
    if any(problem.code == "NO_READS" for problem in run.problems):
        return None
    none = next((m for m in run.qc if m.name in _COUNTS and m.value == 0 and m.scope == "run"), None)
    if none is not None:
        told = f"{none.source} counts 0 {_COUNTS[none.name]}" if none.source else f"it counts 0 {_COUNTS[none.name]}"
        return warning("ZERO_YIELD", f"nothing came of this run: {told}; look at what was loaded", none.source)
    files = [file for file in run.files if file.role is FileRole.READS]
    if not files or any(file.size > MOST_EMPTY for file in files):
        return None
    if not all(file.size == 0 or _is_empty(root, file.path) for file in files):
        return None
    what = counted(len(files), "file of reads, which holds", "files of reads, which hold")
    return warning("ZERO_YIELD", f"nothing came of this run: {what} not one read; look at what was loaded")


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
