"""Harmony exports of the Operetta and the Opera Phenix (V1 to V7), and those of Columbus: an index and a TIFF a plane.

The index is read as a stream. V7 says what a channel is in `Maps` and no longer at each image; it may list images that
were never taken, after the focus was not found. Time points are counted from 0 there and from 1 in the files' names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from labrelay.model.imaging import Channel, ImageAt, Plate, well_name
from labrelay.model.instrument import Completion, Detection, Fact, InstrumentRun, Known
from labrelay.model.problem import Problem
from labrelay.parsers.image_names import parse_image_name
from labrelay.parsers.images import cut_tiffs, wells_of
from labrelay.parsers.listing import Entry, Listing, read_head
from labrelay.parsers.planes import (
    Frame,
    Plane,
    arrived,
    cut,
    image_sets,
    named_otherwise,
    places_of,
    positive,
    run_files,
    unlisted,
)
from labrelay.parsers.text import error, to_datetime, to_int, warning
from labrelay.parsers.xml_stream import Record, stream_records

NAME = "harmony"
LOOKED_FOR = "Images/Index.xml or Index.idx.xml"
_INDEXES = ("index.idx.xml", "index.xml", "index.ref.xml", "imageindex.columbusidx.xml")
_NEVER = "an index also lists images that were never taken, as when the focus was not found"
_MOST_PLANES = 1_000_000
_FLATFIELD_NAME = re.compile(r'ChannelName: (?:"([^"]{1,200})"|(.{1,200}?)), (?:Foreground|Version|Channel)\b')
_PLATE = {"plate_id": "plateid", "name": "name", "measurement": "measurementid", "type": "platetypename"}


@dataclass
class _Index:
    """What the index says."""

    path: str
    head: dict[str, str] = field(default_factory=dict)
    plate: dict[str, str] = field(default_factory=dict)
    plates: int = 0
    selected: set[str] = field(default_factory=set)
    channels: dict[int, dict[str, str]] = field(default_factory=dict)
    shown: set[int] = field(default_factory=set)
    planes: list[Plane] = field(default_factory=list)
    states: dict[str, int] = field(default_factory=dict)
    unnamed: int = 0
    full: bool = False
    problems: list[Problem] = field(default_factory=list)

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]


def detect(listing: Listing) -> Detection | None:
    """Say whether the folder holds an index of Harmony or Columbus."""
    found = _indexes(listing)
    return Detection(platform=NAME, confidence=0.95, evidence=(found[0].path,)) if found else None


def _indexes(listing: Listing) -> list[Entry]:
    """Return the indexes, the uppermost first; their heads decide, since other programs write an Index.xml, too."""
    named = sorted(listing.named(*_INDEXES), key=lambda e: (e.path.count("/"), _INDEXES.index(e.name.lower()), e.path))
    return [each for each in named[:20] if _head_says(listing, each)]


def _head_says(listing: Listing, entry: Entry) -> bool:
    # Without NULs, so that a head in UTF-16 is understood, too.
    return b"EvaluationInputData" in read_head(listing.root, entry.path, 2048).replace(b"\0", b"")


def read(folder: Path, listing: Listing) -> InstrumentRun:
    """Return the measurement that the index describes; what is wrong stands in its problems.

    Args:
        folder: As the caller named it; its name is kept beside the run's id.
        listing: Of that folder.
    """
    found = _indexes(listing)
    index = _read_index(listing, found[0].path) if found else _Index("Index.xml")
    name = folder.resolve().name
    plate = index.plate.get("plate_id") or index.plate.get("name") or name
    placed = places_of(index.planes)
    copied, gone = arrived(placed, listing, index.path, _NEVER)
    problems = [*listing.problems, *index.problems, *_several(found), *_odd(index), *gone]
    problems += unlisted(placed, listing, index.folder, index.path)
    problems += named_otherwise(name, [plate, index.plate.get("name")], index.path)
    files = run_files(listing, placed, plate)
    problems += cut_tiffs(listing, files)
    channels = {number: _channel(told) for number, told in index.channels.items()}
    images = image_sets(index.planes, _frame(index), channels)
    started = index.plate.get("started")
    return InstrumentRun(
        run_id=index.plate.get("measurement") or plate,
        folder_name=name,
        platform=NAME,
        instrument_model=index.head.get("instrumenttype"),
        software="Columbus" if "columbus" in index.path.lower() else "Harmony",
        started=to_datetime(started) if started else None,
        started_text=started,
        ended=_last(index.planes),
        files=files,
        plate=_plate(index, plate),
        images=images,
        completion=Completion(acquired=_acquired(index), copied=copied),
        problems=tuple(problems),
        raw={index.path: cut(_raw(index))} if found else {},
        personal={f"{index.path}: User": index.head["user"]} if index.head.get("user") else {},
    )


def _read_index(listing: Listing, path: str) -> _Index:
    index = _Index(path)
    records = stream_records(listing.root, path, ("plate", "entry", "image", "well"), index.problems)
    root = next(records, None)
    schema = (root.attributes.get("xmlns") or "").rpartition("/")[2] if root else ""
    if schema:
        index.head["schema"] = schema
    for record in records:
        _take(index, record)
        if index.full:
            text = f"it lists more than {_MOST_PLANES:,} images; the rest is not looked at"
            index.problems.append(error("TOO_MANY_FILES", text, path, record.line))
            break
    return index


def _take(index: _Index, record: Record) -> None:
    if record.name == "image":
        if "url" in record.texts or "row" in record.texts:
            _take_image(index, record)
    elif record.name == "entry":
        number = to_int(record.attributes.get("channelid"))
        if number is not None:
            told = index.channels.setdefault(number, {})
            told.update({name: text for name, text in record.texts.items() if name and name not in told})
    elif record.name == "plate":
        index.plates += 1
        _take_plate(index, record.texts)
    elif record.name == "well":
        well = _well_of_id(record.attributes.get("id", ""))
        if well is not None:
            index.selected.add(well)
    else:
        index.head.setdefault(record.name, record.texts[""])


def _take_plate(index: _Index, texts: dict[str, str]) -> None:
    told = {ours: texts[theirs] for ours, theirs in _PLATE.items() if texts.get(theirs)}
    told |= {name: texts[name] for name in ("platerows", "platecolumns") if name in texts}
    if texts.get("measurementstarttime"):
        told["started"] = texts["measurementstarttime"]
    index.plate = told | index.plate


def _take_image(index: _Index, record: Record) -> None:
    """Add a plane; what its file's name says of time counts, since the index counts from 0."""
    texts = record.texts
    index.states[texts.get("state", "?")] = index.states.get(texts.get("state", "?"), 0) + 1
    url = texts.get("url", "").replace("\\", "/").rpartition("/")[2]
    number = to_int(texts.get("channelid"))
    if number is not None and number not in index.shown:
        index.shown.add(number)
        index.channels[number] = texts | index.channels.get(number, {})
    if not url:
        index.unnamed += 1
        return
    named = parse_image_name(url)
    time = to_int(texts.get("timepointid"))
    row, column = to_int(texts.get("row")), to_int(texts.get("col"))
    at = ImageAt(
        well=well_name(row, column) if row and column and row < 100 else None,
        field=to_int(texts.get("fieldid")),
        channel=number,
        z=to_int(texts.get("planeid")),
        t=named.at.t if named and named.at.t else None if time is None else time + 1,
        channel_name=_channel_name(index.channels.get(number or 0, {})),
    )
    path = f"{index.folder}/{url}" if index.folder else url
    index.planes.append(Plane(path, at, texts.get("abstime"), _micrometres(texts.get("positionz"))))
    index.full = len(index.planes) > _MOST_PLANES


