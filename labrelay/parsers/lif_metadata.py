"""What the XML of a Leica LIF says: its images with their axes, channels, times and microscope.

Axes and channels come with the distance of their neighbours in bytes, so that a plane can be found in its block of
memory without any library.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from xml.etree.ElementTree import Element

from labrelay.model.imaging import Channel, ImageSet
from labrelay.parsers.text import to_float, to_int

# Their insides say how the microscope was set, for every laser and wheel; one of them holds a container of its own.
HOLLOW = frozenset({
    "ATLConfocalSettingDefinition", "ATLCameraSettingDefinition", "ScannerSetting", "FilterSetting", "ROI",
    "ImageXMLDocument", "RootNode", "LDM_Block_Sequential", "LDM_Block_Widefield_Sequential", "BleachPoints",
    "TileScanInfo", "DiagInfo",
})  # fmt: skip
MOST_IMAGES = 2_000
_SETTINGS = ("ATLConfocalSettingDefinition", "ATLCameraSettingDefinition")
_SIZES = {1: "size_x", 2: "size_y", 3: "size_z", 4: "size_t"}
_OTHER = {5: "wavelengths", 6: "rotations", 9: "excitation wavelengths", 10: "tiles"}
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)  # of Windows' FILETIME
_MICRO = {"m": 1e6, "µm": 1.0, "mm": 1e3, "": 1e6}


@dataclass(frozen=True)
class Axis:
    """One axis: its number in the format, how many places it has, and the bytes from one to the next."""

    id: int
    count: int
    stride: int
    length: float | None = None
    unit: str = ""


@dataclass(frozen=True)
class LifImage:
    """One image.

    Attributes:
        name: With the names of the folders that it lies in, as LAS shows them.
        block: The name of its block of memory.
        size: Bytes that it should have there.
        axes: In the order in which their places follow in memory.
        channels: Bytes from the beginning to each.
        tags: What each channel is: 1, 2 and 3 are red, green and blue, 0 is grey.
        bits: Of a value, as stored (8, 16, 32, 64).
        floating: Whether values are floating numbers.
        labels: What each channel is called by its colour table.
        acquired: ISO 8601 in UTC.
        facts: Of its hardware settings.
    """

    name: str
    block: str
    size: int
    axes: tuple[Axis, ...]
    channels: tuple[int, ...]
    tags: tuple[int, ...]
    bits: int
    floating: bool
    labels: tuple[str, ...]
    acquired: str | None
    facts: Mapping[str, str]

    @property
    def colour(self) -> bool:
        """Whether the channels are red, green and blue of each pixel, which then lie side by side."""
        return sorted(self.tags) == [1, 2, 3] and max(self.channels) < self.axes[0].stride

    @property
    def frame(self) -> tuple[Axis, Axis] | None:
        """The axes of rows and of columns: the second and the first, which are not always y and x."""
        return (self.axes[1], self.axes[0]) if len(self.axes) >= 2 else None

    @property
    def frame_axes(self) -> str:
        """The axes of a plane by their letters: `xy`, or `xz` of a scan along the optical axis."""
        return "".join("?xyzt"[axis.id] if axis.id <= 4 else "?" for axis in self.axes[:2])


def lif_images(root: Element) -> Iterator[LifImage]:
    """Yield the images of a container, in its order; elements that hold none are folders."""
    found = 0
    # The outermost elements are the file itself, and their name is not in those of the images.
    stack = [(each, "", True) for each in reversed(root.findall("./Element"))]
    while stack and found < MOST_IMAGES:
        element, above, outermost = stack.pop()
        name = (element.get("Name") or "")[:200]
        image = _image(element, f"{above}{name}")
        if image is not None:
            found += 1
            yield image
        inner = "" if outermost else f"{above}{name}/"
        stack += [(each, inner, False) for each in reversed(element.findall("./Children/Element"))]


def _image(element: Element, name: str) -> LifImage | None:
    image, memory = element.find("./Data/Image"), element.find("./Memory")
    described = image.find("./ImageDescription") if image is not None else None
    if image is None or described is None or memory is None:
        return None
    axes = tuple(_axes(described))
    channels = described.findall("./Channels/ChannelDescription")[:1000]
    if len(axes) < 1 or not channels:
        return None
    bits = to_int(channels[0].get("Resolution")) or 8
    return LifImage(
        name=name,
        block=(memory.get("MemoryBlockID") or "")[:200],
        size=to_int(memory.get("Size")) or 0,
        axes=axes,
        channels=tuple(to_int(each.get("BytesInc")) or 0 for each in channels),
        tags=tuple(to_int(each.get("ChannelTag")) or 0 for each in channels),
        bits=next((size for size in (8, 16, 32, 64) if bits <= size), 64),
        floating=channels[0].get("DataType") == "1",
        labels=tuple((each.get("LUTName") or "")[:100] for each in channels),
        acquired=_acquired(image),
        facts=_facts(image),
    )


def _axes(described: Element) -> Iterator[Axis]:
    for each in described.findall("./Dimensions/DimensionDescription")[:12]:
        number, count = to_int(each.get("DimID")), to_int(each.get("NumberOfElements"))
        if number and count:
            stride = to_int(each.get("BytesInc")) or 0
            yield Axis(number, count, stride, to_float(each.get("Length")), (each.get("Unit") or "")[:10])


def _acquired(image: Element) -> str | None:
    """Return when the first plane was taken: the list of LAS X, or the elements of LAS AF."""
    listed = image.find("./TimeStampList")
    if listed is not None and listed.text:
        return _filetime(listed.text.split(maxsplit=1)[0])
    first = listed.find("./TimeStamp") if listed is not None else None
    if first is None:
        return None
    high, low = to_int(first.get("HighInteger")), to_int(first.get("LowInteger"))
    return _filetime(f"{(high << 32) + low:x}") if high is not None and low is not None else None


def _filetime(text: str) -> str | None:
    try:
        found = _EPOCH + timedelta(microseconds=int(text[:16], 16) // 10)
    except (ValueError, OverflowError):
        return None
    return found.isoformat() if found.year > 1980 else None


def _facts(image: Element) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in image.findall("./Attachment")[:100]:
        if each.get("Name") != "HardwareSetting":
            continue
        settings = next((inner for inner in each if inner.tag in _SETTINGS), each)
        told = {
            "software": each.get("Software"),
            "system": each.get("SystemTypeName"),
            "source": each.get("DataSourceTypeName"),
            "microscope": settings.get("MicroscopeModel"),
            "serial": settings.get("SystemSerialNumber"),
            "objective": settings.get("ObjectiveName"),
        }
        found = {key: " ".join(value.split())[:200] for key, value in told.items() if value and value.strip()} | found
    return found


def image_set(image: LifImage, stem: str, path: str) -> ImageSet:
    """Return an image in the words of all formats; an axis that OME does not have is in the facts and not here.

    Args:
        image: As `lif_images` gives it.
        stem: Of the file's name.
        path: Of the file.
    """
    sizes = dict.fromkeys(_SIZES.values(), 1) | {_SIZES[a.id]: a.count for a in image.axes if a.id in _SIZES}
    across = {axis.id: axis for axis in image.axes}
    kind = {32: "float", 64: "double"}.get(image.bits) if image.floating else f"uint{image.bits}"
    named = [label if label.lower() not in ("", "gray", "grey") else None for label in image.labels]
    return ImageSet(
        name=f"{stem} {image.name}",
        path=path,
        **sizes,
        size_c=len(image.channels),
        pixel_type=kind,
        pixel_um=_spacing(across.get(1)),
        step_um=_spacing(across.get(3)),
        channels=(Channel(name="colour"),) if image.colour else tuple(Channel(name=name) for name in named),
        acquired=image.acquired,
    )


def _spacing(axis: Axis | None) -> float | None:
    """Return the distance of two places in micrometres; the length is that from the first place to the last."""
    factor = _MICRO.get(axis.unit) if axis is not None else None
    if axis is None or factor is None or axis.length is None or axis.count < 2:
        return None
    return round(abs(axis.length) * factor / (axis.count - 1), 6) or None


def other_axes(image: LifImage) -> str:
    """Return the axes that OME does not have, in words."""
    others = (axis for axis in image.axes if axis.id not in _SIZES)
    return ", ".join(f"{axis.count} {_OTHER.get(axis.id, f'places of axis {axis.id}')}" for axis in others)
