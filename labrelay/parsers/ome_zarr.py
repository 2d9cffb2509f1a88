"""OME-Zarr 0.1 to 0.5: images, plates, labels, and the roots that bioformats2raw writes.

After the NGFF specification (ngff.openmicroscopy.org). Strict readers refuse real published data, so its JSON is
read here, and what strays from the specification is a warning. 0.5 keeps its keys under `ome` in `zarr.json`.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from labrelay.model.files import FileRole
from labrelay.model.imaging import ImageAt, ImageSet, Plate, well_name
from labrelay.model.instrument import Completion, Detection, Fact, InstrumentRun, Known, RunFile
from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.model.words import counted
from labrelay.parsers.images import wells_of
from labrelay.parsers.listing import Listing, open_regular
from labrelay.parsers.ngff import axes_of, channels_of, keys_of, step_along, version_of, well_of, whole_count
from labrelay.parsers.ome_xml import OmeDocument, read_ome_xml, with_document
from labrelay.parsers.planes import cut
from labrelay.parsers.text import warning
from labrelay.parsers.zarr_groups import Array, Hierarchy, Json, objects, text_of

NAME = "ome_zarr"
LOOKED_FOR = "*.zarr, or .zattrs or zarr.json with multiscales or a plate"
MOST_IMAGES = 500
_MARKS = ("multiscales", "plate", "well", "bioformats2raw.layout", "omero", "labels")


@dataclass
class _Reading:
    """What has been read of one folder so far."""

    zarr: Hierarchy
    counts: Counter[str]
    images: list[ImageSet] = field(default_factory=list)
    samples: dict[str, str] = field(default_factory=dict)
    places: dict[str, ImageAt] = field(default_factory=dict)
    plates: list[Plate] = field(default_factory=list)
    raw: dict[str, dict[str, str]] = field(default_factory=dict)
    present: int = 0
    expected: int = 0
    skipped: int = 0
    unknown: bool = False
    problems: list[Problem] = field(default_factory=list)

    def tell(self, folder: str, name: str, value: object) -> None:
        text = text_of(value)
        if text is not None and len(self.raw) < 50:
            self.raw.setdefault(folder or ".", {})[name] = text


def detect(listing: Listing) -> Detection | None:
    """Say whether a group of Zarr in the folder has the keys of OME; a few of the uppermost are looked at."""
    hierarchy = Hierarchy(listing)
    for folder in hierarchy.roots()[:8]:
        if any(mark in keys_of(hierarchy.attributes(folder))[0] for mark in _MARKS):
            names = [name for name in ("zarr.json", ".zattrs") if name in hierarchy.folders[folder]]
            path = f"{folder}/{names[0]}" if folder else names[0]
            return Detection(platform=NAME, confidence=0.95, evidence=(path,))
    return None


def read(folder: Path, listing: Listing) -> InstrumentRun:
    """Return the images and plates below a folder, which may be the Zarr itself; what is wrong stands in its problems.

    Args:
        folder: As the caller named it.
        listing: Of that folder.
    """
    name = folder.resolve().name
    hierarchy = Hierarchy(listing)
    reading = _Reading(hierarchy, hierarchy.chunk_counts(), problems=list(listing.problems))
    roots = hierarchy.roots()
    documents = {root: _root(reading, root, name) for root in roots}
    described = next((told for told in documents.values() if told is not None), OmeDocument())
    plate = reading.plates[0] if reading.plates else None
    copied, found = _arrived(reading)
    reading.problems += [*hierarchy.problems, *described.problems, *found]
    run = InstrumentRun(
        run_id=(plate.id if plate and plate.id else _stem(roots[0] or name)) if len(roots) == 1 else name,
        folder_name=name,
        platform=NAME,
        files=tuple(_files(reading)),
        plate=plate,
        images=tuple(reading.images),
        completion=Completion(copied=copied),
        problems=tuple(reading.problems),
        raw={path: cut(told) for path, told in reading.raw.items()},
        personal=described.people,
    )
    return with_document(run, described)


def _root(reading: _Reading, root: str, name: str) -> OmeDocument | None:
    """Read one hierarchy: a plate, images of bioformats2raw, or an image; return its OME-XML where it has one."""
    keys, version = keys_of(reading.zarr.attributes(root))
    title = _stem(root or name)
    reading.samples[root] = title
    reading.tell(root, "version", version or version_of(keys))
    document = None
    if "bioformats2raw.layout" in keys or _below(root, "OME") in reading.zarr.folders:
        document = _ome_xml(reading, root)
    if isinstance(keys.get("plate"), dict):
        _plate(reading, root, keys, title)
    elif "multiscales" in keys:
        _image(reading, root, keys, title, ImageAt())
    else:
        _series(reading, root, keys, title)
    if document is not None:
        _acquired(reading, document)
    return document


def _below(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _stem(path: str) -> str:
    name = path.rpartition("/")[2]
    return re.sub(r"(?:\.ome)?\.zarr\Z", "", name, flags=re.IGNORECASE) or name


def _series(reading: _Reading, root: str, keys: Json, title: str) -> None:
    """Read the images below a root that is none itself: those that it lists, or its well's, or all that lie there."""
    well = keys.get("well")
    if isinstance(well, dict):
        names = [text_of(each.get("path")) for each in objects(well.get("images"))]
    else:
        listed = keys_of(reading.zarr.attributes(_below(root, "OME")))[0].get("series")
        names = [text_of(each) for each in listed] if isinstance(listed, list) else []
    folders = [_below(root, each) for each in names if each] or sorted(
        reading.zarr.children.get(root, []), key=_natural
    )
    found = 0
    for folder in folders:
        inner = keys_of(reading.zarr.attributes(folder))[0]
        if "multiscales" in inner:
            found += 1
            _image(reading, folder, inner, f"{title} {folder.rpartition('/')[2]}", ImageAt())
    if not found:
        text = "it is Zarr and no image or plate of OME-Zarr is described in it; its files are taken as they are"
        reading.problems.append(warning("NO_OME_METADATA", text, root or None))


