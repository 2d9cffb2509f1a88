"""What the XML of a Zeiss CZI says: channels, pixel, times, microscope, software, and the scenes with their wells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from labrelay.model.imaging import Channel, ImageAt, ImageSet, well_name
from labrelay.parsers.czi_file import Block
from labrelay.parsers.planes import positive
from labrelay.parsers.text import to_float, to_int

# Their insides are a hundred times the rest, and say how the microscope was set and not what was taken.
HOLLOW = frozenset({"Experiment", "HardwareSetting", "DisplaySetting", "CustomAttributes", "Layers", "Appliances"})
MOST_SCENES = 10_000  # of a file
# Of "ZISRAW (CZI) File Format": pixel type by its number and by its name in the XML, in the words of OME.
PIXELS = {
    0: "uint8",
    1: "uint16",
    2: "float",
    3: "uint8",
    4: "uint16",
    8: "float",
    9: "uint8",
    12: "int32",
    13: "double",
}
COLOURS = frozenset({3, 4, 8, 9})  # blue, green and red in each pixel, and opacity in the last
_NAMES = {
    "gray8": "uint8", "gray16": "uint16", "gray32": "int32", "gray32float": "float", "bgr24": "uint8",
    "bgr48": "uint16", "bgr96float": "float", "bgra32": "uint8", "gray64float": "double",
}  # fmt: skip
_NO_TIME = "0001-"  # what .NET writes where nobody set a time


@dataclass(frozen=True)
class Scene:
    """A place on the carrier: its index, the name that the microscopist gave it, and its well."""

    index: int
    name: str | None
    well: str | None


def image_sets(root: Element | None, blocks: Iterable[Block], name: str, path: str) -> tuple[ImageSet, ...]:
    """Return one image a scene, of the first `MOST_SCENES`.

    The sizes are those of the blocks that are there: the XML counts the field that encloses all scenes, with
    everything between them.

    Args:
        root: Of the XML; None where it cannot be read.
        blocks: Of the directory.
        name: Of the file, without its ending.
        path: Of the file.
    """
    by_scene: dict[int, list[Block]] = {}
    for block in blocks:
        by_scene.setdefault(block.scene, []).append(block)
    image = root.find("./Metadata/Information/Image") if root is not None else None
    scenes = {scene.index: scene for scene in _scenes(image)}
    channels, pixel, step = _channels(image), *_scaling(root)
    acquired = _acquired(root, image)
    found = []
    for index, mine in sorted(by_scene.items())[:MOST_SCENES]:
        scene = scenes.get(index, Scene(index, None, None))
        several = len(by_scene) > 1
        label = scene.name or (f"scene {index + 1}" if several else None)
        full = [block for block in mine if block.scale == 1] or mine
        colour = full[0].pixel in COLOURS
        size_c = 3 if colour else _count(full, "c")
        found.append(
            ImageSet(
                name=f"{name} {label}" if several and label else name,
                path=path,
                size_x=_extent(full, "x", "width"),
                size_y=_extent(full, "y", "height"),
                size_z=_count(full, "z"),
                size_c=size_c,
                size_t=_count(full, "t"),
                pixel_type=PIXELS.get(full[0].pixel) or _text_type(image),
                pixel_um=pixel,
                step_um=step,
                channels=channels[: 1 if colour else size_c],
                acquired=acquired,
                at=ImageAt(well=scene.well) if scene.well else None,
            )
        )
    return tuple(found)


def _extent(blocks: list[Block], start: str, size: str) -> int:
    low = min(getattr(block, start) for block in blocks)
    return int(max(getattr(block, start) + getattr(block, size) for block in blocks) - low)


def _count(blocks: list[Block], axis: str) -> int:
    return len({getattr(block, axis) for block in blocks})


def _text_type(image: Element | None) -> str | None:
    return _NAMES.get((_text(image, "PixelType") or "").lower())


def _text(element: Element | None, path: str) -> str | None:
    found = element.findtext(path) if element is not None else None
    return found.strip()[:500] or None if found else None


def _channels(image: Element | None) -> tuple[Channel, ...]:
    if image is None:
        return ()
    return tuple(_channel(each) for each in image.findall("./Dimensions/Channels/Channel")[:200])


def _channel(element: Element) -> Channel:
    exposure = positive(_text(element, "ExposureTime"), 1e-9)  # nanoseconds
    return Channel(
        name=(element.get("Name") or _text(element, "Fluor") or "")[:100] or None,
        excitation_nm=_rounded(positive(_text(element, "ExcitationWavelength"))),
        emission_nm=_rounded(positive(_text(element, "EmissionWavelength"))),
        exposure_s=_rounded(exposure, 9),
    )


def _rounded(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(value, digits)


def _scaling(root: Element | None) -> tuple[float | None, float | None]:
    """Return pixel and step in micrometres; `Distance` is in metres, `Pixel` says that there is no scale."""
    told = {}
    for each in root.findall("./Metadata/Scaling/Items/Distance") if root is not None else ():
        told[each.get("Id")] = _rounded(positive(_text(each, "Value"), 1e6), 6) or None
    return told.get("X"), told.get("Z")


def _acquired(root: Element | None, image: Element | None) -> str | None:
    """Return when the first image was taken; a document that only says when it was made was made then."""
    made = _text(root, "./Metadata/Information/Document/CreationDate")
    told = (_text(image, "AcquisitionDateAndTime"), _text(image, "./Dimensions/T/StartTime"), made)
    return next((time for time in told if time and not time.startswith(_NO_TIME)), None)


def _scenes(image: Element | None) -> Iterator[Scene]:
    for each in image.findall("./Dimensions/S/Scenes/Scene")[:10_000] if image is not None else ():
        index = to_int(each.get("Index"))
        if index is not None:
            yield Scene(index, (each.get("Name") or "")[:100] or None, _well(each.find("Shape")))


def _well(shape: Element | None) -> str | None:
    """Return the well of a carrier's shape: `D6` with row 4 and column 6 in its id is `D06`."""
    row, _dash, column = (shape.get("Id") or "").partition("-") if shape is not None else ("", "", "")
    numbers = (to_int(row), to_int(column))
    if not (numbers[0] and numbers[1] and numbers[0] <= 64 and numbers[1] <= 96):
        return None
    return well_name(numbers[0], numbers[1])


