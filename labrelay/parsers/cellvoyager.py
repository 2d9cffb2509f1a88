"""Yokogawa CellVoyager CV7000 and CV8000: MeasurementDetail.mrf, MeasurementData.mlf and a TIFF a plane.

The .mlf has one record an image and passes 100 MB for large plates, so it is read as a stream. Files that begin with
`DC_` or `SC_` are dark and shading images of the camera: calibration that looks like data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import Element

from labrelay.model.files import FileRole
from labrelay.model.imaging import Channel, ImageAt, Plate, well_name
from labrelay.model.instrument import Completion, Detection, Fact, InstrumentRun, Known
from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.parsers.images import cut_tiffs, wells_of
from labrelay.parsers.listing import Entry, Listing, read_small
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
from labrelay.parsers.xml import attribute, find_all, local_name, parse_xml
from labrelay.parsers.xml_stream import Record, stream_records

NAME = "cellvoyager"
LOOKED_FOR = "MeasurementDetail.mrf or MeasurementData.mlf"
CALIBRATION = ("dc_", "sc_")
_BAND = re.compile(r"BP(\d{3,4})")
_KEPT = (
    "MeasurementSettingFileName", "TimePointCount", "FieldCount", "ZCount", "Status", "Application",
)  # fmt: skip


@dataclass
class _Reading:
    """What has been read of one folder so far."""

    listing: Listing
    folder: str
    detail: Element | None = None
    setting: Element | None = None
    planes: list[Plane] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def path(self, name: str) -> str:
        return f"{self.folder}/{name}" if self.folder else name

    def told(self, name: str) -> str | None:
        """What the root of the .mrf says."""
        return attribute(self.detail, name) if self.detail is not None else None


def detect(listing: Listing) -> Detection | None:
    """Say whether the folder holds the record of a CellVoyager's measurement."""
    found = _marks(listing)
    if not found:
        return None
    folder = found[0].folder
    return Detection(platform=NAME, confidence=0.95, evidence=tuple(e.path for e in found if e.folder == folder)[:3])


def _marks(listing: Listing) -> list[Entry]:
    """Return the .mrf and .mlf files, those of the uppermost folder first."""
    found = [entry for entry in listing.files if entry.name.lower().endswith((".mrf", ".mlf"))]
    return sorted(found, key=lambda entry: (entry.path.count("/"), entry.folder, entry.name))


def is_calibration(name: str) -> bool:
    """Return whether a file is a dark or shading image of the camera."""
    return name.lower().startswith(CALIBRATION)


def read(folder: Path, listing: Listing) -> InstrumentRun:
    """Return the measurement; what is wrong stands in its problems.

    Args:
        folder: As the caller named it; its name is kept beside the run's id.
        listing: Of that folder.
    """
    marks = _marks(listing)
    reading = _Reading(listing, marks[0].folder if marks else "")
    reading.problems += [*listing.problems, *_several(marks)]
    mrf, mlf = _beside(reading, ".mrf"), _beside(reading, ".mlf")
    reading.detail = _xml(reading, mrf)
    reading.setting = _xml(reading, _setting(reading))
    channels = dict(_channels(reading))
    _records(reading, mlf, {number: told.name for number, told in channels.items()})
    name = folder.resolve().name
    title = reading.told("Title") or name
    plate = _plate_name(reading) or title
    placed = places_of(reading.planes)
    copied, gone = arrived(placed, listing, mlf.path if mlf else "")
    reading.problems += [*gone, *_odd(reading, mlf)]
    reading.problems += unlisted(
        placed | {e.path: ImageAt() for e in listing.files if is_calibration(e.name)},
        listing,
        reading.folder,
        mlf.path if mlf else "",
    )
    files = run_files(listing, placed, plate, _role)
    reading.problems += cut_tiffs(listing, files)
    begun, ended = reading.told("BeginTime"), reading.told("EndTime")
    reading.problems += named_otherwise(name, [title, reading.folder.rpartition("/")[2]], mrf.path if mrf else "")
    return InstrumentRun(
        run_id=_run_id(title, begun),
        folder_name=name,
        platform=NAME,
        instrument_model=reading.told("TargetSystem"),
        software=_release(reading),
        started=to_datetime(begun) if begun else None,
        started_text=begun,
        ended=to_datetime(ended) if ended else None,
        files=files,
        plate=_plate(reading, plate),
        images=image_sets(reading.planes, _frame(reading), channels),
        completion=Completion(acquired=_acquired(reading, mrf), copied=copied),
        problems=tuple(reading.problems),
        raw={mrf.path: cut({each: reading.told(each) or "" for each in _KEPT})} if mrf else {},
        personal=_personal(reading, mrf),
    )


def _role(entry: Entry) -> FileRole | None:
    return FileRole.RUN_METADATA if is_calibration(entry.name) else None


def _run_id(title: str, begun: str | None) -> str:
    """Return the title with the begin, as the instrument names the folder; one plate may be measured many times."""
    digits = re.sub(r"\D", "", begun or "")[:14]
    return f"{title}_{digits[:8]}_{digits[8:]}" if len(digits) == 14 else title


def _several(marks: list[Entry]) -> list[Problem]:
    folders = sorted({entry.folder for entry in marks})
    if len(folders) < 2:
        return []
    return [error("SEVERAL_RUNS", f"the folder holds {len(folders)} measurements; give the folder of one", folders[1])]


def _beside(reading: _Reading, ending: str) -> Entry | None:
    return next(
        (e for e in reading.listing.files if e.folder == reading.folder and e.name.lower().endswith(ending)), None
    )


