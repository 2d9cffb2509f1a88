"""Zeiss CZI: one file with all of an image, its scenes, channels, planes, times and levels. Read without a library."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

from labrelay.model.instrument import Detection, InstrumentRun
from labrelay.model.problem import Problem
from labrelay.parsers.czi_file import MAGIC, MOST_XML, BadCzi, CutCzi, CziFile, read_czi
from labrelay.parsers.czi_metadata import HOLLOW, MOST_SCENES, image_sets, instrument, other_facts
from labrelay.parsers.image_files import Told, by_heads, opened, run_of_files
from labrelay.parsers.listing import Entry, Listing
from labrelay.parsers.text import error, warning
from labrelay.parsers.xml import parse_xml

NAME = "czi"
LOOKED_FOR = "*.czi"
ENDING = ".czi"


def detect(listing: Listing) -> Detection | None:
    """Say whether the folder holds CZI files; their first bytes decide."""
    return by_heads(NAME, listing, ENDING, lambda head: head.startswith(MAGIC))


def read(folder: Path, listing: Listing) -> InstrumentRun:
    """Return the images as a run, each file a sample of its own; what cannot be read is told and taken as it is.

    Args:
        folder: As the caller named it; its name is the run's id.
        listing: Of that folder.
    """
    return run_of_files(NAME, folder, listing, (ENDING,), _look)


def _look(listing: Listing, entry: Entry) -> Told:
    file = opened(listing, entry, read_czi, (CutCzi, BadCzi), "BAD_CZI", whole=False)
    if isinstance(file, Told):
        return file
    root, problems = _root(file, entry.path)
    model, software = instrument(root)
    raw, people = other_facts(root)
    levels = {block.scale for block in file.blocks}
    told = {**raw, "levels": str(len(levels))} if len(levels) > 1 else raw
    return Told(
        images=image_sets(root, file.blocks, entry.name.rpartition(".")[0], entry.path),
        model=model,
        software=software,
        raw=told,
        personal=people,
        problems=(*problems, *_wrong(file, entry.path)),
        whole=file.whole,
        ended=False if file.pending else None,
    )


def _root(file: CziFile, path: str) -> tuple[Element | None, list[Problem]]:
    """Return the XML; what is wrong with it takes the facts away and not the file, so an error becomes a warning."""
    if not file.xml:
        text = "it holds no metadata that can be read: sizes are told, channels, pixel and times are not"
        return None, [warning("NO_METADATA", text, path)]
    root, problems = parse_xml(file.xml, path, hollow=HOLLOW, most=MOST_XML)
    return root, [warning(each.code, f"its metadata: {each.message}", path) for each in problems]


def _wrong(file: CziFile, path: str) -> list[Problem]:
    found = []
    if not file.whole:
        text = "it is shorter than it says of itself: part of its pixels is missing; copy it again"
        found.append(error("TRUNCATED", text, path))
    if file.pending:
        text = "the program that writes it has not closed it; wait until it has, then copy it again"
        found.append(warning("NOT_ENDED", text, path))
    if file.several:
        text = "part of its pixels lies in further files of its name; keep them beside it"
        found.append(warning("MISSING_REFERENCE", text, path))
    if len({block.scene for block in file.blocks}) > MOST_SCENES:
        text = f"its scenes beyond the first {MOST_SCENES:,} are kept and not listed"
        found.append(warning("TOO_MANY_IMAGES", text, path))
    if file.cut and file.whole:
        found.append(warning("NOT_ALL_READ", "its directory is longer than is read, so sizes may be larger", path))
    return found
