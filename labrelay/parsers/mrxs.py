"""3DHISTECH MRXS: a picture of the slide, and beside it a folder of its name with `Slidedat.ini` and the pixels.

Of the pixels nothing is read here: `Slidedat.ini` says what was scanned and which files hold it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from labrelay.model.imaging import Channel, ImageSet
from labrelay.model.names import printable, safe_relative
from labrelay.model.problem import Problem
from labrelay.model.words import counted
from labrelay.parsers.image_files import Told
from labrelay.parsers.listing import Entry, Listing, read_small
from labrelay.parsers.planes import positive
from labrelay.parsers.text import decode, error, lines, to_float, to_int, warning

INI = "Slidedat.ini"
MOST_DATA = 10_000
# Names, numbers and texts that somebody typed or stuck on the slide.
_PERSONAL = ("SLIDE_NAME", "SLIDE_ID", "SLIDE_BARCODE", "SLIDE_LABEL", "PROJECT_NAME")
_HIDDEN = {"SlideBarcode": "label picture", "SlideThumbnail": "macro picture", "SlidePreview": "macro picture"}
Sections = Mapping[str, Mapping[str, str]]


def side_files(listing: Listing) -> dict[str, str]:
    """Return the files in the folders of slides, by path, with the path of their slide."""
    slides = {e.path.rpartition(".")[0].lower(): e.path for e in listing.files if e.name.lower().endswith(".mrxs")}
    found: dict[str, str] = {}
    for entry in listing.files if slides else ():
        parts = entry.folder.split("/")
        above = ("/".join(parts[:depth]).lower() for depth in range(1, len(parts) + 1))
        mine = next((slides[up] for up in above if up in slides), None)
        if mine is not None:
            found[entry.path] = mine
    return found


def look_mrxs(listing: Listing, entry: Entry) -> Told:
    """Return what a slide's folder says; a slide without its folder is refused, because its pixels are there.

    Args:
        listing: Of the folder that holds the slide.
        entry: The slide.
    """
    stem, folder = entry.name.rpartition(".")[0], entry.path.rpartition(".")[0]
    ini = listing.find(f"{folder}/{INI}")
    if ini is None:
        text = f"its folder {printable(stem, 80)} with {INI} and the pixels is not here; bring it"
        return Told(problems=(error("MISSING_REFERENCE", text, entry.path),), whole=False)
    data = read_small(listing.root, ini.path)
    if isinstance(data, Problem):
        return Told(problems=(warning(data.code, data.message, ini.path),))
    text, decoding = decode(data, ini.path)
    told = _sections(text)
    general = told.get("GENERAL", {})
    if not general:
        problem = warning("BAD_SIDECAR", "it says nothing under [GENERAL]; copy it again", ini.path)
        return Told(problems=(*decoding, problem))
    missing, named = _missing(told, listing, folder)
    problems = list(decoding)
    if missing:
        what = f"{counted(len(missing), 'file')} with pixels that it names {'is' if len(missing) == 1 else 'are'}"
        text = f"{what} not here, {printable(missing[0], 80)} first; bring the whole folder"
        problems.append(error("MISSING_REFERENCE", text, ini.path))
    return Told(
        images=(_image(told, stem, entry.path),),
        model=" ".join(filter(None, (general.get("SCANNER_HARDWARE_VERSION"), general.get("CAMERA_TYPE"))))[:100]
        or None,
        serial=(general.get("SCANNER_HARDWARE_ID") or "")[:100] or None,
        software=(general.get("SCANNER_SOFTWARE_VERSION") or "")[:100] or None,
        raw=_raw(told),
        personal={key: general[key] for key in _PERSONAL if general.get(key)} | _hidden(told),
        problems=tuple(problems),
        whole=not missing if named else None,
    )


def _sections(text: str) -> dict[str, dict[str, str]]:
    """Return the sections of the file; of what stands twice the first counts, and nothing is ever an error."""
    found: dict[str, dict[str, str]] = {}
    section: dict[str, str] = {}
    for line in lines(text)[:100_000]:
        stripped = line.strip()
        if stripped.startswith("[") and stripped.endswith("]"):
            section = found.setdefault(stripped[1:-1].strip().upper(), {})
        elif "=" in stripped and not stripped.startswith((";", "#")):
            key, _equals, value = stripped.partition("=")
            section.setdefault(key.strip().upper(), value.strip()[:500])
    return found


def _image(told: Sections, stem: str, path: str) -> ImageSet:
    base = _base(told)
    return ImageSet(
        name=stem,
        path=path,
        size_x=_extent(told, "IMAGENUMBER_X", "DIGITIZER_WIDTH", "OVERLAP_X"),
        size_y=_extent(told, "IMAGENUMBER_Y", "DIGITIZER_HEIGHT", "OVERLAP_Y"),
        size_z=1,
        size_c=3,
        size_t=1,
        pixel_type="uint8",
        pixel_um=positive(base.get("MICROMETER_PER_PIXEL_X")),
        channels=(Channel(name="colour"),),
        acquired=_time(told["GENERAL"].get("SLIDE_CREATIONDATETIME", "")),
    )


def _extent(told: Sections, images: str, edge: str, overlap: str) -> int | None:
    """Return the slide's extent in pixels: its images side by side, less the overlap of the photos that they are of."""
    general, base = told["GENERAL"], _base(told)
    count, pixels = to_int(general.get(images)), to_int(base.get(edge))
    photo = to_int(general.get("CAMERAIMAGEDIVISIONSPERSIDE")) or 1
    if not count or not pixels:
        return None
    return max(1, int(count * pixels - (count - 1) // photo * (to_float(base.get(overlap)) or 0.0)))


def _base(told: Sections) -> Mapping[str, str]:
    """Return the section of the finest level of the slide's zoom."""
    layers = told.get("HIERARCHICAL", {})
    for number in range(min(to_int(layers.get("HIER_COUNT")) or 0, 100)):
        if layers.get(f"HIER_{number}_NAME") == "Slide zoom level":
            return told.get(layers.get(f"HIER_{number}_VAL_0_SECTION", "").upper(), {})
    return {}


def _time(text: str) -> str | None:
    """Return the time as ISO 8601: 3DHISTECH writes day/month/year."""
    try:
        return datetime.strptime(text.strip(), "%d/%m/%Y %H:%M:%S").isoformat()
    except ValueError:
        return None


def _raw(told: Sections) -> dict[str, str]:
    general, layers = told["GENERAL"], told.get("HIERARCHICAL", {})
    magnification = general.get("OBJECTIVE_MAGNIFICATION")
    raw = {
        "maker": "3DHISTECH",
        "magnification": f"{magnification}×"[:20] if magnification else "",
        "objective": general.get("OBJECTIVE_NAME", ""),
        "levels": layers.get("HIER_0_COUNT", "") if layers.get("HIER_0_NAME") == "Slide zoom level" else "",
        "images across": general.get("IMAGENUMBER_X", ""),
        "images down": general.get("IMAGENUMBER_Y", ""),
        "version": general.get("SLIDE_VERSION", ""),
    }
    return {key: value for key, value in raw.items() if value}


def _hidden(told: Sections) -> dict[str, str]:
    """Return the pictures in which a name may be read: the label, and the whole slide with it."""
    values = {value for key, value in told.get("HIERARCHICAL", {}).items() if key.startswith("NONHIER_")}
    found: dict[str, str] = {}
    for value in sorted(values):
        for mark, word in _HIDDEN.items():
            if value.endswith(mark):
                found[word] = f"{value[:100]}; it is not shown"
    return found


def _missing(told: Sections, listing: Listing, folder: str) -> tuple[list[str], int]:
    """Return the files with pixels that are not here, and how many are named."""
    names = list(_data_files(told))
    return [name for name in names if listing.find(f"{folder}/{name}") is None], len(names)


def _data_files(told: Sections) -> Iterator[str]:
    files = told.get("DATAFILE", {})
    for number in range(min(to_int(files.get("FILE_COUNT")) or 0, MOST_DATA)):
        name = files.get(f"FILE_{number}")
        if name and safe_relative(name) is not None:
            yield name
