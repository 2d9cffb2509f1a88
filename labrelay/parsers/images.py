"""A folder of plain image files and nothing that explains them but their names."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from labrelay.model.files import FileRole
from labrelay.model.imaging import ImageAt, Plate
from labrelay.model.instrument import Detection, InstrumentRun, RunFile
from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.model.words import counted
from labrelay.parsers.image_names import ImageName, in_folders, is_image, parse_image_name
from labrelay.parsers.listing import Entry, Listing, open_regular
from labrelay.parsers.text import error, warning
from labrelay.parsers.tiff_pages import BadTiff, CutTiff, read_pages

NAME = "images"
CHECKED, PAGES = 5_000, 100  # files, and directories of each, that are looked at for a broken copy
STRIPS = 8_000_000  # places and lengths of strips in all of them, after which no more are looked at: about a second
_TIFF = (".tif", ".tiff", ".tf2", ".tf8", ".btf")
_FAULTS = {
    "TRUNCATED": "the file ends before its pixels do",
    "BAD_TIFF": "the file is damaged: it does not say how large its image is",
}
_LIKE_A_WELL = re.compile(r"(?<![A-Za-z0-9])[A-Pa-p](?: - )?\d{1,2}(?![A-Za-z0-9])")
_Plane = tuple[int | None, ...]  # field, channel, z and t, as the name tells them
LOOKED_FOR = "*.tif, *.tiff, or images named by plate and well"


def detect(listing: Listing) -> Detection | None:
    """Say whether the folder holds images at all; every other platform is a better guess."""
    found = tuple(islice((entry.path for entry in listing.files if of_an_instrument(entry.name)), 3))
    return Detection(platform=NAME, confidence=0.1, evidence=found) if found else None


def of_an_instrument(name: str) -> bool:
    """Return whether a microscope may have written it; a picture from a telephone is no run."""
    return name.lower().endswith((".tif", ".tiff")) or (is_image(name) and parse_image_name(name) is not None)


def read(folder: Path, listing: Listing) -> InstrumentRun:
    """Return the images as a run; a plate, where their names tell one, is its sample, else each file is one.

    Args:
        folder: As the caller named it; its name is the run's id.
        listing: Of that folder.
    """
    name = folder.resolve().name
    files = tuple(_file(entry, name) for entry in listing.files)
    placed = [file.image for file in files if file.role is FileRole.IMAGE and file.image is not None]
    plates = {file.sample for file in files if file.role is FileRole.IMAGE and file.image is not None}
    return InstrumentRun(
        run_id=name,
        folder_name=name,
        platform=NAME,
        files=files,
        plate=Plate(id=next(iter(plates)), wells=wells_of(placed)) if len(plates) == 1 else None,
        problems=(*listing.problems, *_problems(files, plates), *cut_tiffs(listing, files)),
    )


def _problems(files: Iterable[RunFile], plates: set[str | None]) -> Iterator[Problem]:
    empty = [file.path for file in files if file.role is FileRole.IMAGE and file.size == 0]
    if empty:
        yield warning(
            "ZERO_BYTE_FILE", f"{counted(len(empty), 'image has', 'images have')} no bytes: copy again", empty[0]
        )
    yield from _unknown_names(files)
    yield from _uneven(files)
    yield from _twice(files)
    if len(plates) > 1:
        names = ", ".join(sorted(printable(str(plate), 60) for plate in plates)[:5])
        yield warning("SEVERAL_PLATES", f"the names tell of {len(plates)} plates, and each becomes a dataset: {names}")


def cut_tiffs(listing: Listing, files: Iterable[RunFile]) -> Iterator[Problem]:
    """Give a warning for TIFFs that end before their directories or pixels do, and for those without a size.

    Cost: the directories of 100 pages a file, of the 5,000 smallest files at most, for what was cut is smaller than its
    like. Each is one open and two small reads (a third where strips are many), of no pixel and no text: 5,000 planes
    on a local disk take 0.4 s of one core. Files of very many strips are looked at up to `STRIPS` of them.

    Args:
        listing: That has the files.
        files: Of the run.
    """
    images = [f for f in files if f.role is FileRole.IMAGE and f.size and f.path.lower().endswith(_TIFF)]
    smallest = sorted(images, key=lambda file: (file.size, file.path))[:CHECKED]
    faults: dict[str, list[str]] = defaultdict(list)
    left = STRIPS
    for file in smallest:
        code, strips = _fault_of(listing.root, file.path)
        if code is not None:
            faults[code].append(file.path)
        left -= strips
        if left < 0:
            break
    for code, paths in sorted(faults.items(), key=lambda fault: min(fault[1])):
        more = f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""
        yield warning(code, f"{_FAULTS[code]}{more}; copy it again", min(paths))


def _fault_of(root: Path, path: str) -> tuple[str | None, int]:
    """Return what is wrong with a TIFF, if anything is, and how many strips were looked at."""
    try:
        with os.fdopen(open_regular(root, path), "rb") as source:
            pages, whole = read_pages(source, path, PAGES, tags=False)
    except CutTiff:
        return "TRUNCATED", 0
    except (BadTiff, OSError):  # what is no TIFF is told when it is opened
        return None, 0
    strips = sum(page.numbers for page in pages)
    if not whole:
        return "TRUNCATED", strips
    return None if all(page.width and page.height for page in pages) else "BAD_TIFF", strips


def _unknown_names(files: Iterable[RunFile]) -> Iterator[Problem]:
    """Give a warning where names seem to tell of wells in a way that is not known, as each is a sample then."""
    alone = [file.path for file in files if file.role is FileRole.IMAGE and file.image is None]
    like = [path for path in alone if _LIKE_A_WELL.search(path.rpartition("/")[2])]
    if len(like) > max(1, len(alone) // 2):
        text = f"{counted(len(like), 'name')} may tell of wells, but as no pattern that is known, so each is a sample"
        yield warning("UNKNOWN_NAMES", f"{text}; rename them, such as PLATE_B02_s1_w1.tif", like[0])


def _uneven(files: Iterable[RunFile]) -> Iterator[Problem]:
    """Give a warning for each plate that lacks planes in wells which it has in others: a copy may be going on."""
    by_plate: dict[str, dict[str, set[_Plane]]] = defaultdict(lambda: defaultdict(set))
    for file, well, plane in _placed(files):
        by_plate[file.sample or ""][well].add(plane)
    for plate, wells in by_plate.items():
        planes = set().union(*wells.values())
        fewer = sorted(well for well, have in wells.items() if len(have) < len(planes))
        if fewer:
            here = f"{sum(map(len, wells.values())):,} of {len(wells) * len(planes):,} images are here"
            each = f"{counted(len(wells), 'well')} of {counted(len(planes), 'plane')} each"
            first = min(planes - wells[fewer[0]], key=lambda plane: [number or 0 for number in plane])
            text = f"of {printable(plate, 60)} {here} ({each}): {fewer[0]} lacks {_told(first)}"
            more = f" (and {counted(len(fewer) - 1, 'other well')} some)" if len(fewer) > 1 else ""
            yield warning("MISSING_IMAGE", f"{text}{more}: is all here?")


def _twice(files: Iterable[RunFile]) -> Iterator[Problem]:
    """Give an error where two images say that they are the same plane of a plate: its cells would count twice."""
    first: dict[tuple[str | None, str, _Plane], str] = {}
    again: list[tuple[str, str, str]] = []
    for file, well, plane in _placed(files):
        before = first.setdefault((file.sample, well, plane), file.path)
        if before != file.path:
            again.append((file.path, before, well))
    if again:
        path, before, well = again[0]
        more = f" (and {len(again) - 1} more)" if len(again) > 1 else ""
        where = f"the same plane of well {well} as {printable(before)}{more}"
        yield error("SAME_PLACE", f"it is {where}; keep one of them, and a folder for each plate", path)


def _placed(files: Iterable[RunFile]) -> Iterator[tuple[RunFile, str, _Plane]]:
    """Give the images that lie in a well, with their planes."""
    for file in files:
        at = file.image
        if file.role is FileRole.IMAGE and at is not None and at.well is not None:
            yield file, at.well, (at.field, at.channel, at.z, at.t)


def _told(plane: _Plane) -> str:
    names = ("field", "channel", "z", "t")
    return " ".join(f"{name} {number}" for name, number in zip(names, plane, strict=True) if number is not None)


def wells_of(placed: Iterable[ImageAt]) -> tuple[str, ...]:
    """Return the wells of images, each once, in order of row and column."""
    wells = {at.well for at in placed if at.well is not None}
    return tuple(sorted(wells, key=lambda well: (len(well.rstrip("0123456789")), well)))


def _file(entry: Entry, folder: str) -> RunFile:
    if not is_image(entry.name):
        return RunFile(path=entry.path, size=entry.size, role=FileRole.OTHER)
    told = parse_image_name(entry.name)
    if told is None:
        stem = entry.name.partition(".")[0]
        return RunFile(path=entry.path, size=entry.size, role=FileRole.IMAGE, sample=stem)
    return image_file(entry, told._replace(at=in_folders(told.at, entry.path)), told.plate or folder)


def image_file(entry: Entry, told: ImageName, plate: str) -> RunFile:
    """Return the run's file for an image whose name was understood."""
    role = FileRole.THUMBNAIL if told.thumbnail else FileRole.IMAGE
    return RunFile(path=entry.path, size=entry.size, role=role, sample=plate, image=told.at)
