"""A folder of FASTQ, BAM or CRAM files and nothing that explains them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from labrelay.model.instrument import Detection, InstrumentRun
from labrelay.parsers.delivery import read_files
from labrelay.parsers.fastq_names import is_read_file, name_reads
from labrelay.parsers.listing import Listing

NAME = "reads"
LOOKED_FOR = "*.fastq, *.fastq.gz, *.fq.gz, *.bam or *.cram"


def detect(listing: Listing) -> Detection | None:
    """Say whether the folder holds reads at all; every other platform is a better guess."""
    found = tuple(islice((entry.path for entry in listing.files if is_read_file(entry.name)), 3))
    return Detection(platform=NAME, confidence=0.2, evidence=found) if found else None


def beside(listing: Listing) -> Iterator[str]:
    """Give the names that the mate of one file of reads may have."""
    for entry in listing.files:
        if not is_read_file(entry.name):
            continue
        for one, other in (("R1", "R2"), ("R2", "R1"), ("1", "2"), ("2", "1")):
            mate = re.sub(rf"([._]){one}(?=[._])(?!.*[._]{one}[._])", rf"\g<1>{other}", entry.name)
            if mate != entry.name and len({n.mates for n in name_reads([entry.name, mate]).values()}) == 1:
                yield mate


def read(folder: Path, listing: Listing) -> InstrumentRun:
    """Return the files as a run without sheet; samples are known by the names of the files only.

    Args:
        folder: As the caller named it; its name is the run's id.
        listing: Of that folder.
    """
    return read_files(folder, listing, NAME, with_list=False)
