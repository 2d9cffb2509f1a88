"""Which cycles of a run are what: OverrideCycles of a sample sheet as a read structure of Picard.

Illumina writes `Y151;I8N2;N2I8;Y151`, a part for each read; Picard the same as one read structure, `151T8B2S2S8B151T`
(T template, B barcode, S skipped).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from labrelay.model.instrument import ReadSegment

_PART = re.compile(r"(?:[YINU]\d{1,4})+\Z")
_PIECE = re.compile(r"([YINU])(\d+)")
_KINDS = {"Y": "T", "I": "B", "N": "S"}


@dataclass(frozen=True)
class Structure:
    """A read structure of Picard, and what is in it.

    Attributes:
        text: Such as `151T8B2S151T`.
        mates: Reads that become a FASTQ file each.
        index_lengths: Bases of each index that is read, in the order of the run.
        turned: For each of these, whether the instrument read its other strand.
    """

    text: str
    mates: int
    index_lengths: tuple[int, ...]
    turned: tuple[bool, ...]


def structure_of(mask: str, reads: Sequence[ReadSegment]) -> Structure | str:
    """Return a mask as Picard's read structure, or why it cannot be one, in a few words.

    Args:
        mask: `Y151;I8N2;I10;Y151`.
        reads: The run's recipe.
    """
    parts = [part.strip().upper() for part in mask.split(";")]
    if len(parts) != len(reads):
        return f"it has {len(parts)} parts and the run {len(reads)} reads"
    pieces: list[tuple[str, int]] = []
    turned = []
    for part, read in zip(parts, reads, strict=True):
        found = [(kind, int(count)) for kind, count in _PIECE.findall(part)] if _PART.match(part) else []
        cycles = sum(count for _, count in found)
        if cycles != read.cycles:
            return f"its part {part or '(nothing)'!r} is not the {read.cycles} cycles of read {read.number}"
        kinds = [kind for kind, count in found if count]
        if "U" in kinds:
            return "it has a UMI (U), which Picard leaves out of FASTQ"
        if len(kinds) - kinds.count("N") > 1:
            return f"its part {part!r} has several pieces to keep, which Picard would take for several reads"
        pieces += [(_KINDS[kind], count) for kind, count in found if count]
        turned += [bool(read.reverse_complement)] if "I" in kinds else []
    lengths = tuple(count for kind, count in pieces if kind == "B")
    mates = sum(kind == "T" for kind, _ in pieces)
    if not mates:
        return "it keeps no read"
    return Structure("".join(f"{count}{kind}" for kind, count in pieces), mates, lengths, tuple(turned))
