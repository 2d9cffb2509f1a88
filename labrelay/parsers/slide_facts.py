"""What the makers of slide scanners write into their TIFFs: Aperio (SVS), Hamamatsu (NDPI), Leica (SCN), Ventana (BIF).

Each function takes the directories of a file and returns which of them are the slide, at which levels, and what is
known of the scan. Pictures of the label and of the whole slide may show a patient's name: they are named and counted,
and nothing here or elsewhere shows them.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from xml.etree.ElementTree import Element

from labrelay.parsers.planes import positive
from labrelay.parsers.text import to_int
from labrelay.parsers.tiff_pages import MOST_TEXT, TiffPage
from labrelay.parsers.xml import attribute, find_all, find_text, parse_xml

# Tags of Hamamatsu, as the open readers call them.
_LENS, _Z_OFFSET, _REFERENCE, _SERIAL, _BARCODE = 65421, 65424, 65427, 65442, 65468
_DESCRIPTION, _MAKE, _MODEL, _SOFTWARE, _TIME, _XMP = 270, 271, 272, 305, 306, 700
_NEARLY = 0.98  # of the slide: so much of it has the label in it
_LEVEL = re.compile(r"level\s*=\s*(\d+)\s+mag\s*=\s*([\d.]+)")


@dataclass(frozen=True)
class Region:
    """One scanned region: its levels as numbers of directories, the largest first.

    Attributes:
        name: As the scanner calls it; empty when it calls it nothing.
        levels: At least one.
        pixel_um: Of the largest.
        planes: In z.
        channels: Of fluorescence, each with levels of its own; 1 for colour.
        acquired: As it was written, or as ISO 8601 where it was written in another order.
    """

    name: str
    levels: tuple[int, ...]
    pixel_um: float | None = None
    planes: int = 1
    channels: int = 1
    acquired: str | None = None


@dataclass(frozen=True)
class Slide:
    """What is known of a slide; `personal` names where a person's name may stand or be seen."""

    regions: tuple[Region, ...]
    model: str | None = None
    serial: str | None = None
    software: str | None = None
    raw: Mapping[str, str] = field(default_factory=dict)
    personal: Mapping[str, str] = field(default_factory=dict)


def aperio(pages: Sequence[TiffPage]) -> Slide | None:
    """Return an Aperio slide: its first page, and the tiled ones of the same picture; None when it is none."""
    text = pages[0].description
    if not text.startswith("Aperio"):
        return None
    pairs = (part.partition("=") for part in text.split("|")[1:])
    told = {key.strip(): value.strip() for key, equals, value in pairs if equals}
    levels = [page for page in pages if page.index == 0 or _reduced(page, pages[0])]
    planes = sum((page.width, page.height) == (pages[0].width, pages[0].height) for page in levels)
    flat = [page for page in pages[1:] if page not in levels]
    hidden = {page.index: "label" for page in flat if page.subfile & 1 and not page.subfile & 8}
    hidden |= {page.index: "macro" for page in flat if page.subfile & 8}
    for page in flat:
        word = next((each for each in ("label", "macro") if each in page.description.partition("|")[0].lower()), None)
        hidden |= {page.index: word} if word else {}
    keys = ("User", "Filename", "Title", "Barcode", "Patient ID", "ImageID", "DSR ID")
    return Slide(
        regions=(
            Region(
                name="",
                levels=_largest_first(list({page.width: page for page in reversed(levels)}.values())),
                pixel_um=positive(told.get("MPP")),
                planes=max(1, planes),
                acquired=_aperio_time(told),
            ),
        ),
        model=f"Aperio {told['ScannerType']}" if told.get("ScannerType") else "Aperio",
        serial=told.get("ScanScope ID"),
        software=text.partition("|")[0].partition("\n")[0].strip()[:100],
        raw={"maker": "Aperio", "magnification": f"{told['AppMag']}×"} if told.get("AppMag") else {"maker": "Aperio"},
        personal={key: told[key] for key in keys if told.get(key)} | _hidden(pages, hidden),
    )


def _reduced(page: TiffPage, base: TiffPage) -> bool:
    """Return whether a page is the slide at some level: tiled, and of the same shape but for rounding."""
    if not page.tiled or not page.width or not page.height:
        return False
    return abs(page.width * base.height - page.height * base.width) <= 4 * max(base.width, base.height)