def _setting(reading: _Reading) -> Entry | None:
    """Return the .mes file that the .mrf names, else the one that lies there."""
    named = reading.told("MeasurementSettingFileName")
    found = reading.listing.find(reading.path(named)) if named else None
    return found or _beside(reading, ".mes")


def _xml(reading: _Reading, entry: Entry | None) -> Element | None:
    if entry is None:
        return None
    data = read_small(reading.listing.root, entry.path)
    if isinstance(data, Problem):
        reading.problems.append(data)
        return None
    root, problems = parse_xml(data, entry.path)
    reading.problems += [warning(each.code, each.message, each.path, each.line) for each in problems]
    return root


def _records(reading: _Reading, mlf: Entry | None, names: dict[int, str | None]) -> None:
    if mlf is None:
        text = "there is no MeasurementData.mlf, which lists the images; bring it"
        reading.problems.append(warning("MARKER_MISSING", text, reading.folder or None))
        return
    for record in stream_records(reading.listing.root, mlf.path, ("measurementrecord",), reading.problems):
        if record.name != "measurementrecord":
            continue
        if record.attributes.get("type", "").upper() == "IMG":
            _take(reading, record, names)
        elif len(reading.failed) < 1_000_000:
            reading.failed.append(record.texts.get("", "")[:200])


def _take(reading: _Reading, record: Record, names: dict[int, str | None]) -> None:
    told = record.attributes
    file = record.texts.get("", "").replace("\\", "/").rpartition("/")[2]
    if not file:
        return
    row, column, channel = to_int(told.get("row")), to_int(told.get("column")), to_int(told.get("ch"))
    at = ImageAt(
        well=well_name(row, column) if row and column and row < 100 else None,
        field=to_int(told.get("fieldindex")),
        channel=channel,
        z=to_int(told.get("zindex")),
        t=to_int(told.get("timepoint")),
        channel_name=names.get(channel or 0),
    )
    try:
        height = float(told.get("z", ""))
    except ValueError:
        height = None
    reading.planes.append(Plane(reading.path(file), at, told.get("time"), height))


def _channels(reading: _Reading) -> Iterator[tuple[int, Channel]]:
    """Yield the channels of the setting; the filter's name says what is seen, the target which laser."""
    if reading.setting is None:
        return
    for element in find_all(reading.setting, "Channel"):
        number = to_int(attribute(element, "Ch"))
        if number is None:
            continue
        acquisition, dye = attribute(element, "Acquisition"), attribute(element, "Fluorophore")
        band = _BAND.search(acquisition or "")
        exposure = positive(attribute(element, "ExposureTime"), 0.001)
        yield (
            number,
            Channel(
                name=dye or acquisition,
                excitation_nm=positive(attribute(element, "Target")),
                emission_nm=positive(band[1]) if band else None,
                exposure_s=exposure,
            ),
        )


def _measured(reading: _Reading) -> Element | None:
    """Return the first channel of the .mrf, whose frame is that of all."""
    return None if reading.detail is None else next(find_all(reading.detail, "MeasurementChannel"), None)


def _frame(reading: _Reading) -> Frame:
    told = _measured(reading)
    if told is None:
        return Frame()
    bits = to_int(attribute(told, "InputBitDepth"))
    return Frame(
        size_x=to_int(attribute(told, "HorizontalPixels")),
        size_y=to_int(attribute(told, "VerticalPixels")),
        pixel_type="uint16" if bits is not None and 8 < bits <= 16 else None,
        pixel_um=positive(attribute(told, "HorizontalPixelDimension")),
    )


def _plate_name(reading: _Reading) -> str | None:
    if reading.detail is None:
        return None
    sample = next(find_all(reading.detail, "MeasurementSamplePlate"), None)
    return None if sample is None else attribute(sample, "Name") or None


def _plate(reading: _Reading, plate: str) -> Plate:
    return Plate(
        id=plate,
        rows=to_int(reading.told("RowCount")),
        columns=to_int(reading.told("ColumnCount")),
        wells=wells_of(plane.at for plane in reading.planes),
        fields=to_int(reading.told("FieldCount")),
    )


def _release(reading: _Reading) -> str | None:
    release = reading.told("ReleaseNumber")
    return f"CellVoyager {release}" if release else None


def _acquired(reading: _Reading, mrf: Entry | None) -> Fact:
    """The .mrf is written at the start and gets its EndTime when the measurement ends."""
    if mrf is None or reading.detail is None or local_name(reading.detail.tag) != "measurementdetail":
        return Fact()
    return Fact(value=Known.YES if reading.told("EndTime") else Known.NO, evidence=mrf.path)


def _personal(reading: _Reading, mrf: Entry | None) -> dict[str, str]:
    operator = reading.told("OperatorName")
    return {f"{mrf.path}: OperatorName": operator} if mrf and operator else {}


def _odd(reading: _Reading, mlf: Entry | None) -> Iterator[Problem]:
    path = mlf.path if mlf else None
    if reading.failed:
        reason = next((each for each in reading.failed if each), "no reason is given")
        text = f"{len(reading.failed):,} of its records are errors of the instrument ({printable(reason, 100)})"
        yield warning("ACQUISITION_ERROR", f"{text}; look at those wells", path)
    status = reading.told("Status")
    if status not in (None, "0", ""):
        yield warning("ACQUISITION_STATUS", f"the measurement ended with status {printable(status or '', 40)}", path)
