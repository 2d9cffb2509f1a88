"""OME-TIFF: images whose first directory holds OME-XML, alone, in sets, or with a companion that describes them all."""

from __future__ import annotations

import contextlib
import io
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from labrelay.model.files import FileRole
from labrelay.model.imaging import ImageAt, ImageSet, Plate
from labrelay.model.instrument import Completion, Detection, Fact, InstrumentRun, Known, RunFile, Unit
from labrelay.model.names import printable, safe_relative
from labrelay.model.problem import Problem
from labrelay.model.words import counted
from labrelay.parsers.image_names import is_image
from labrelay.parsers.images import cut_tiffs
from labrelay.parsers.listing import Entry, Listing, open_regular
from labrelay.parsers.ome_xml import Held, OmeDocument, OmeImage, read_ome_xml, with_document
from labrelay.parsers.planes import cut
from labrelay.parsers.text import warning
from labrelay.parsers.tiff_head import TiffHead, read_tiff_head

NAME = "ome_tiff"
LOOKED_FOR = "*.ome.tif, *.companion.ome or *.ome.xml"
TIFFS = (".ome.tif", ".ome.tiff", ".ome.tf2", ".ome.tf8", ".ome.btf")
DOCUMENTS = (".companion.ome", ".ome.xml", ".ome")
MOST_HEADS = 2_000
MOST_BESIDE = 3  # the first say of all the others


@dataclass
class _Place:
    """What is known of one image file."""

    image: OmeImage
    plate: str | None
    at: ImageAt
    several: bool = False


@dataclass
class _Reading:
    """What has been read of one folder so far."""

    listing: Listing
    documents: dict[str, OmeDocument] = field(default_factory=dict)
    places: dict[str, _Place] = field(default_factory=dict)
    images: list[ImageSet] = field(default_factory=list)
    missing: dict[str, list[str]] = field(default_factory=dict)
    named: int = 0
    problems: list[Problem] = field(default_factory=list)


def detect(listing: Listing) -> Detection | None:
    """Say whether files are named as OME-TIFF or as its description; a description alone is less sure."""
    tiffs = [entry.path for entry in listing.files if _is_tiff(entry)]
    documents = [entry.path for entry in listing.files if _is_document(entry)]
    if not tiffs and not documents:
        return None
    sure = bool(tiffs) or any(path.lower().endswith(".companion.ome") for path in documents)
    evidence = (*documents[:2], *tiffs[:2])[:3]
    return Detection(platform=NAME, confidence=0.8 if sure else 0.5, evidence=evidence)


def _is_tiff(entry: Entry) -> bool:
    return entry.name.lower().endswith(TIFFS) or (
        entry.name.lower() in ("ome.tif", "ome.tiff")  # as a test file of the format's own readers is called
    )


def _is_document(entry: Entry) -> bool:
    return entry.name.lower().endswith(DOCUMENTS)


def beside(listing: Listing) -> Iterator[str]:
    """Give the names of the companion and of the other images that a file, or a companion, says are of its set."""
    for entry in listing.files[:MOST_BESIDE]:
        document = _described(listing, entry)
        if document is not None and document.metadata_file:
            yield document.metadata_file
        elif document is not None:
            yield from (held.name for image in document.images for held in image.held)


def _described(listing: Listing, entry: Entry) -> OmeDocument | None:
    """Return what a file says of images, or None."""
    if _is_document(entry):
        with contextlib.suppress(OSError), os.fdopen(open_regular(listing.root, entry.path), "rb") as source:
            return read_ome_xml(source, entry.path)
    elif _is_tiff(entry):
        head = read_tiff_head(listing.root, entry.path)
        return None if isinstance(head, Problem) else read_ome_xml(io.BytesIO(head.description), entry.path)
    return None


