"""What EPU writes as XML: the session (`EpuSession.dm`) and the description beside each image.

`EpuSession.dm` is an object of .NET as its DataContractSerializer writes it: an element with `z:Ref="5"` and no text
stands for the one with `z:Id="5"`. Many elements are called `Name`, and the presets of the microscope carry dates of
the day when they were made, so each fact is taken from its own place and not by its name anywhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from xml.etree.ElementTree import Element

from labrelay.model.problem import Problem
from labrelay.parsers.text import error, to_datetime, warning
from labrelay.parsers.xml import attribute, find_all, find_text, local_name, parse_xml

_SAMPLE = re.compile(r"[\\/](Sample\d+)[\\/]", re.IGNORECASE)
_STALE_DAYS = 30
# What a session is asked to do, for who reads the run later.
_OPTIONS = (
    "AutoloaderSlot",
    "ClusteringMode",
    "DoseFractionsOutputFormat",
    "ImageFileFormat",
    "GridGeometry",
    "GridType",
    "TiltAngle",
)


@dataclass(frozen=True)
class EpuSession:
    """The session's own facts; `presets` are dates of microscope settings, `squares` names of files in `Metadata`."""

    name: str | None
    started: datetime | None
    started_text: str | None
    ended: datetime | None
    grid: str | None
    version: str | None
    squares: tuple[str, ...]
    options: dict[str, str]
    personal: dict[str, str]
    presets: tuple[datetime, ...]


@dataclass(frozen=True)
class EpuImage:
    """The description of one image: metres, volts, seconds; what is not there is None."""

    acquired: datetime | None
    acquired_text: str | None
    model: str | None
    serial: str | None
    software: str | None
    computer: str | None
    volts: float | None
    magnification: float | None
    pixel_m: float | None
    width: int | None
    height: int | None
    exposure_s: float | None
    detector: str | None


class _Tree:
    """An object of .NET in which references are followed."""

    def __init__(self, root: Element) -> None:
        self.root = root
        self.by_id: dict[str, Element] = {}
        for element in root.iter():
            known = attribute(element, "Id")
            if known:
                self.by_id.setdefault(known, element)

    def child(self, element: Element | None, *names: str) -> Element | None:
        """Return the element at a path of names; each reference is followed once, so that none leads in a circle."""
        for name in names:
            if element is None:
                return None
            element = next((each for each in element if local_name(each.tag) == name.lower()), None)
            reference = attribute(element, "Ref") if element is not None else None
            if reference is not None:
                element = self.by_id.get(reference)
        return element

    def text(self, element: Element | None, *names: str) -> str | None:
        found = self.child(element, *names)
        text = (found.text or "").strip() if found is not None else ""
        return text or None


def parse_session(data: bytes, path: str) -> tuple[EpuSession | None, tuple[Problem, ...]]:
    """Return what EpuSession.dm says, or None with the error that makes it unusable."""
    root, problems = parse_xml(data, path)
    if root is None:
        return None, problems
    if local_name(root.tag) != "epusessionxml":
        text = "its root element is not EpuSessionXml, so it is no session of EPU"
        return None, (*problems, error("NO_SESSION", text, path))
    tree = _Tree(root)
    # A session has one sample; the list around it is written with empty places.
    grids = [each for each in find_all(root, "SampleXml") if attribute(each, "nil") != "true"]
    grid = grids[0] if grids else None
    started_text = tree.text(root, "StartDateTime") or tree.text(grid, "StartDateTime")
    ended = tree.text(grid, "EndDateTime")
    atlas = tree.text(grid, "AtlasId") or ""
    sample = _SAMPLE.search(atlas)
    started = to_datetime(started_text) if started_text else None
    presets = [_when(each) for each in find_all(root, "acquisitionDateTime")]
    session = EpuSession(
        name=tree.text(root, "Name"),
        started=started,
        started_text=started_text,
        ended=to_datetime(ended) if ended else None,
        grid=sample[1] if sample else None,
        version=_version(root),
        squares=_squares(root),
        options={name: told for name in _OPTIONS if (told := tree.text(root, name) or tree.text(grid, name))},
        personal=_personal(tree, root, atlas),
        presets=tuple(each for each in presets if each is not None),
    )
    return session, (*problems, *_stale(session, path))


