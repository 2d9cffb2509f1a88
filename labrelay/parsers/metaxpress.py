"""ImageXpress of MetaXpress: a .HTD file that plans, and a TIFF a plane in `TimePoint_N/ZStep_M/` or in one folder.

The .HTD is written at the start and plans more images than may ever be taken: a wavelength may be set for some time
points only. Line breaks of its description are the bytes 82 81 of a DOS code page.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

from labrelay.model.files import FileRole
from labrelay.model.imaging import Channel, ImageAt, Plate, well_name
from labrelay.model.instrument import Completion, Detection, Fact, InstrumentRun, Known, RunFile
from labrelay.model.problem import Problem
from labrelay.model.words import counted
from labrelay.parsers.image_names import ImageName, is_image, parse_image_name, step_and_time
from labrelay.parsers.images import cut_tiffs, wells_of
from labrelay.parsers.listing import Entry, Listing, read_head, read_small
from labrelay.parsers.planes import Frame, Plane, cut, image_sets, named_otherwise, positive, run_files
from labrelay.parsers.text import cells, column_key, error, lines, to_datetime, to_int, warning
from labrelay.parsers.tiff_head import TiffHead, read_tiff_head
from labrelay.parsers.xml import find_all, parse_xml

NAME = "metaxpress"
LOOKED_FOR = "*.HTD"
_MOST = 10_000


@dataclass(frozen=True)
class Plan:
    """What the .HTD plans, and its fields by name (`column_key`).

    Attributes:
        wells: In order of row and column.
        sites, waves, times, steps: How many; at least 1.
        names: Of the wavelengths, in order.
    """

    fields: dict[str, list[str]]
    wells: tuple[str, ...]
    sites: int
    waves: int
    times: int
    steps: int
    names: tuple[str, ...]

    @property
    def images(self) -> int:
        """How many image files were planned."""
        return len(self.wells) * self.sites * self.waves * self.times * self.steps

    def told(self, name: str) -> str | None:
        """The first value of a field."""
        values = self.fields.get(name)
        return values[0] if values and values[0] else None


def detect(listing: Listing) -> Detection | None:
    """Say whether the folder holds a plan of MetaXpress."""
    found = _plans(listing)
    return Detection(platform=NAME, confidence=0.95, evidence=(found[0].path,)) if found else None


def _plans(listing: Listing) -> list[Entry]:
    """Return the .HTD files, the uppermost first; copies of one lie in the time points' folders."""
    named = sorted((e for e in listing.files if e.name.lower().endswith(".htd")), key=lambda e: (e.path.count("/"), e))
    return [e for e in named[:20] if b"HTSInfoFile" in read_head(listing.root, e.path, 512)]


def parse_htd(data: bytes, path: str) -> tuple[Plan, list[Problem]]:
    """Return what an .HTD file plans.

    Args:
        data: The whole file.
        path: For messages.
    """
    text = data.replace(b"\x82\x81", b"; ").decode("utf-8-sig", "replace")
    fields: dict[str, list[str]] = {}
    for line in lines(text)[:_MOST]:
        # A blank stands after each comma, before the quotes.
        row, _balanced = cells(line.replace('", "', '","').replace('", ', '",'))
        if row and row[0]:
            fields.setdefault(column_key(row[0]), row[1:])
    problems = []
    if "endfile" not in fields:
        problems.append(warning("TRUNCATED", "it has no EndFile, so it has not come whole; copy it again", path))
    sites = sum(_true(each) for key, row in fields.items() if key.startswith("siteselection") for each in row)
    waves = _count(fields, "nwavelengths")
    return (
        Plan(
            fields,
            tuple(_wells(fields)),
            max(1, sites),
            waves,
            _count(fields, "timepoints"),
            _count(fields, "zsteps") if _true((fields.get("zseries") or [""])[0]) else 1,
            tuple((fields.get(f"wavename{number}") or [""])[0] for number in range(1, min(waves, 64) + 1)),
        ),
        problems,
    )


def _true(text: str) -> bool:
    return text.strip().upper() == "TRUE"


def _count(fields: dict[str, list[str]], name: str) -> int:
    return min(max(1, to_int((fields.get(name) or [""])[0]) or 1), 1_000_000)


def _wells(fields: dict[str, list[str]]) -> list[str]:
    wells = []
    for row in range(1, 33):
        for column, chosen in enumerate(fields.get(f"wellsselection{row}", [])[:48], 1):
            if _true(chosen):
                wells.append(well_name(row, column))
    return wells


def read(folder: Path, listing: Listing) -> InstrumentRun:
    """Return the plate; what is wrong stands in its problems.

    Args:
        folder: As the caller named it; its name is kept beside the run's id.
        listing: Of that folder.
    """
    found = _plans(listing)
    source = found[0].path if found else ""
    problems = [*listing.problems, *_several(found)]
    data = read_small(listing.root, source) if found else b""
    plan, wrong = parse_htd(b"" if isinstance(data, Problem) else data, source)
    problems += [*([data] if isinstance(data, Problem) else []), *wrong]
    name = folder.resolve().name
    told = {entry.path: named for entry in listing.files if (named := _named(entry)) is not None}
    plate = _plate_id(found, told) or name
    planes = [Plane(path, _at(path, named, plan)) for path, named in told.items() if not named.thumbnail]
    copied, gone = _arrived(plan, planes, listing, source)
    head, metadata, odd = _first(listing, planes)
    problems += [*gone, *odd, *named_otherwise(name, [plate], source)]
    files = _files(listing, planes, told, plate)
    problems += cut_tiffs(listing, files)
    taken = metadata.get("acquisition-time-local")
    wells = wells_of(plane.at for plane in planes) or plan.wells
    return InstrumentRun(
        run_id=plan.told("uniqueplateidentifier") or plate,
        folder_name=name,
        platform=NAME,
        software=_software(metadata),
        started=to_datetime(_iso(taken)) if taken else None,
        started_text=taken,
        files=files,
        plate=Plate(
            id=plate,
            rows=to_int(plan.told("ywells")),
            columns=to_int(plan.told("xwells")),
            wells=wells,
            fields=plan.sites if found else None,
        ),
        images=image_sets(planes, _frame(head, metadata), _channels(plan)),
        completion=Completion(acquired=copied, copied=copied),
        problems=tuple(problems),
        raw={source: cut({key: ", ".join(row) for key, row in plan.fields.items() if _kept(key)})} if found else {},
        personal={},
    )