def read(folder: Path, listing: Listing) -> InstrumentRun:
    """Return the images as a run; a plate is the sample of its images, else an image or a file is its own.

    Args:
        folder: As the caller named it; its name is the run's id.
        listing: Of that folder.
    """
    name = folder.resolve().name
    reading = _Reading(listing, problems=list(listing.problems))
    _read_documents(reading)
    _read_tiffs(reading)
    plates = [each.plate for document in reading.documents.values() for each in document.plates]
    files = tuple(_files(reading))
    reading.problems += [*_gone(reading), *_nothing(files), *_plates_differ(plates), *cut_tiffs(listing, files)]
    first = next(iter(reading.documents.values()), OmeDocument())
    run = InstrumentRun(
        run_id=name,
        folder_name=name,
        platform=NAME,
        files=files,
        units=_units(plates),
        plate=plates[0] if plates else None,
        images=tuple(reading.images),
        completion=Completion(copied=_copied(reading)),
        problems=tuple(reading.problems),
        raw={path: raw for path, told in list(reading.documents.items())[:50] if (raw := _raw(told))},
        personal={
            f"{path}: {key}": value for path, told in reading.documents.items() for key, value in told.people.items()
        },
    )
    return with_document(run, first)


def _raw(document: OmeDocument) -> dict[str, str]:
    """Return the schema's year, and the order of planes where one image is all that a file holds."""
    order = document.images[0].order if len(document.images) == 1 else ""
    return cut({"schema": document.schema, "order": order})


def _read_documents(reading: _Reading) -> None:
    for entry in [each for each in reading.listing.files if _is_document(each)][:MOST_HEADS]:
        try:
            with os.fdopen(open_regular(reading.listing.root, entry.path), "rb") as source:
                document = read_ome_xml(source, entry.path)
        except OSError:
            reading.problems.append(warning("UNREADABLE", "it cannot be read; check its rights", entry.path))
            continue
        _take(reading, entry.path, document, own_file=None)


def _read_tiffs(reading: _Reading) -> None:
    """Look into those files that no description has named; each member of a set describes all of the set."""
    heads = 0
    for entry in reading.listing.files:
        if not _is_tiff(entry) or entry.path in reading.places:
            continue
        heads += 1
        if heads > MOST_HEADS:
            text = f"more than {MOST_HEADS:,} files describe themselves; the rest is taken by name only"
            reading.problems.append(warning("TOO_MANY_IMAGES", text, entry.path))
            return
        head = read_tiff_head(reading.listing.root, entry.path)
        if isinstance(head, Problem):
            reading.problems.append(head)
            continue
        document = read_ome_xml(io.BytesIO(head.description), entry.path)
        if document.known:
            _take(reading, entry.path, document, own_file=entry.path)
            reading.problems += _lies(entry.path, head, document)
        else:
            text = "its name ends like that of an OME-TIFF and its first page holds no OME-XML; it is taken as it is"
            reading.problems.append(warning("NO_OME_XML", text, entry.path))


def _take(reading: _Reading, path: str, document: OmeDocument, own_file: str | None) -> None:
    """Add what a description says: its images, and for each file that it names where that belongs."""
    reading.documents[path] = document
    reading.problems += document.problems
    if document.metadata_file:
        companion = _below(path, document.metadata_file)
        if companion is None or reading.listing.find(companion) is None:
            reading.missing.setdefault(path, []).append(document.metadata_file)
        return
    for image in document.images:
        plate, at = _on_plate(document, image.id)
        held = image.held or ((Held(PurePosixPath(own_file).name, None, None, None),) if own_file else ())
        paths = [(each, _below(path, each.name)) for each in held]
        for each, found in paths:
            _place(reading, path, each, found, _Place(image, plate, at))
        first = next((found for _each, found in paths if found), path)
        told = at if plate is not None else None
        reading.images.append(image.image.model_copy(update={"path": first, "at": told}))


def _place(reading: _Reading, document: str, held: Held, path: str | None, place: _Place) -> None:
    reading.named += 1
    entry = reading.listing.find(path) if path else None
    if entry is None:
        reading.missing.setdefault(document, []).append(held.name)
        return
    before = reading.places.get(entry.path)
    if before is not None:
        before.several = before.several or before.image.id != place.image.id
        return
    channels = place.image.image.channels
    named = channels[held.channel - 1].name if held.channel and held.channel <= len(channels) else None
    planes = {"channel": held.channel, "z": held.z, "t": held.t, "channel_name": named}
    place.at = place.at.model_copy(update=planes)
    reading.places[entry.path] = place