def _when(element: Element) -> datetime | None:
    return to_datetime(element.text) if element.text else None


def _squares(root: Element) -> tuple[str, ...]:
    """Return the names of the files that describe grid squares, which stand behind a Windows path."""
    paths = ((each.text or "").strip() for each in find_all(root, "FileName"))
    names = (path.replace("\\", "/").rpartition("/")[2] for path in paths)
    return tuple(dict.fromkeys(name for name in names if name.startswith("GridSquare_")))


def _version(root: Element) -> str | None:
    """Return EPU's version, which only the name of the assembly that wrote the object tells."""
    match = re.search(r"Version=([\d.]+)", attribute(root, "Assembly") or "")
    return match[1] if match else None


def _personal(tree: _Tree, root: Element, atlas: str) -> dict[str, str]:
    paths = [tree.text(each, "Path") for each in find_all(root, "StorageFolderXml")]
    told = {f"storage folder {place}": folder for place, folder in enumerate(filter(None, paths), 1)}
    mail = tree.text(root, "RecipientsEmailList")
    found = {"atlas": atlas, "e-mail": mail or "", "microscope": tree.text(root, "MicroscopeName") or "", **told}
    return {key: value[:500] for key, value in found.items() if value}


def _stale(session: EpuSession, path: str) -> list[Problem]:
    """Return the warning that presets are much older than the session; a tool that takes the first date errs."""
    if session.started is None or not session.presets:
        return []
    old = [each for each in session.presets if _days(session.started, each) > _STALE_DAYS]
    if not old:
        return []
    text = (
        f"its microscope presets are dated {old[0].date().isoformat()} and the session began on "
        f"{session.started.date().isoformat()}; only the dates of the session and of its images are used"
    )
    return [warning("PRESET_DATE", text, path)]


def _days(one: datetime, other: datetime) -> float:
    return abs((one.replace(tzinfo=None) - other.replace(tzinfo=None)).total_seconds()) / 86_400


def parse_image(data: bytes, path: str) -> tuple[EpuImage | None, tuple[Problem, ...]]:
    """Return what the XML beside an image says, or None with what is wrong; that refuses no session."""
    root, problems = parse_xml(data, path)
    found = tuple(warning(each.code, each.message, each.path, each.line) for each in problems)
    if root is None:
        return None, found
    if local_name(root.tag) != "microscopeimage":
        text = "its root element is not MicroscopeImage, so it describes no image of EPU"
        return None, (*found, warning("NO_IMAGE", text, path))
    told = find_text(root, "acquisitionDateTime")
    scale = next(find_all(root, "pixelSize"), None)
    area = next(find_all(root, "ReadoutArea"), None)
    software = [find_text(root, name) for name in ("ApplicationSoftware", "ApplicationSoftwareVersion")]
    return EpuImage(
        acquired=to_datetime(told) if told else None,
        acquired_text=told,
        model=find_text(root, "InstrumentModel"),
        serial=find_text(root, "InstrumentID"),
        software=" ".join(part for part in software if part) or None,
        computer=find_text(root, "ComputerName"),
        volts=_number(find_text(root, "AccelerationVoltage")),
        magnification=_number(find_text(root, "NominalMagnification")),
        pixel_m=_number(find_text(scale, "numericValue")) if scale is not None else None,
        width=_whole(find_text(area, "width")) if area is not None else None,
        height=_whole(find_text(area, "height")) if area is not None else None,
        exposure_s=_number(find_text(root, "ExposureTime")),
        detector=_custom(root, "DetectorCommercialName"),
    ), found


def _custom(root: Element, key: str) -> str | None:
    """Return the value of one of the pairs in CustomData."""
    for pair in find_all(root, "KeyValueOfstringanyType"):
        if find_text(pair, "Key") == key:
            return find_text(pair, "Value")
    return None


def _number(text: str | None) -> float | None:
    """Return a number above 0; EPU writes 0 for what it has not measured."""
    try:
        value = float(text) if text else 0.0
    except ValueError:
        return None
    return value if 0 < value < 1e12 else None


def _whole(text: str | None) -> int | None:
    value = _number(text)
    return int(value) if value is not None else None
