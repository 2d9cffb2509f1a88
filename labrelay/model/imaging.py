"""Plates, wells and images as instruments describe them, in the words of the OME data model."""

from __future__ import annotations

import re

from labrelay.model.problem import Frozen

_WELL = re.compile(r"([A-Z]|A[A-F])0*([1-9]\d?)")


class ImageAt(Frozen):
    """Where on a plate, and which plane, an image file is; numbers are from 1, None is not said.

    Attributes:
        well: Row letters and two-digit column, such as `B03` or `AA12`.
        field: The site within the well.
        channel, z, t: Of a file that holds one plane; None for one that holds them all.
        channel_name: As the instrument calls it, such as `DAPI`.
    """

    well: str | None = None
    field: int | None = None
    channel: int | None = None
    z: int | None = None
    t: int | None = None
    channel_name: str | None = None


class Plate(Frozen):
    """A multi-well plate.

    Attributes:
        id: Its barcode or name as the instrument has it.
        rows, columns: Of the plate type; None when no file says so.
        wells: Those that were acquired, such as `B03`, in order of row and column.
        fields: Sites a well, where it is the same in all.
    """

    id: str | None = None
    rows: int | None = None
    columns: int | None = None
    wells: tuple[str, ...] = ()
    fields: int | None = None


class Channel(Frozen):
    """A channel of an image: wavelengths in nanometres, exposure in seconds."""

    name: str | None = None
    excitation_nm: float | None = None
    emission_nm: float | None = None
    exposure_s: float | None = None


class ImageSet(Frozen):
    """One image of five dimensions, in one file or in many.

    Attributes:
        name: As the instrument or the file calls it.
        path: The file or folder below the run's root.
        size_x, size_y, size_z, size_c, size_t: Pixels, planes, channels, time points; None when not said.
        pixel_type: As OME has it: `uint8`, `uint16`, `float` …
        pixel_um: Edge of a pixel in the plane, in micrometres.
        step_um: Between planes, in micrometres.
        channels: In order.
        acquired: ISO 8601 as it was written, which may lack a zone.
        at: Where on the plate it is.
        tilt_degrees: Of a tilt series, in the order in which its images were taken.
    """

    name: str
    path: str
    size_x: int | None = None
    size_y: int | None = None
    size_z: int | None = None
    size_c: int | None = None
    size_t: int | None = None
    pixel_type: str | None = None
    pixel_um: float | None = None
    step_um: float | None = None
    channels: tuple[Channel, ...] = ()
    acquired: str | None = None
    at: ImageAt | None = None
    tilt_degrees: tuple[float, ...] = ()

    @property
    def extent(self) -> str:
        """Its five sizes as people write them, `?` for what is not said: `512 × 256 × 1 × 3 × ?`."""
        sizes = (self.size_x, self.size_y, self.size_z, self.size_c, self.size_t)
        return " × ".join("?" if each is None else str(each) for each in sizes)


def well_name(row: int, column: int) -> str:
    """Return a well's name from its row and column, both from 1: (2, 3) is `B03`, (27, 1) is `AA01`."""
    letters = ""
    while row > 0:
        row, rest = divmod(row - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return f"{letters}{column:02d}"


def well_at(name: str) -> tuple[int, int] | None:
    """Return row and column, from 1, of a well's name such as `B03`, `b3` or `AA12`; None when it is none.

    A plate of 1,536 wells, the largest that there is, has the rows A to AF and 48 columns.
    """
    found = _WELL.fullmatch(name.strip().upper())
    if found is None:
        return None
    letters = found[1]
    row = ord(letters[-1]) - ord("A") + 1 + 26 * (len(letters) - 1)
    return row, int(found[2])
