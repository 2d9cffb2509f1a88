"""What the name of a PacBio file says: the movie (one cell), the kind of reads, the barcode; and the file's role."""

from __future__ import annotations

import re
from typing import NamedTuple

from labrelay.model.files import FileRole
from labrelay.parsers.checksums import is_checksum_list
from labrelay.parsers.listing import Entry

MOVIE = r"m\d{5}[A-Za-z]?_\d{6}_\d{6}(?:_s\d)?"
RUN_FOLDER = re.compile(r"r\d{4,6}[A-Za-z]?_\d{8}_\d{6}\Z")
CELL_FOLDER = re.compile(r"\d{1,2}_[A-H]\d{2}\Z")
_NAME = re.compile(rf"\.?(?P<movie>{MOVIE})\.(?P<rest>.+)\Z")
_READS = re.compile(
    r"(?P<kind>hifi_reads|fail_reads|hifi|fail|ccs|reads|subreads|scraps|lima|demux)"
    r"(?:\.(?P<barcode>.+?))?\.(?P<ending>bam|fastq|fastq\.gz|fq\.gz|bam\.pbi|bam\.bai|fasta|fasta\.gz"
    r"|consensusreadset\.xml|subreadset\.xml)\Z",
    re.IGNORECASE,
)
# The instrument tries whether it can write: these say nothing of a run.
_PROBE = re.compile(r"(?:Transfer_Test_.*|tmp-file-.*|.*\.canary)\Z", re.IGNORECASE)
_METADATA = re.compile(r".*\.(?:xml|json|txt|csv|fasta|transferdone|zip|gz|tsv|html|pdf)\Z", re.IGNORECASE)
UNDIVIDED = ("default",)
UNASSIGNED = ("unassigned", "unbarcoded", "removed")


class PacBioName(NamedTuple):
    """What a file name says.

    Attributes:
        entry: The file.
        movie: None where the name has none.
        kind: `hifi_reads`, `fail_reads`, `ccs`, `reads`, `subreads` …; None for what is no reads.
        barcode: The part between, such as `bc1002` or `unassigned`; None without.
        ending: Such as `bam` or `consensusreadset.xml`; what follows the movie when it is no reads.
    """

    entry: Entry
    movie: str | None
    kind: str | None
    barcode: str | None
    ending: str


def parse_name(entry: Entry) -> PacBioName:
    """Return what the file's name says."""
    match = _NAME.match(entry.name)
    rest = match["rest"] if match else entry.name
    movie = match["movie"] if match else None
    reads = _READS.match(rest) if match else None
    if reads is None:
        return PacBioName(entry, movie, None, None, rest.lower())
    kind = {"hifi": "hifi_reads", "fail": "fail_reads"}.get(reads["kind"].lower(), reads["kind"].lower())
    barcode = reads["barcode"]
    if barcode is not None and barcode.lower() in UNDIVIDED:
        barcode = None
    return PacBioName(entry, movie, kind, barcode, reads["ending"].lower())


def is_probe(name: str) -> bool:
    """Tell whether a file is only the instrument's trial of whether it can write."""
    return bool(_PROBE.match(name))


def other_role(name: PacBioName) -> FileRole:
    """Return the role of a file that is no reads of a sample."""
    if is_checksum_list(name.entry.name):
        return FileRole.CHECKSUMS
    if name.ending.endswith(".log"):
        return FileRole.LOG
    if name.kind is None or name.ending.endswith(".xml"):
        return FileRole.RUN_METADATA if _METADATA.match(name.entry.name) else FileRole.OTHER
    return FileRole.OTHER


def barcode_key(barcode: str) -> str:
    """Return a barcode for comparing: `bc1002--bc1002` of metadata is `bc1002` in the names of files."""
    first, dashes, second = barcode.lower().partition("--")
    return first if dashes and first == second else barcode.lower()
