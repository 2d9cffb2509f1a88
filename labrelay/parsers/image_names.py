"""Where an image belongs, by its file's name, as plate imagers and screening centres write it.

AS_09125_050116030001_D03f00d0.tif        plate, well, field from 0, channel from 0 (Cellomics, Broad)
r02c03f01p01-ch1sk1fk1fl1.tiff            row, column, field, plane, channel, time (Harmony)
plate_B02_s1_w1A1B2C3D4.tif               plate, well, site, wavelength (MetaXpress)
plate_D08_T0001F001L01A01Z01C01.tif       plate, well, time, field, plane, channel (CellVoyager)
"""

from __future__ import annotations

import re
from typing import NamedTuple

from labrelay.model.imaging import ImageAt, well_name

_TIME_FOLDER = re.compile(r"(?:^|/)TimePoint_(\d{1,6})(?:/|$)", re.IGNORECASE)
_STEP_FOLDER = re.compile(r"(?:^|/)ZStep_(\d{1,6})(?:/|$)", re.IGNORECASE)
ENDINGS = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".c01")
# From A01 to AF48, the last well of the largest plate; A1 where site or wavelength follow, as else it may be anything.
_WELL = r"(?P<letter>[A-P]|A[A-F])(?P<column>0[1-9]|[1-3]\d|4[0-8]|[1-9](?=_[sw]\d))"
_PATTERNS = (
    (re.compile(rf"(?P<plate>.+)_{_WELL}f(?P<field>\d+)d(?P<channel>\d+)\Z"), 1),
    (re.compile(r"r(?P<row>\d\d)c(?P<col>\d\d)f(?P<field>\d+)p(?P<z>\d+)-ch(?P<channel>\d+)sk(?P<t>\d+).*\Z"), 0),
    (re.compile(rf"(?P<plate>.+)_{_WELL}_T(?P<t>\d+)F(?P<field>\d+)L\d+A\d+Z(?P<z>\d+)C(?P<channel>\d+)\Z"), 0),
    (
        re.compile(
            rf"(?P<plate>.+)_{_WELL}(?:_s(?P<field>\d+))?(?:_w(?P<channel>\d))?"
            r"(?P<thumb>_thumb)?(?:[0-9A-F]{8}-[0-9A-F-]{27})?\Z"
        ),
        0,
    ),
)


class ImageName(NamedTuple):
    """What a name tells: the plate, where on it, and whether it is a small copy that the instrument made."""

    plate: str | None
    at: ImageAt
    thumbnail: bool = False


def is_image(name: str) -> bool:
    """Return whether a file's ending is one of plain images."""
    return name.lower().endswith(ENDINGS)


def parse_image_name(name: str) -> ImageName | None:
    """Return what the name of a plate's image tells, or None when it follows no pattern that is known here."""
    stem = name.rpartition(".")[0]
    for pattern, first in _PATTERNS:
        match = pattern.match(stem)
        if match is not None:
            return _told(match.groupdict(), first)
    return None


def _told(found: dict[str, str | None], first: int) -> ImageName:
    """Return the fields of a match; `first` is added to field and channel where they are counted from 0."""

    def number(name: str, more: int = 0) -> int | None:
        text = found.get(name)
        return None if text is None else int(text) + more

    if found.get("row") is not None:
        well = well_name(int(found["row"] or 0), int(found["col"] or 0))
    else:
        well = f"{found['letter']}{int(found['column'] or 0):02d}"
    at = ImageAt(
        well=well, field=number("field", first), channel=number("channel", first), z=number("z"), t=number("t")
    )
    return ImageName(found.get("plate"), at, bool(found.get("thumb")))


def step_and_time(path: str) -> tuple[int | None, int | None]:
    """Return the step and the time point that MetaXpress tells by an image's folders; None what they do not tell."""
    step, time = _STEP_FOLDER.search(path), _TIME_FOLDER.search(path)
    return (int(step[1]) if step else None), (int(time[1]) if time else None)


def in_folders(at: ImageAt, path: str) -> ImageAt:
    """Add the step and the time that an image's folders tell, where its name does not."""
    step, time = step_and_time(path)
    told = {"z": step if at.z is None else at.z, "t": time if at.t is None else at.t}
    return at if (at.z, at.t) == (told["z"], told["t"]) else at.model_copy(update=told)
