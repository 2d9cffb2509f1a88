"""Was the right folder given? The one above a run, a part of one, and one whose RunInfo.xml stayed behind are told."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.parsers import delivery, reads
from labrelay.parsers.fastq_names import is_read_file
from labrelay.parsers.listing import Listing
from labrelay.parsers.text import error, warning

ONE_FOLDER = frozenset({"illumina", "images", "reads"})  # whose run is the folder itself, whatever lies below
RUN_SIGNS = ("RunParameters.xml", "RTAComplete.txt", "CopyComplete.txt", "RunCompletionStatus.xml")
SHOWN = 5
_OF_MINKNOW = re.compile(r"(?:fastq|bam)_(?:pass|fail)")
_OF_ILLUMINA = re.compile(r"Data|Analysis|Alignment_?\d+")  # folders of a run that may hold its reads


def without_run_info(platform: str, listing: Listing) -> list[Problem]:
    """Return a warning where a folder of reads has what Illumina's run folders have, but for what says the run."""
    if platform not in (delivery.NAME, reads.NAME) or listing.find("RunInfo.xml") is not None:
        return []
    signs = [entry for name in RUN_SIGNS if (entry := listing.find(name))]
    signs += [entry for entry in listing.files if entry.path.lower().startswith(("interop/", "data/intensities/"))][:1]
    if not signs:
        return []
    said = f"the folder looks like an Illumina run without its RunInfo.xml and is read as {platform}: bring that file"
    return [warning("RUN_INFO_MISSING", said, signs[0].path)]


def inner_runs(platform: str, listing: Listing) -> list[Problem]:
    """Return an error for each Illumina run in a folder that is none itself, where runs would be mixed by taking it.

    A run's own sheet and reads make the folder above it look like a delivery, however deep the run lies; it is one only
    where reads or lists that are no run's say so.
    """
    if listing.find("RunInfo.xml") is not None:
        return []
    folders = (entry.folder for entry in listing.named("runinfo.xml"))
    runs = list(dict.fromkeys(each for each in folders if each.rpartition("/")[2].lower() != "reports"))
    inner = [folder for folder in runs if "/" not in folder]
    if not inner or (platform not in ONE_FOLDER and len(inner) < 2):
        inner = _with_all_reads(runs, listing) if platform in (delivery.NAME, reads.NAME) else []
    said = "looks like an Illumina run; give that folder, so that the run keeps its own id and is mixed with nothing"
    return [error("INNER_RUN", said, folder) for folder in inner[:SHOWN]]


def _with_all_reads(runs: list[str], listing: Listing) -> list[str]:
    """Return the runs that hold reads, where what lies beside them is no delivery by itself."""
    below = tuple(f"{folder}/" for folder in runs)
    held = [entry for entry in listing.files if entry.path.startswith(below)] if runs else []
    if not any(is_read_file(entry.name) for entry in held):
        return []
    known = set(held)
    rest = tuple(entry for entry in listing.files if entry not in known)
    if delivery.detect(Listing(listing.root, rest)) is not None:
        return []
    with_reads = [entry.path for entry in held if is_read_file(entry.name)]
    return [folder for folder in runs if any(path.startswith(f"{folder}/") for path in with_reads)]


def part_of_run(platform: str, place: Path) -> list[Problem]:
    """Return an error for reads in a folder that MinKNOW or an Illumina instrument made: alone it would be another run.

    Cost: a look for `RunInfo.xml` in each folder above one called as Illumina's, none else.
    """
    given = place.resolve()
    if platform == reads.NAME and any(_OF_MINKNOW.fullmatch(name) for name in (given.name, given.parent.name)):
        said = "it is a part of what MinKNOW writes for a flow cell; give the flow cell's folder"
        return [error("PART_OF_RUN", f"{said}, which says what run it is")]
    if platform not in (delivery.NAME, reads.NAME):
        return []
    for inner, run in pairwise((given, *given.parents)):
        if _OF_ILLUMINA.fullmatch(inner.name) and (run / "RunInfo.xml").is_file():
            said = f"it is a part of the Illumina run {printable(run.name, 80)}; give that run's folder"
            return [error("PART_OF_RUN", f"{said}, so that it keeps its own id and nothing is stored twice")]
    return []