def _several(found: list[Entry]) -> list[Problem]:
    """A copy of the plan lies in folders of its plate; a plan of another name is another plate's."""
    if len({entry.name.lower() for entry in found}) < 2:
        return []
    names = sorted({entry.name for entry in found})
    return [error("SEVERAL_RUNS", f"the folder holds plates {', '.join(names[:5])}; give the folder of one")]


def _named(entry: Entry) -> ImageName | None:
    return parse_image_name(entry.name) if is_image(entry.name) else None


def _plate_id(found: list[Entry], told: dict[str, ImageName]) -> str | None:
    if found:
        return found[0].name.rpartition(".")[0]
    return next((named.plate for named in told.values() if named.plate), None)


def _at(path: str, named: ImageName, plan: Plan) -> ImageAt:
    """Return the place of an image: well, site and wavelength from its name, time point and step from its folders."""
    step, time = step_and_time(path)
    channel = named.at.channel or (1 if plan.waves == 1 else None)
    known = channel is not None and 0 < channel <= len(plan.names)
    return ImageAt(
        well=named.at.well,
        field=named.at.field or (1 if plan.sites == 1 else None),
        channel=channel,
        z=step if step is not None else 1 if plan.steps == 1 else None,
        t=time if time is not None else 1 if plan.times == 1 else None,
        channel_name=(plan.names[(channel or 1) - 1] or None) if known else None,
    )


def _arrived(plan: Plan, planes: list[Plane], listing: Listing, source: str) -> tuple[Fact, list[Problem]]:
    """Return whether all planned images are here; fewer are no proof that some are yet to come."""
    empty = [e.path for e in listing.files if e.size == 0 and is_image(e.name)]
    problems = []
    if empty:
        text = f"{counted(len(empty), 'image is', 'images are')} empty; copy them again"
        problems.append(warning("ZERO_BYTE_FILE", text, empty[0]))
    if not planes:
        text = f"it plans {counted(plan.images, 'image')} and none is here; bring the images"
        return Fact(value=Known.NO, evidence=source), [*problems, warning("NO_IMAGES", text, source)]
    if len(planes) < plan.images:
        here = f"{len(planes):,} {'is' if len(planes) == 1 else 'are'} here"
        why = "more may be coming, or some wavelengths are taken at some time points or steps only"
        text = f"it plans {counted(plan.images, 'image')} and {here}; {why}"
        return Fact(evidence=source), [*problems, warning("COUNT_MISMATCH", text, source)]
    return Fact(value=Known.NO if empty else Known.YES, evidence=source), problems


def _first(listing: Listing, planes: list[Plane]) -> tuple[TiffHead | None, dict[str, str], list[Problem]]:
    """Return what the first image says of itself: its size, and the properties that MetaSeries writes."""
    first = next((plane.path for plane in planes if plane.path.lower().endswith((".tif", ".tiff"))), None)
    if first is None:
        return None, {}, []
    head = read_tiff_head(listing.root, first)
    if isinstance(head, Problem):
        return None, {}, [head]
    if b"<MetaData" not in head.description[:512]:
        return head, {}, []
    root, _problems = parse_xml(head.description, first)
    return head, _properties(root) if root is not None else {}, []


def _properties(root: Element) -> dict[str, str]:
    found: dict[str, str] = {}
    for element in find_all(root, "prop"):
        found.setdefault(element.get("id", ""), element.get("value", ""))
    return found


def _iso(text: str) -> str:
    """Turn `20240709 13:15:50.916` into ISO 8601."""
    return re.sub(r"\A(\d{4})(\d\d)(\d\d) ", r"\1-\2-\3T", text)


def _software(metadata: dict[str, str]) -> str | None:
    found = re.search(r"Software Version: ([^\r\n]{1,80})", metadata.get("Description", ""))
    return found[1].strip() if found else None


def _frame(head: TiffHead | None, metadata: dict[str, str]) -> Frame:
    if head is None:
        return Frame()
    micrometres = metadata.get("spatial-calibration-units", "").lower() in ("um", "µm")
    pixel = positive(metadata.get("spatial-calibration-x")) if micrometres else None
    return Frame(head.width, head.height, head.pixel_type, pixel)


def _channels(plan: Plan) -> dict[int, Channel]:
    return {number: Channel(name=name or None) for number, name in enumerate(plan.names, 1)}


def _files(listing: Listing, planes: list[Plane], told: dict[str, ImageName], plate: str) -> tuple[RunFile, ...]:
    def role(entry: Entry) -> FileRole | None:
        named = told.get(entry.path)
        return FileRole.THUMBNAIL if named is not None and named.thumbnail else None

    return run_files(listing, {plane.path: plane.at for plane in planes}, plate, role)


def _kept(key: str) -> bool:
    return not key.startswith(("wellsselection", "siteselection", "endfile", "htsinfofile"))
