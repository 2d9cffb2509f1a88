"""Text exports of bench instruments that are recognised by their first lines and kept whole.

The open library allotropy reads these and more, told which one a file is. Here the first lines tell which of its
parsers that is, and where a Python with it is named, it is asked for the values (`labrelay.parsers.allotropy`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from labrelay.model.files import FileRole
from labrelay.model.instrument import Detection, InstrumentRun, RunFile
from labrelay.parsers import allotropy
from labrelay.parsers.listing import Entry, Listing, read_head
from labrelay.parsers.text import decode, warning

NAME = "bench"
LOOKED_FOR = "*.txt or *.csv that SoftMax Pro, QuantStudio, xPONENT, EnVision, MARS, NanoDrop, Qubit … exported"
MAX_FILES = 2000
_LOOKED_AT = 20
_HEAD = 2048


class Export(NamedTuple):
    """A kind of export: what a person calls it, and the parser of allotropy that reads it."""

    what: str
    vendor: str


# What the first lines of each look like, in real exports.
_KINDS = (
    (re.compile(r"##BLOCKS="), Export("SoftMax Pro (Molecular Devices)", "MOLDEV_SOFTMAX_PRO")),
    (re.compile(r"[*#] ?Block Type\b"), Export("QuantStudio (Applied Biosystems)", "APPBIO_QUANTSTUDIO")),
    (re.compile(r'"?Program"?,"?xPONENT'), Export("xPONENT (Luminex)", "LUMINEX_XPONENT")),
    (re.compile(r"Plate information\s*\n"), Export("EnVision (PerkinElmer)", "PERKIN_ELMER_ENVISION")),
    (re.compile(r"EnSight Results from"), Export("Kaleido (Revvity)", "REVVITY_KALEIDO")),
    (re.compile(r"User: [^\n]*Path: "), Export("MARS (BMG Labtech)", "BMG_MARS")),
    (re.compile(r"Application:[^\n]*\nSerial [Nn]umber:"), Export("NanoDrop Eight", "THERMO_FISHER_NANODROP_EIGHT")),
    (re.compile(r"Run ID,Assay Name,Test Name,Test Date,Qubit"), Export("Qubit 4", "THERMO_FISHER_QUBIT4")),
    (re.compile(r"Plate ID,Plate Position,Sample [Nn]ame"), Export("Lunatic (Unchained)", "UNCHAINED_LABS_LUNATIC")),
)  # fmt: skip


def export_of(head: bytes) -> Export | None:
    """Return whose export a text file is, by its first bytes, or None."""
    text = decode(head, "").text.lstrip("\ufeff \r\n").replace("\r\n", "\n")
    return next((kind for pattern, kind in _KINDS if pattern.match(text)), None)


def detect(listing: Listing) -> Detection | None:
    """Say whether a text file begins as a known export does; the heads of a few are looked at."""
    found = tuple(path for path, _ in _exports(listing, _LOOKED_AT))[:3]
    return Detection(platform=NAME, confidence=0.65, evidence=found) if found else None


def _exports(listing: Listing, most: int) -> Iterator[tuple[str, Export]]:
    texts = [entry for entry in listing.files if entry.name.lower().endswith((".txt", ".csv", ".tsv"))]
    for entry in texts[:most]:
        kind = export_of(read_head(listing.root, entry.path, _HEAD))
        if kind is not None:
            yield entry.path, kind


def read(folder: Path, listing: Listing) -> InstrumentRun:
    """Return the exports as a run in which each file is a sample, with its values where allotropy is at hand.

    Args:
        folder: As the caller named it; its name is the run's id.
        listing: Of that folder.
    """
    name = folder.resolve().name
    exports = dict(_exports(listing, MAX_FILES))
    program = allotropy.python()
    if program is not None:
        chosen = [(entry, exports[entry.path].vendor) for entry in listing.files if entry.path in exports]
        told, wrong = allotropy.read_exports(program, listing, chosen)
        if told:
            return allotropy.run_of(listing, name, NAME, told, wrong)
    first: dict[Export, str] = {}
    for path, kind in exports.items():
        first.setdefault(kind, path)
    problems = [
        warning(
            "OPAQUE", f"it is an export of {kind.what}, which is kept whole and not read here; {_needed(kind)}", path
        )
        for kind, path in first.items()
    ]
    return InstrumentRun(
        run_id=name,
        folder_name=name,
        platform=NAME,
        software=", ".join(kind.what for kind in first) or None,
        files=tuple(_file(entry, entry.path in exports) for entry in listing.files),
        problems=(*listing.problems, *problems),
    )


def _needed(kind: Export) -> str:
    return f"the library allotropy reads it as {kind.vendor}, where {allotropy.VARIABLE} names a Python that has it"


def _file(entry: Entry, mine: bool) -> RunFile:
    role = FileRole.MEASUREMENT if mine else FileRole.OTHER
    stem = entry.name.rpartition(".")[0]
    return RunFile(path=entry.path, size=entry.size, role=role, sample=stem if mine else None)