def _natural(path: str) -> tuple[int, str]:
    name = path.rpartition("/")[2]
    return (int(name) if name.isascii() and name.isdigit() and len(name) < 10 else 10**9, name)


def _plate(reading: _Reading, root: str, keys: Json, title: str) -> None:
    told = keys["plate"]
    assert isinstance(told, dict)  # noqa: S101 (the caller has looked)
    name = text_of(told.get("name")) or title
    reading.samples[root] = name
    absent, counts = [], set()
    for well in objects(told.get("wells")):
        path = (text_of(well.get("path")) or "").strip("/")
        place = well_of(path, well)
        folder = _below(root, path)
        if folder not in reading.zarr.folders:
            absent.append(place or path)
            continue
        counts.add(_fields(reading, folder, place))
    acquisitions = [text_of(each.get("name")) for each in objects(told.get("acquisitions"))]
    reading.tell(root, "acquisitions", ", ".join(each for each in acquisitions if each))
    if absent:
        text = f"{counted(len(absent), 'well')} of the plate {'is' if len(absent) == 1 else 'are'} not here"
        reading.problems.append(
            warning("MISSING_WELLS", f"{text}, {printable(absent[0], 20)} first; bring them", root or None)
        )
        reading.unknown = True
    reading.plates.append(
        Plate(
            id=name,
            rows=whole_count(told.get("rows"), [well_name(row, 1)[:-2] for row in range(1, 49)]),
            columns=whole_count(told.get("columns"), [str(column) for column in range(1, 73)]),
            wells=wells_of(at for folder, at in reading.places.items() if folder.startswith(_below(root, ""))),
            fields=counts.pop() if len(counts) == 1 else None,
        )
    )


def _fields(reading: _Reading, folder: str, well: str | None) -> int:
    """Read the images of a well and return how many it has."""
    inner = keys_of(reading.zarr.attributes(folder))[0].get("well")
    listed = objects(inner.get("images")) if isinstance(inner, dict) else []
    names = [each for image in listed if (each := text_of(image.get("path")))]
    folders = [_below(folder, each) for each in names] or sorted(reading.zarr.children.get(folder, []), key=_natural)
    for number, path in enumerate(folders, 1):
        at = ImageAt(well=well, field=number)
        reading.places[path] = at
        title = f"{well or folder} field {number}"
        if path not in reading.zarr.folders:
            text = "the well lists this image and it is not here; bring it"
            reading.problems.append(warning("MISSING_IMAGE", text, path))
            reading.unknown = True
        elif len(reading.images) >= MOST_IMAGES:
            reading.skipped += 1
            reading.images.append(ImageSet(name=title, path=path, at=at))
        else:
            _image(reading, path, keys_of(reading.zarr.attributes(path))[0], title, at)
    return len(folders)