def _micrometres(metres: str | None) -> float | None:
    try:
        return float(metres or "") * 1e6
    except ValueError:
        return None


def _well_of_id(text: str) -> str | None:
    """Return the well of an id such as `0304` (row 3, column 4); Columbus numbers its wells otherwise."""
    if len(text) != 4 or not text.isascii() or not text.isdigit():
        return None
    row, column = int(text[:2]), int(text[2:])
    return well_name(row, column) if row and column else None


def _channel_name(told: dict[str, str]) -> str | None:
    if told.get("channelname"):
        return told["channelname"]
    found = _FLATFIELD_NAME.search(told.get("flatfieldprofile", ""))
    return (found[1] or found[2]) if found else None


def _channel(told: dict[str, str]) -> Channel:
    return Channel(
        name=_channel_name(told),
        excitation_nm=positive(told.get("mainexcitationwavelength")),
        emission_nm=positive(told.get("mainemissionwavelength")),
        exposure_s=positive(told.get("exposuretime")),
    )


def _frame(index: _Index) -> Frame:
    told = next((each for each in index.channels.values() if "imagesizex" in each), {})
    resolution = positive(told.get("imageresolutionx"), 1e6)
    return Frame(
        size_x=to_int(told.get("imagesizex")),
        size_y=to_int(told.get("imagesizey")),
        pixel_type="uint16" if told.get("maxintensity") == "65535" else None,
        pixel_um=round(resolution, 6) if resolution else None,
    )