def _below(document: str, name: str) -> str | None:
    """Return the path of a file that a description names, which lies beside it; None when it would lie elsewhere."""
    path = str(PurePosixPath(document).parent / name.replace("\\", "/"))
    return path if safe_relative(path) is not None else None


def _on_plate(document: OmeDocument, image: str) -> tuple[str | None, ImageAt]:
    for each in document.plates:
        if image in each.images:
            return each.plate.id, each.images[image]
    return None, ImageAt()


def _files(reading: _Reading) -> Iterator[RunFile]:
    names = Counter(place.image.image.name for place in reading.places.values())
    sets = Counter(id(place.image) for place in reading.places.values())
    for entry in reading.listing.files:
        place = reading.places.get(entry.path)
        if place is not None:
            name = place.image.image.name
            # An image's name counts where it is the image's alone; many programs call each of their images the same.
            own = not place.several and name != place.image.id and names[name] == sets[id(place.image)]
            sample = place.plate or (name if own else _stem(entry.name))
            at = place.at if not place.several else ImageAt()
            yield RunFile(path=entry.path, size=entry.size, role=FileRole.IMAGE, sample=sample, image=at)
        elif _is_tiff(entry) or is_image(entry.name):
            yield RunFile(path=entry.path, size=entry.size, role=FileRole.IMAGE, sample=_stem(entry.name))
        else:
            role = FileRole.RUN_METADATA if _is_document(entry) else FileRole.OTHER
            yield RunFile(path=entry.path, size=entry.size, role=role)


def _stem(name: str) -> str:
    lower = name.lower()
    ending = next((each for each in TIFFS if lower.endswith(each)), None)
    return (name[: -len(ending)] if ending else name.rpartition(".")[0]) or name


def _lies(path: str, head: TiffHead, document: OmeDocument) -> Iterator[Problem]:
    sizes = {(image.image.size_x, image.image.size_y) for image in document.images}
    if sizes and head.width and (head.width, head.height) not in sizes:
        told = ", ".join(f"{x} × {y}" for x, y in sorted(sizes, key=str)[:3])
        text = f"its first page is {head.width} × {head.height} pixels and its OME-XML says {told}; look at the export"
        yield warning("SIZE_MISMATCH", text, path)


def _gone(reading: _Reading) -> Iterator[Problem]:
    for document, names in reading.missing.items():
        distinct = list(dict.fromkeys(names))
        text = f"it names {counted(len(distinct), 'file')} that {'is' if len(distinct) == 1 else 'are'} not here"
        yield warning("MISSING_REFERENCE", f"{text}, {printable(distinct[0], 80)} first; bring them", document)


def _nothing(files: tuple[RunFile, ...]) -> Iterator[Problem]:
    if not any(file.role is FileRole.IMAGE for file in files):
        yield warning("NO_IMAGES", "the folder describes images and holds none; bring the files with the pixels")


def _plates_differ(plates: list[Plate]) -> Iterator[Problem]:
    if len(plates) > 1:
        yield warning("SEVERAL_PLATES", f"{len(plates)} plates are described; each is a dataset, and all are parts")


def _units(plates: list[Plate]) -> tuple[Unit, ...]:
    if len(plates) < 2:
        return ()
    return tuple(
        Unit(name=plate.id or f"plate {number}", kind="plate", sample=plate.id, facts={"wells": str(len(plate.wells))})
        for number, plate in enumerate(plates, 1)
    )


def _copied(reading: _Reading) -> Fact:
    """All files that the descriptions name are here, or not; a file that names none says nothing."""
    if reading.missing:
        return Fact(value=Known.NO, evidence=next(iter(reading.missing)))
    naming = next((path for path, told in reading.documents.items() if any(i.held for i in told.images)), None)
    return Fact(value=Known.YES, evidence=naming) if naming else Fact()