def _largest_first(pages: Sequence[TiffPage]) -> tuple[int, ...]:
    return tuple(page.index for page in sorted(pages, key=lambda each: (-each.width * each.height, each.index)))


def _hidden(pages: Sequence[TiffPage], hidden: Mapping[int, str]) -> dict[str, str]:
    """Return the pictures in which a name may be read, as personal fields."""
    by_index = {page.index: page for page in pages}
    return {
        f"{word} picture": f"page {index}, {by_index[index].width} × {by_index[index].height} pixels; it is not shown"
        for index, word in hidden.items()
    }


def _aperio_time(told: Mapping[str, str]) -> str | None:
    """Return the time as ISO 8601: Aperio writes month/day/year with two digits, and a zone in newer files."""
    found = _time(f"{told.get('Date', '')} {told.get('Time', '')}".strip(), "%m/%d/%y %H:%M:%S", "%m/%d/%Y %H:%M:%S")
    zone = re.fullmatch(r"GMT([+-]\d\d)(\d\d)", told.get("Time Zone", ""))
    return f"{found}{zone[1]}:{zone[2]}" if found and zone else found


def _time(text: str, *forms: str) -> str | None:
    for form in forms:
        try:
            return datetime.strptime(text, form).isoformat()
        except ValueError:
            continue
    return None


