"""OME-XML, of any schema year, as a stream: images, channels, plates, and the files that hold the pixels.

After the OME data model (openmicroscopy.org/Schemas/OME). Names count without their name space, because it holds the
year. Rows and columns of wells are from 0 there and from 1 here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from labrelay.model.imaging import Channel, ImageAt, ImageSet, Plate, well_name
from labrelay.model.instrument import InstrumentRun
from labrelay.model.problem import Problem
from labrelay.parsers.images import wells_of
from labrelay.parsers.listing import MAX_FILES
from labrelay.parsers.planes import positive
from labrelay.parsers.text import to_datetime, to_int, warning
from labrelay.parsers.xml_stream import Record, read_records

MOST_IMAGES = 50_000
MOST_WELLS, MOST_CHANNELS = 10_000, 500_000  # of all plates and all images together
NAMES = (
    "image", "pixels", "acquiredpixels", "channel", "logicalchannel", "tiffdata", "uuid", "plate", "well", "wellsample",
    "imageref", "experimenter", "microscope", "binaryonly", "plateacquisition",
)  # fmt: skip
_MICROMETRES = {
    "": 1.0, "um": 1.0, "µm": 1.0, "μm": 1.0, "nm": 1e-3, "pm": 1e-6, "mm": 1e3, "cm": 1e4, "m": 1e6,
    "å": 1e-4, "Å": 1e-4,
}  # fmt: skip
_PERSON = ("username", "firstname", "lastname", "email")


@dataclass(frozen=True, slots=True)
class Held:
    """A file that holds planes of an image; channel, z and t are from 1 where it holds only one of each."""

    name: str
    channel: int | None
    z: int | None
    t: int | None


@dataclass
class OmeImage:
    """An image with the files that are named for it; none is named when its own file holds it.

    `order` is that of the planes in a file, such as `XYCZT`: channels change first.
    """

    id: str
    image: ImageSet
    held: tuple[Held, ...] = ()
    order: str = ""


@dataclass
class OmePlate:
    """A plate, and which image was taken where on it."""

    plate: Plate
    images: dict[str, ImageAt] = field(default_factory=dict)


@dataclass
class OmeDocument:
    """What one OME-XML says.

    Attributes:
        known: Whether it is OME-XML at all.
        metadata_file: The companion that a `BinaryOnly` document points at.
        plates: In order.
        people: Names of persons, by field.
    """

    known: bool = False
    schema: str = ""
    creator: str | None = None
    metadata_file: str | None = None
    microscope: str | None = None
    serial: str | None = None
    images: list[OmeImage] = field(default_factory=list)
    plates: list[OmePlate] = field(default_factory=list)
    people: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


@dataclass
class _State:
    """What has been read and not yet belongs to anything: children end before their parents.

    Counted in all are the files that are named, the channels that are described, wells, and places in these.
    """

    document: OmeDocument
    path: str
    pixels: Record | None = None
    channels: list[Record] = field(default_factory=list)
    held: dict[str, list[int | None]] = field(default_factory=dict)
    named: int = 0
    described: int = 0
    placed: int = 0
    taken: int = 0
    uuid: str = ""
    reference: str | None = None
    samples: list[str | None] = field(default_factory=list)
    wells: list[tuple[str, list[str | None]]] = field(default_factory=list)


def with_document(run: InstrumentRun, document: OmeDocument) -> InstrumentRun:
    """Return a run of images with what OME-XML says of its microscope; an image's earliest time is its start."""
    acquired = min((image.acquired for image in run.images if image.acquired), default=None)
    told = {
        "instrument_model": document.microscope,
        "instrument_serial": document.serial,
        "software": document.creator,
        "started": to_datetime(acquired) if acquired else None,
        "started_text": acquired,
    }
    return run.model_copy(update=told)