def _image(reading: _Reading, folder: str, keys: Json, title: str, at: ImageAt) -> None:
    """Add an image: its sizes from the first level, its pixels from its scales, its channels from `omero`."""
    scales = objects(keys.get("multiscales"))
    first = scales[0] if scales else {}
    levels = [path for each in objects(first.get("datasets")) if (path := text_of(each.get("path")))]
    arrays = [(path, reading.zarr.array(_below(folder, path))) for path in levels]
    for path, array in arrays:
        _count(reading, _below(folder, path), array)
    array = arrays[0][1] if arrays else None
    if array is None:
        text = "its multiscales name no array that is here, so its size is not known; bring its folders"
        reading.problems.append(warning("MISSING_ARRAY", text, folder or None))
    names = axes_of(first, len(array.shape) if array else 0)
    sizes = dict(zip(names, array.shape, strict=False)) if array else {}
    reading.images.append(
        ImageSet(
            name=title,
            path=folder or ".",
            **{f"size_{axis}": sizes.get(axis) for axis in "xyzct"},
            pixel_type=array.pixel_type if array else None,
            pixel_um=step_along(first, names, "x"),
            step_um=step_along(first, names, "z"),
            channels=channels_of(keys),
            at=at if at.well else None,
        )
    )
    reading.tell(folder, "levels", len(levels))
    _labels(reading, folder)


def _count(reading: _Reading, folder: str, array: Array | None) -> None:
    if array is None:
        reading.unknown = True
        return
    reading.present += min(reading.counts[folder], array.expected)
    reading.expected += array.expected


def _labels(reading: _Reading, folder: str) -> None:
    path = _below(folder, "labels")
    if path not in reading.zarr.folders:
        return
    keys, version = keys_of(reading.zarr.attributes(path))
    listed = keys.get("labels")
    names = [text for each in listed if (text := text_of(each))] if isinstance(listed, list) else []
    reading.tell(folder, "labels", ", ".join(names))
    if "zarr.json" in reading.zarr.folders[path] and version is None:
        text = "the group of labels says no version, for which strict readers refuse the whole image"
        reading.problems.append(warning("OME_ZARR_INVALID", text, f"{path}/zarr.json"))


def _ome_xml(reading: _Reading, root: str) -> OmeDocument | None:
    path = _below(root, "OME/METADATA.ome.xml")
    if reading.zarr.listing.find(path) is None:
        return None
    try:
        with os.fdopen(open_regular(reading.zarr.listing.root, path), "rb") as source:
            return read_ome_xml(source, path)
    except OSError:
        return None


def _acquired(reading: _Reading, document: OmeDocument) -> None:
    """Give the images of a root the times and names of its OME-XML, which has them in the same order."""
    if len(document.images) != len(reading.images):
        return
    reading.images = [
        image.model_copy(update={"acquired": told.image.acquired, "channels": image.channels or told.image.channels})
        for image, told in zip(reading.images, document.images, strict=True)
    ]


def _arrived(reading: _Reading) -> tuple[Fact, list[Problem]]:
    """Return whether all chunks are here; fewer prove nothing, since empty ones may rightly be absent."""
    problems = []
    evidence = next(iter(reading.samples), "")
    path = _below(evidence, "zarr.json" if "zarr.json" in reading.zarr.folders.get(evidence, set()) else ".zattrs")
    if reading.skipped:
        text = f"{counted(reading.skipped, 'image')} beyond the first {MOST_IMAGES} are listed and not looked into"
        problems.append(warning("TOO_MANY_IMAGES", text))
    if reading.expected and not reading.present:
        text = f"of {counted(reading.expected, 'chunk')} of pixels none is here: these are descriptions without images"
        problems.append(warning("NO_PIXELS", f"{text}; bring them", path))
    elif reading.present < reading.expected:
        text = f"of {reading.expected:,} chunks {reading.present:,} are here; empty ones may rightly be absent"
        problems.append(warning("MISSING_CHUNKS", f"{text}, or files are yet to come", path))
    whole = 0 < reading.expected == reading.present and not reading.unknown and not reading.skipped
    return (Fact(value=Known.YES, evidence=path) if whole else Fact()), problems


def _files(reading: _Reading) -> Iterator[RunFile]:
    """Yield every file of a hierarchy as part of its image or plate, for it can be opened only as a whole."""
    known: dict[str, tuple[str | None, ImageAt | None]] = {}
    for entry in reading.zarr.listing.files:
        folder = entry.folder
        if folder not in known:
            known[folder] = _belongs(reading, folder)
        sample, at = known[folder]
        role = FileRole.OTHER if sample is None else FileRole.IMAGE
        yield RunFile(path=entry.path, size=entry.size, role=role, sample=sample, image=at)


def _belongs(reading: _Reading, folder: str) -> tuple[str | None, ImageAt | None]:
    at = None
    path = folder
    while True:
        at = at or reading.places.get(path)
        if path in reading.samples:
            return reading.samples[path], at
        if not path:
            return None, None
        path = path.rpartition("/")[0]
