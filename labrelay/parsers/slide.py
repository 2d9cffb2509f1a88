"""Whole slides: Aperio SVS, Hamamatsu NDPI, Leica SCN and Ventana BIF, which are TIFFs, and 3DHISTECH MRXS.

Read without a library; pictures of the label and of the whole slide, which may show a patient's name, are only named.
SVS was tried on real slides; the others are from documents and public programs, and the warning FROM_DOCUMENTS says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from labrelay.model.imaging import Channel, ImageSet
from labrelay.model.instrument import Detection, InstrumentRun
from labrelay.parsers.image_files import Told, from_documents, opened, run_of_files
from labrelay.parsers.listing import Entry, Listing, read_head, walk
from labrelay.parsers.mrxs import look_mrxs, side_files
from labrelay.parsers.slide_facts import Region, Slide, any_tiff, aperio, hamamatsu, leica, ventana
from labrelay.parsers.text import error, warning
from labrelay.parsers.tiff_pages import BadTiff, CutTiff, TiffPage, read_pages

NAME = "slide"
LOOKED_FOR = "*.svs, *.ndpi, *.scn, *.bif or *.mrxs"
MRXS = ".mrxs"
_MAKERS: dict[str, Callable[[Sequence[TiffPage]], Slide | None]] = {
    ".svs": aperio,
    ".ndpi": hamamatsu,
    ".scn": leica,
    ".bif": ventana,
}
TIFFS = tuple(_MAKERS)
_UNTRIED = (".ndpi", ".scn", ".bif", MRXS)
_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def detect(listing: Listing) -> Detection | None:
    """Say whether the folder holds slides; the first bytes of a few have to be those of their kind."""
    named = [entry for entry in listing.files if entry.name.lower().endswith((*TIFFS, MRXS))]
    found = tuple(entry.path for entry in named[:8] if _agrees(listing, entry))[:3]
    return Detection(platform=NAME, confidence=0.9, evidence=found) if found else None


def _agrees(listing: Listing, entry: Entry) -> bool:
    if entry.name.lower().endswith(MRXS):
        return True  # a picture of the slide, or anything: what counts is the folder beside it
    return read_head(listing.root, entry.path, 16).startswith(_MAGICS)


def beside(listing: Listing) -> Iterator[str]:
    """Give the files in the folder of one .mrxs, which has all of its pixels."""
    for entry in listing.files:
        stem = entry.name.removesuffix(entry.name[-len(MRXS) :])
        folder = listing.root / stem
        if entry.name.lower().endswith(MRXS) and folder.is_dir() and not folder.is_symlink():
            yield from (f"{stem}/{inner.path}" for inner in walk(folder).files)


def read(folder: Path, listing: Listing) -> InstrumentRun:
    """Return the slides as a run, each a sample of its own; what cannot be read is told and taken as it is.

    Args:
        folder: As the caller named it; its name is the run's id.
        listing: Of that folder.
    """
    sides = side_files(listing)
    run = run_of_files(NAME, folder, listing, (*TIFFS, MRXS), _look, sides)
    return from_documents(run, _UNTRIED)


def _look(listing: Listing, entry: Entry) -> Told:
    if entry.name.lower().endswith(MRXS):
        return look_mrxs(listing, entry)
    path = entry.path
    found = opened(listing, entry, lambda source: open_slide(source, path), (CutTiff, BadTiff), "BAD_TIFF")
    if isinstance(found, Told):
        return found
    pages, slide, whole = found
    stem = entry.name.rpartition(".")[0]
    problems = []
    if not whole:
        text = "it is shorter than it says of itself: part of its pixels is missing; copy it again"
        problems.append(error("TRUNCATED", text, path))
    if "maker" not in slide.raw:
        text = "it has no description of its scanner's that is understood: it is kept, and the scan is not told"
        if not slide.regions:
            text += " or shown, because a picture of it may be that of its label"
        problems.append(warning("UNUSUAL_CONTENT", text, path))
    levels = {"levels": str(len(slide.regions[0].levels))} if slide.regions else {}
    return Told(
        images=tuple(_image(region, pages, stem, path, len(slide.regions)) for region in slide.regions),
        model=slide.model,
        serial=slide.serial,
        software=slide.software,
        raw={**slide.raw, **levels},
        personal=slide.personal,
        problems=tuple(problems),
        whole=whole,
    )


def open_slide(source: BinaryIO, path: str) -> tuple[tuple[TiffPage, ...], Slide, bool]:
    """Return an open slide's directories, what its maker says of them, and whether it is whole.

    Raises:
        BadTiff: It is no TIFF.
    """
    pages, whole = read_pages(source, path)
    ending = path[path.rfind(".") :].lower()
    # Only Aperio writes the slide first; of the others the first page may be the label, so none of theirs is guessed.
    unknown = any_tiff(pages) if ending == ".svs" else Slide(())
    return pages, _MAKERS[ending](pages) or unknown, whole


def _image(region: Region, pages: Sequence[TiffPage], stem: str, path: str, of: int) -> ImageSet:
    base = pages[region.levels[0]]
    colour = base.samples in (3, 4)
    return ImageSet(
        name=f"{stem} {region.name}" if of > 1 and region.name else stem,
        path=path,
        size_x=base.width or None,
        size_y=base.height or None,
        size_z=region.planes,
        size_c=3 if colour else region.channels,
        size_t=1,
        pixel_type=base.pixel_type,
        pixel_um=round(region.pixel_um, 6) if region.pixel_um else None,
        channels=(Channel(name="colour"),) if colour else (),
        acquired=region.acquired,
    )
