"""Conversion on the instrument (NovaSeq X, NextSeq 1000/2000, MiSeq i100): `Analysis/N`, which ends and arrives later.

The run's own CopyComplete.txt is about base calls. Each analysis has an end marker of its own, on NovaSeq X one for the
end of its copy, too, and a manifest of the files to expect.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.model.words import counted
from labrelay.parsers.listing import Listing, read_small
from labrelay.parsers.text import decode, lines, warning

END = "Data/Secondary_Analysis_Complete.txt"
_FOLDER = re.compile(r"(Analysis/\d+)/", re.IGNORECASE)
_READS = (".fastq.gz", ".fastq.ora")
_CAP = 16 * 1024 * 1024


def newest_analysis(listing: Listing) -> str | None:
    """Return the folder of the last analysis, `Analysis/10` after `Analysis/9`; None when there is none."""
    inside = (entry.path for entry in listing.files if entry.path[:9].lower() == "analysis/")
    folders = {match[1] for path in inside if (match := _FOLDER.match(path))}
    return max(folders, key=lambda folder: int(folder.rpartition("/")[2])) if folders else None


def unfinished(listing: Listing, folder: str) -> list[Problem]:
    """Return a warning when the analysis has not written its end marker."""
    if listing.find(f"{folder}/{END}"):
        return []
    text = "the instrument's own conversion has not written Secondary_Analysis_Complete.txt; wait for it"
    return [warning("MARKER_MISSING", text, folder)]


def still_to_come(listing: Listing, folder: str, model: str | None) -> list[Problem]:
    """Return warnings when files of a finished analysis have not arrived: its marker, or reads of its manifest."""
    problems = []
    if (model or "").startswith("NovaSeq X") and not listing.find(f"{folder}/CopyComplete.txt"):
        text = f"{folder} of a {model} has a CopyComplete.txt of its own when its files have arrived, and it is not"
        problems.append(warning("MARKER_MISSING", f"{text} there; wait for it", folder))
    manifest = listing.find(f"{folder}/Manifest.tsv")
    data = read_small(listing.root, manifest.path, _CAP) if manifest else None
    if manifest is None or data is None:
        return problems
    if isinstance(data, Problem):
        return [*problems, warning(data.code, data.message, data.path)]
    missing = _missing(listing, folder, lines(decode(data, manifest.path).text))
    if missing:
        what = counted(len(missing), "file of reads that is", "files of reads that are")
        text = f"it lists {what} not there: {printable(missing[0], 100)}{' …' if len(missing) > 1 else ''}"
        problems.append(warning("COUNT_MISMATCH", f"{text}; wait for them or copy them again", manifest.path))
    return problems


def _missing(listing: Listing, folder: str, rows: Sequence[str]) -> list[str]:
    names = (row.split("\t")[0].strip().replace("\\", "/").removeprefix("./") for row in rows)
    expected = [name for name in names if name.lower().endswith(_READS)]
    return [name for name in expected if not listing.find(f"{folder}/{name}")]