def read_ome_xml(source: BinaryIO, path: str) -> OmeDocument:
    """Return what an OME-XML says; what is wrong with it stands in its problems, as warnings.

    Args:
        source: At its beginning.
        path: For messages.
    """
    document = OmeDocument()
    state = _State(document, path)
    found: list[Problem] = []
    for record in read_records(source, path, NAMES, found):
        handler = _HANDLERS.get(record.name)
        if record.inside == "" and not document.known:
            document.known = record.name == "ome"
            _root(document, record)
        elif handler is not None:
            handler(state, record)
        many = _too_many(state)
        if many:
            text = f"it describes more than {many}; the rest is not looked at"
            document.problems.append(warning("TOO_MANY_IMAGES", text, path, record.line))
            break
    # A microscope's pixels are worth storing, however its description is spoilt.
    document.problems += [warning(each.code, each.message, each.path, each.line) for each in found]
    return document


def _too_many(state: _State) -> str:
    if len(state.document.images) >= MOST_IMAGES:
        return f"{MOST_IMAGES:,} images"
    bounds = (
        (state.named, MAX_FILES, "files"),
        (state.described, MOST_CHANNELS, "channels"),
        (state.placed, MOST_WELLS, "wells"),
        (state.taken, MAX_FILES, "places in wells"),
    )
    return next((f"{most:,} {noun}" for count, most, noun in bounds if count > most), "")


def _root(document: OmeDocument, record: Record) -> None:
    names = [value for key, value in record.attributes.items() if key in ("xmlns", "ome") and "Schemas" in value]
    document.schema = names[0].rpartition("/")[2] if names else ""
    document.creator = record.attributes.get("creator") or None


def _binary_only(state: _State, record: Record) -> None:
    state.document.metadata_file = record.attributes.get("metadatafile") or None


def _person(state: _State, record: Record) -> None:
    for name in _PERSON:
        value = record.attributes.get(name) or record.texts.get(name)
        if value:
            state.document.people.setdefault(f"Experimenter {name}", value[:200])


def _microscope(state: _State, record: Record) -> None:
    told = [record.attributes.get(name) or "" for name in ("manufacturer", "model")]
    model = " ".join(part for part in told if part)
    state.document.microscope = state.document.microscope or model or None
    state.document.serial = state.document.serial or record.attributes.get("serialnumber") or None


def _pixels(state: _State, record: Record) -> None:
    state.pixels = state.pixels or record


def _channel(state: _State, record: Record) -> None:
    if len(state.channels) < 1000:
        state.channels.append(record)
        state.described += 1


def _uuid(state: _State, record: Record) -> None:
    state.uuid = record.attributes.get("filename") or ""


def _tiff_data(state: _State, record: Record) -> None:
    """Note the file that holds planes, with the channel, z and t that all of its planes share."""
    name = state.uuid or record.attributes.get("filename") or ""
    state.uuid = ""
    if not name:
        return
    # Without a count the file holds all that follow.
    alone = record.attributes.get("planecount") == "1"
    first = [to_int(record.attributes.get(f"first{axis}", "0")) if alone else None for axis in "czt"]
    told = state.held.get(name)
    if told is None:
        state.held[name] = first
        state.named += 1
    else:
        state.held[name] = [one if one == other else None for one, other in zip(told, first, strict=True)]


def _image(state: _State, record: Record) -> None:
    told, pixels = record.attributes, state.pixels.attributes if state.pixels else {}
    acquired = record.texts.get("acquisitiondate") or record.texts.get("acquireddate")
    sizes = {
        name: to_int(pixels.get(name.replace("_", ""))) for name in ("size_x", "size_y", "size_z", "size_c", "size_t")
    }
    image = ImageSet(
        name=told.get("name") or told.get("id") or "image",
        path=state.path,
        **sizes,
        pixel_type=pixels.get("type") or pixels.get("pixeltype"),
        pixel_um=_micrometres(pixels, "x"),
        step_um=_micrometres(pixels, "z"),
        channels=tuple(_channel_of(each) for each in state.channels),
        acquired=acquired or record.texts.get("creationdate"),
    )
    state.document.images.append(
        OmeImage(told.get("id", ""), image, _held(state.held), pixels.get("dimensionorder", ""))
    )
    state.document.problems += _odd(state, record, sizes["size_c"])
    state.pixels = None
    state.channels, state.held = [], {}