def instrument(root: Element | None) -> tuple[str | None, str | None]:
    """Return the microscope and the software with its version."""
    scope = root.find("./Metadata/Information/Instrument/Microscopes/Microscope") if root is not None else None
    model = (scope.get("Name") if scope is not None else None) or _text(scope, "System")
    program = [_text(root, f"./Metadata/Information/Application/{part}") for part in ("Name", "Version")]
    return (model[:100] if model else None), " ".join(part for part in program if part)[:100] or None


def other_facts(root: Element | None) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return what nothing models, and the names of people and machines."""
    inside = "./Metadata/Information"
    objective = root.find(f"{inside}/Instrument/Objectives/Objective") if root is not None else None
    magnification = to_float(_text(objective, "NominalMagnification"))
    raw = {
        "objective": (objective.get("Name") if objective is not None else None) or "",
        "magnification": f"{magnification:g}×" if magnification else "",
        "aperture": _text(objective, "LensNA") or "",
        "compression": _text(root, f"{inside}/Image/OriginalCompressionMethod") or "",
    }
    people = {
        "UserName": _text(root, f"{inside}/Document/UserName") or "",
        "User": _text(root, f"{inside}/User/DisplayName") or "",
        "microscope": _text(root, f"{inside}/Instrument/Microscopes/Microscope/UserDefinedName") or "",
        # Whatever somebody typed, or the file's path on their computer.
        "Title": _text(root, f"{inside}/Document/Title") or "",
        "Comment": _text(root, f"{inside}/Document/Comment") or "",
        "Description": _text(root, f"{inside}/Document/Description") or "",
    }
    return {k: v for k, v in raw.items() if v}, {k: v for k, v in people.items() if v}
