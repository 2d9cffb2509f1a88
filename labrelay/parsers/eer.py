"""EER movies of Falcon cameras: a TIFF with a directory a frame, whose electrons are events. Read without a library.

After the open EER reader of Thermo Fisher: compressions 65000 to 65002, and an XML of the acquisition in tag 65001 of
the first directory. From documents: no real movie was at hand, and the warning FROM_DOCUMENTS says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from xml.etree.ElementTree import Element

from labrelay.model.imaging import Channel, ImageSet
from labrelay.model.instrument import Detection, InstrumentRun
from labrelay.model.problem import Problem
from labrelay.parsers.image_files import Told, by_heads, from_documents, opened, run_of_files
from labrelay.parsers.listing import Entry, Listing
from labrelay.parsers.planes import positive
from labrelay.parsers.text import error, to_int, warning
from labrelay.parsers.tiff_pages import BadTiff, CutTiff, TiffPage, read_pages
from labrelay.parsers.xml import find_all, parse_xml

NAME = "eer"
LOOKED_FOR = "*.eer"
ENDING = ".eer"
PACKED = (65000, 65001, 65002)
_ACQUISITION = 65001
_MAGICS = (b"II*\0", b"II+\0", b"MM\0*", b"MM\0+")
# What is kept as text, by the name that it has in the file.
_RAW = ("exposureTime", "meanDoseRate", "totalDose", "numberOfFrames", "eerGainReference", "sensorImageWidth")


def detect(listing: Listing) -> Detection | None:
    """Say whether the folder holds EER movies; a session of EPU or SerialEM around them is the better guess."""
    found = by_heads(NAME, listing, ENDING, lambda head: head.startswith(_MAGICS))
    return found.model_copy(update={"confidence": 0.6}) if found else None


def read(folder: Path, listing: Listing) -> InstrumentRun:
    """Return the movies as a run, each file a sample of its own; what cannot be read is told and taken as it is.

    Args:
        folder: As the caller named it; its name is the run's id.
        listing: Of that folder.
    """
    return from_documents(run_of_files(NAME, folder, listing, (ENDING,), _look), (ENDING,))


def _look(listing: Listing, entry: Entry) -> Told:
    path = entry.path
    found = opened(listing, entry, lambda source: read_pages(source, path), (CutTiff, BadTiff), "BAD_TIFF")
    if isinstance(found, Told):
        return found
    pages, whole = found
    frames = [page for page in pages if page.packed in PACKED]
    told, units, problems = _items(pages[0], path)
    problems += _wrong(path, frames, told, whole)
    return Told(
        images=(_image(frames or list(pages), told, units, entry.name.rpartition(".")[0], path),),
        model=told.get("commercialName") or told.get("cameraName"),
        serial=told.get("serialNumber"),
        raw={key: f"{told[key]} {units.get(key, '')}".strip() for key in _RAW if key in told},
        problems=tuple(problems),
        whole=whole,
    )


def _items(page: TiffPage, path: str) -> tuple[dict[str, str], dict[str, str], list[Problem]]:
    """Return the values of the acquisition's XML, their units, and what is wrong with it."""
    text = page.text(_ACQUISITION)
    if not text:
        return {}, {}, [warning("NO_METADATA", "it says nothing of its acquisition: only sizes are told", path)]
    root, problems = parse_xml(text.encode(), path)
    items = [each for each in find_all(root, "item") if each.get("name")][:500] if root is not None else []
    told = {each.get("name", ""): value for each in items if (value := _value(each))}
    units = {each.get("name", ""): each.get("unit", "")[:20] for each in items}
    return told, units, [warning(each.code, f"its acquisition: {each.message}", path) for each in problems]


def _value(item: Element) -> str:
    return " ".join((item.text or "").split())[:200]


def _wrong(path: str, frames: list[TiffPage], told: Mapping[str, str], whole: bool) -> list[Problem]:
    found = []
    declared = to_int(told.get("numberOfFrames"))
    if not whole:
        text = "it is shorter than it says of itself: frames are missing; copy it again"
        found.append(error("TRUNCATED", text, path))
    elif not frames:
        text = "it is a TIFF, but none of its pages is packed as EER is; is it another kind of file?"
        found.append(warning("UNUSUAL_CONTENT", text, path))
    elif declared is not None and declared != len(frames):
        text = f"it declares {declared:,} frames and holds {len(frames):,}; look whether it came whole"
        found.append(warning("COUNT_MISMATCH", text, path))
    return found


def _image(frames: list[TiffPage], told: Mapping[str, str], units: Mapping[str, str], stem: str, path: str) -> ImageSet:
    first = frames[0]
    edge = positive(told.get("sensorPixelSize.width"), 1e6) if units.get("sensorPixelSize.width") == "m" else None
    seconds = positive(told.get("exposureTime")) if units.get("exposureTime") == "s" else None
    return ImageSet(
        name=stem,
        path=path,
        size_x=first.width or None,
        size_y=first.height or None,
        size_z=1,
        size_c=1,
        size_t=len(frames),
        pixel_type="uint8",
        pixel_um=round(edge, 9) if edge else None,
        channels=(Channel(name="electrons", exposure_s=seconds),),
        acquired=told.get("timestamp"),
    )