def _micrometres(pixels: dict[str, str], axis: str) -> float | None:
    factor = _MICROMETRES.get(pixels.get(f"physicalsize{axis}unit", ""))
    return None if factor is None else positive(pixels.get(f"physicalsize{axis}"), factor)


def _channel_of(record: Record) -> Channel:
    told = record.attributes
    return Channel(
        name=told.get("name") or None,
        excitation_nm=positive(told.get("excitationwavelength") or told.get("exwave")),
        emission_nm=positive(told.get("emissionwavelength") or told.get("emwave")),
    )


def _held(files: dict[str, list[int | None]]) -> tuple[Held, ...]:
    """Return the files that hold planes, each once; places are from 0 there and from 1 here."""
    return tuple(Held(name, *(None if at is None else at + 1 for at in told)) for name, told in files.items())


def _odd(state: _State, record: Record, size_c: int | None) -> list[Problem]:
    """Return what readers that follow the schema would stumble over."""
    problems = []
    for channel in state.channels:
        given = channel.attributes.get("id", "Channel:0")
        if not re.fullmatch(r"(?:urn:lsid:.+)|(?:Channel:\S+)", given):
            text = f"the id {given[:60]!r} is none that OME allows for a channel; programs may refuse the file"
            problems.append(warning("OME_XML_INVALID", text, state.path, channel.line))
    samples = sum(to_int(channel.attributes.get("samplesperpixel")) or 1 for channel in state.channels)
    if size_c is not None and state.channels and size_c not in (samples, len(state.channels)):
        text = f"an image has {size_c} channels and describes {len(state.channels)} of them"
        problems.append(warning("OME_XML_INVALID", f"{text}; look at the export", state.path, record.line))
    return problems


def _image_ref(state: _State, record: Record) -> None:
    if record.inside == "wellsample":
        state.reference = record.attributes.get("id")


def _well_sample(state: _State, _record: Record) -> None:
    state.samples.append(state.reference)
    state.taken += 1
    state.reference = None


def _well(state: _State, record: Record) -> None:
    row, column = to_int(record.attributes.get("row")), to_int(record.attributes.get("column"))
    if row is not None and column is not None and row < 100:
        state.wells.append((well_name(row + 1, column + 1), state.samples))
        state.placed += 1
    state.samples = []


def _plate(state: _State, record: Record) -> None:
    told = record.attributes
    placed = {
        image: ImageAt(well=well, field=number)
        for well, samples in state.wells
        for number, image in enumerate(samples, 1)
        if image is not None
    }
    counts = {len(samples) for _well_name, samples in state.wells}
    plate = Plate(
        id=told.get("externalidentifier") or told.get("name") or told.get("id"),
        rows=to_int(told.get("rows")),
        columns=to_int(told.get("columns")),
        wells=wells_of(ImageAt(well=well) for well, samples in state.wells if samples),
        fields=counts.pop() if len(counts) == 1 else None,
    )
    state.document.plates.append(OmePlate(plate, placed))
    state.wells = []


_HANDLERS: dict[str, Callable[[_State, Record], None]] = {
    "binaryonly": _binary_only,
    "experimenter": _person,
    "microscope": _microscope,
    "pixels": _pixels,
    "acquiredpixels": _pixels,
    "channel": _channel,
    "logicalchannel": _channel,
    "uuid": _uuid,
    "tiffdata": _tiff_data,
    "image": _image,
    "imageref": _image_ref,
    "wellsample": _well_sample,
    "well": _well,
    "plate": _plate,
}