def hamamatsu(pages: Sequence[TiffPage]) -> Slide | None:
    """Return a Hamamatsu slide: pages with a lens are levels, -1 is the whole slide with its label, -2 a map."""
    if not any(page.number(_LENS) is not None for page in pages):
        return None
    levels = [page for page in pages if (page.number(_LENS) or 0) > 0]
    if not levels:
        return None
    heights = sorted({page.number(_Z_OFFSET) or 0.0 for page in levels})
    middle = [page for page in levels if (page.number(_Z_OFFSET) or 0.0) == heights[len(heights) // 2]]
    first = max(levels, key=lambda page: page.width * page.height)
    hidden = {page.index: "macro" for page in pages if page.number(_LENS) == -1}
    people = {"Reference": first.text(_REFERENCE), "Barcode": first.text(_BARCODE)}
    region = Region(
        name="",
        levels=_largest_first(middle),
        pixel_um=first.pixel_um,
        planes=len(heights),
        acquired=_time(first.text(_TIME), "%Y/%m/%d %H:%M:%S", "%Y:%m:%d %H:%M:%S"),
    )
    return Slide(
        regions=(region,),
        model=" ".join(part for part in (first.text(_MAKE), first.text(_MODEL)) if part)[:100] or None,
        serial=first.text(_SERIAL)[:100] or None,
        software=first.text(_SOFTWARE)[:100] or None,
        raw={"maker": "Hamamatsu", "magnification": f"{first.number(_LENS) or 0:g}×"},
        personal={key: value for key, value in people.items() if value} | _hidden(pages, hidden),
    )


def leica(pages: Sequence[TiffPage]) -> Slide | None:
    """Return a Leica slide: the regions of its XML; the image that covers the whole slide shows the label."""
    text = pages[0].text(_DESCRIPTION, MOST_TEXT)
    if "leica-microsystems.com/scn/" not in text[:2000]:
        return None
    root, _problems = parse_xml(text.encode(), "")
    collection = next(find_all(root, "collection"), None) if root is not None else None
    if root is None or collection is None:
        return None
    regions, hidden = [], dict[int, str]()
    for image in list(find_all(collection, "image"))[:1000]:
        view = next(find_all(image, "view"), None)
        dimensions = list(_dimensions(image, len(pages)))
        if not dimensions:
            continue
        if view is None or _covers(view, collection):
            hidden |= {ifd: "macro" for ifd, _width, _plane, _channel in dimensions}
            continue
        regions.append(_leica_region(image, view, dimensions))
    device = next(find_all(root, "device"), None)
    barcode = find_text(root, "barcode") or attribute(collection, "barcode")
    objective = find_text(root, "objective")
    name = attribute(collection, "name")
    return Slide(
        regions=tuple(regions),
        model=(attribute(device, "model") or "")[:100] or None if device is not None else None,
        software=(attribute(device, "version") or "")[:100] or None if device is not None else None,
        raw={"maker": "Leica"} | ({"magnification": f"{objective}×"[:20]} if objective else {}),
        personal=({"Barcode": _barcode(barcode)} if barcode else {})
        | ({"Collection": name} if name else {})
        | _hidden(pages, hidden),
    )


def _covers(view: Element, collection: Element) -> bool:
    """Return whether a view may be of the whole slide with its label; one that does not say its size may."""
    sizes = [[positive(attribute(each, key)) for each in (view, collection)] for key in ("sizeX", "sizeY")]
    return all(not mine or not whole or mine >= _NEARLY * whole for mine, whole in sizes)


def _dimensions(image: Element, pages: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield the directory, width, plane and channel of each level of a Leica image."""
    for each in find_all(image, "dimension"):
        ifd, width = to_int(attribute(each, "ifd")), to_int(attribute(each, "sizeX"))
        if ifd is not None and width and ifd < pages:
            yield ifd, width, to_int(attribute(each, "z")) or 0, to_int(attribute(each, "c")) or 0


def _leica_region(image: Element, view: Element | None, dimensions: Sequence[tuple[int, int, int, int]]) -> Region:
    planes = sorted({plane for _ifd, _width, plane, _channel in dimensions})
    channels = sorted({channel for _ifd, _width, _plane, channel in dimensions})
    shown = [d for d in dimensions if d[2] == planes[len(planes) // 2] and d[3] == channels[0]] or list(dimensions)
    levels = sorted(shown, key=lambda each: -each[1])
    nanometres = positive(attribute(view, "sizeX")) if view is not None else None
    return Region(
        name=(attribute(image, "name") or "")[:100],
        levels=tuple(each[0] for each in levels),
        pixel_um=round(nanometres / 1000 / levels[0][1], 6) if nanometres else None,
        planes=len(planes),
        channels=len(channels),
        acquired=find_text(image, "creationDate"),
    )


def _barcode(text: str) -> str:
    """Return a barcode, which most scanners write in base64."""
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return text


def ventana(pages: Sequence[TiffPage]) -> Slide | None:
    """Return a Ventana slide: pages that call themselves a level; the tiles may overlap, which sizes do not know."""
    documents = (page.text(_XMP, MOST_TEXT) for page in pages[:10])
    text = next((each for each in documents if "<iScan" in each), None)
    levels = [(page, found) for page in pages if (found := _LEVEL.search(page.description[:200]))]
    if text is None or not levels:
        return None
    root, _problems = parse_xml(text.encode(), "")
    scan = next(find_all(root, "iScan"), None) if root is not None else None
    told = {key.lower(): value for key, value in scan.attrib.items()} if scan is not None else {}
    numbered = {page.index for page, _found in levels}
    hidden = {page.index: "label" for page in pages if page.index not in numbered and "abel" in page.description[:50]}
    people = {key: told.get(key.lower(), "") for key in ("UserName", "Barcode1D", "Barcode2D", "SlideAnnotation")}
    magnification = told.get("magnification")
    return Slide(
        regions=(
            Region(
                name="",
                levels=_largest_first([page for page, _found in levels]),
                pixel_um=positive(told.get("scanres")),
                planes=min(to_int(told.get("z-layers")) or 1, 1000) or 1,
            ),
        ),
        model=told.get("scannermodel", "Ventana")[:100],
        serial=told.get("unitnumber", "")[:100] or None,
        software=told.get("buildversion", "")[:100] or None,
        raw={"maker": "Ventana"} | ({"magnification": f"{magnification}×"[:20]} if magnification else {}),
        personal={key: value for key, value in people.items() if value} | _hidden(pages, hidden),
    )


def any_tiff(pages: Sequence[TiffPage]) -> Slide:
    """Return what an SVS without its maker's mark tells: its first page and its copies, if that page has tiles."""
    base = pages[0]
    if not base.tiled:  # as labels and overviews are
        return Slide(())
    levels = [page for page in pages[1:] if page.tiled and _reduced(page, base)]
    return Slide(regions=(Region("", (0, *_largest_first(levels)), base.pixel_um),))