def _plate(index: _Index, plate: str) -> Plate:
    wells = wells_of(plane.at for plane in index.planes)
    fields = {well: set[int | None]() for well in wells}
    for plane in index.planes:
        if plane.at.well is not None:
            fields[plane.at.well].add(plane.at.field)
    counts = {len(each) for each in fields.values()}
    return Plate(
        id=plate,
        rows=to_int(index.plate.get("platerows")),
        columns=to_int(index.plate.get("platecolumns")),
        wells=wells,
        fields=counts.pop() if len(counts) == 1 else None,
    )


def _acquired(index: _Index) -> Fact:
    """Harmony writes the index when the measurement or the export ends, so a whole index says that it has."""
    whole = bool(index.planes) and not index.problems
    return Fact(value=Known.YES, evidence=index.path) if whole else Fact()


def _last(planes: list[Plane]) -> datetime | None:
    return to_datetime(max((plane.acquired for plane in planes if plane.acquired), default=""))


def _several(found: list[Entry]) -> list[Problem]:
    folders = {entry.folder for entry in found}
    if len(folders) < 2:
        return []
    text = f"the folder holds {len(folders)} measurements; give the folder of one of them"
    return [error("SEVERAL_RUNS", text, found[1].path)]


def _odd(index: _Index) -> Iterator[Problem]:
    """Yield what the index itself says is not as it should be."""
    bad = {state: count for state, count in index.states.items() if state.lower() not in ("ok", "?")}
    if bad:
        told = ", ".join(f"{count:,} {state[:40]}" for state, count in sorted(bad.items())[:5])
        yield warning("IMAGE_STATE", f"not all images are Ok: {told}; look at those wells", index.path)
    if index.unnamed:
        yield warning("NOT_RECORDED", f"{index.unnamed:,} images have no file; they were not recorded", index.path)
    without = index.selected - {plane.at.well for plane in index.planes}
    if without and index.planes:
        wells = ", ".join(sorted(without)[:5])
        yield warning("WELL_WITHOUT_IMAGES", f"{len(without)} selected wells have no image: {wells}", index.path)
    if index.plates > 1:
        yield warning("SEVERAL_PLATES", f"it describes {index.plates} plates; the first is told", index.path)


def _raw(index: _Index) -> dict[str, str]:
    told = {"schema": index.head.get("schema", ""), "plate type": index.plate.get("type", "")}
    for number, channel in sorted(index.channels.items()):
        for name in ("objectivemagnification", "objectivena", "acquisitiontype", "channeltype", "flatfieldprofile"):
            if channel.get(name):
                told[f"channel {number} {name}"] = channel[name]
    return told
