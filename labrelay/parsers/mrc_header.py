"""The header of MRC files (MRC2014, and the older forms that microscopes still write), and how long the file has to be.

Layout: https://www.ccpem.ac.uk/mrc_format/mrc2014.php; IMOD's modes 16 and 101 by its own description; the extended
header `FEI1`/`FEI2` by the EPU manual. 1024 bytes of header, then `nsymbt` bytes of extended header, then the pixels.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import datetime, timedelta

from labrelay.model.problem import Problem
from labrelay.parsers.text import error, warning

HEADER = 1024
HEAD = 4096  # of a file: the header and the first block of an extended header
OLD_HEADER = 3200
# Bits a pixel and the type as OME has it; 16 is IMOD's RGB, 101 its four-bit counts.
_MODES = {
    0: (8, "int8"),
    1: (16, "int16"),
    2: (32, "float"),
    3: (32, "complex int16"),
    4: (64, "complex"),
    6: (16, "uint16"),
    12: (16, "float16"),
    16: (24, "rgb"),
    101: (4, "uint4"),
}
_STAMPS = {b"\x44\x44": "<", b"\x44\x41": "<", b"\x11\x11": ">"}
_IMOD = 1146047817
_EPOCH = datetime(1899, 12, 30)
_MOST = 1 << 60


@dataclass(frozen=True)
class FeiHeader:
    """What the first block of a `FEI1` or `FEI2` extended header says; volts, metres, and a time without a zone."""

    microscope: str | None
    serial: str | None
    software: str | None
    volts: float | None
    tilt: float | None
    pixel_m: float | None
    acquired: datetime | None


@dataclass(frozen=True)
class MrcHeader:
    """The header of one file.

    Attributes:
        nx, ny, nz: Columns, rows and sections.
        mode: Of the pixels.
        order: `<` or `>` as in `struct`.
        voxel: Edges in Ångström; None where the file says 0.
        mz: Sections of one volume.
        ispg: 0 a stack of images, 1 a volume, 401 a stack of volumes.
        offset: Where the pixels begin.
        labels: The ten text labels, without the empty ones.
        unsigned: Bytes of mode 0 that IMOD wrote as 0 to 255.
        fei: Of an extended header that names the microscope.
    """

    nx: int
    ny: int
    nz: int
    mode: int
    order: str
    voxel: tuple[float | None, float | None, float | None]
    mz: int
    ispg: int
    offset: int
    labels: tuple[str, ...]
    unsigned: bool = False
    fei: FeiHeader | None = None

    @property
    def row(self) -> int:
        """Bytes of one row; four-bit rows are filled up to a byte."""
        return (self.nx * _MODES[self.mode][0] + 7) // 8

    @property
    def plane(self) -> int:
        """Bytes of one section."""
        return self.row * self.ny

    @property
    def expected(self) -> int:
        """Bytes that the whole file has to have."""
        return self.offset + self.plane * self.nz

    @property
    def pixel_type(self) -> str:
        """As OME has it; what OME has no word for is named by what it is."""
        return "uint8" if self.unsigned else _MODES[self.mode][1]

    @property
    def pixel_um(self) -> float | None:
        """Edge of a pixel in micrometres."""
        side = self.voxel[0]
        if side is None and self.fei is not None and self.fei.pixel_m:
            return round(self.fei.pixel_m * 1e6, 10)
        return None if side is None else round(side * 1e-4, 10)

    @property
    def volumes(self) -> int:
        """Volumes in the file, 1 but for a stack of volumes."""
        return self.nz // self.mz if self.ispg >= 401 and self.mz > 0 and self.nz % self.mz == 0 else 1


def is_mrc(head: bytes) -> bool:
    """Return whether the first 212 bytes carry the mark of MRC2014."""
    return head[208:211] == b"MAP"


def parse_mrc_header(head: bytes, size: int | None, path: str) -> tuple[MrcHeader | None, tuple[Problem, ...]]:
    """Return the header, or None with the error that makes the file unusable, and what is wrong with its length.

    Args:
        head: The first `HEAD` bytes.
        size: Of the whole file; None when it is not known, of a compressed one.
        path: For messages.
    """
    if len(head) < HEADER:
        text = f"it has {len(head)} bytes and an MRC header alone has {HEADER}; copy it again"
        return None, (error("TRUNCATED", text, path),)
    order = _order(head)
    if order is None:
        text = "its first bytes are no MRC header in either byte order; is it another kind of file?"
        return None, (error("BAD_HEADER", text, path),)
    nx, ny, nz, mode = struct.unpack_from(order + "4i", head)
    if mode not in _MODES:
        text = f"its mode {mode} is none that is known here, so nothing more of it is read"
        return None, (warning("UNKNOWN_MODE", text, path),)
    mx, my, mz = struct.unpack_from(order + "3i", head, 28)
    cell = struct.unpack_from(order + "3f", head, 40)
    ispg, extended = struct.unpack_from(order + "2i", head, 88)
    if min(nx, ny, nz) < 1 or extended < 0 or nx * ny * nz > _MOST:
        text = f"it says {nx} × {ny} × {nz} pixels after {extended} bytes, which cannot be; copy it again"
        return None, (error("BAD_HEADER", text, path),)
    imod, flags = struct.unpack_from(order + "2i", head, 152)
    header = MrcHeader(
        nx=nx,
        ny=ny,
        nz=nz,
        mode=mode,
        order=order,
        voxel=(_edge(cell[0], mx), _edge(cell[1], my), _edge(cell[2], mz)),
        mz=mz,
        ispg=ispg,
        offset=HEADER + extended,
        labels=_labels(head, order),
        unsigned=mode == 0 and imod == _IMOD and not flags & 1,
        fei=_fei(head, order, extended),
    )
    header = _old_style(header, head, size)
    return header, tuple(_length(header, size, path))


def _order(head: bytes) -> str | None:
    """Return the byte order by the machine stamp, else the one in which sizes and mode make sense."""
    stamped = _STAMPS.get(head[212:214]) if is_mrc(head) else None
    for order in ("<", ">") if stamped is None else (stamped, "<", ">"):
        nx, ny, nz, mode = struct.unpack_from(order + "4i", head)
        if 0 <= mode <= 127 and all(0 < side < 1 << 24 for side in (nx, ny, nz)):
            return order
    return None


def _edge(cell: float, parts: int) -> float | None:
    """Return the edge of a voxel; 0, or what is no number, is not known."""
    return cell / parts if parts > 0 and 0 < cell < 1e9 else None


def _labels(head: bytes, order: str) -> tuple[str, ...]:
    (count,) = struct.unpack_from(order + "i", head, 220)
    found = (head[at : at + 80].decode("latin-1") for at in range(224, 224 + 80 * min(max(count, 0), 10), 80))
    clean = ("".join(c for c in label if c.isprintable()).strip() for label in found)
    return tuple(label for label in clean if label)


def _fei(head: bytes, order: str, extended: int) -> FeiHeader | None:
    if head[104:108] not in (b"FEI1", b"FEI2") or extended < 168 or len(head) < HEADER + 168:
        return None
    block = head[HEADER:]
    # Little-endian by its description; the header's order is taken, as other programs rewrite both.
    days, machine, serial, program, version, volts, _dose, tilt = struct.unpack_from(
        order + "d16s16s16s16sddd", block, 12
    )
    (pixel,) = struct.unpack_from(order + "d", block, 156)
    named = [text.split(b"\0")[0].decode("latin-1").strip() for text in (machine, serial, program, version)]
    return FeiHeader(
        microscope=named[0] or None,
        serial=named[1] or None,
        software=" ".join(named[2:]).strip() or None,
        volts=volts if 1e3 < volts < 1e7 else None,
        tilt=tilt if -180 <= tilt <= 180 else None,
        pixel_m=pixel if 1e-13 < pixel < 1e-3 else None,
        acquired=_EPOCH + timedelta(days=days) if 20_000 < days < 80_000 else None,
    )


def _old_style(header: MrcHeader, head: bytes, size: int | None) -> MrcHeader:
    """Return the header with the place of the pixels that the length proves, of files older than the mark `MAP`."""
    if is_mrc(head) or size is None:
        return header
    pixels = header.expected - header.offset
    offset = next((place for place in (HEADER, OLD_HEADER) if size == place + pixels), header.offset)
    return MrcHeader(**{**vars(header), "offset": offset})


def _length(header: MrcHeader, size: int | None, path: str) -> list[Problem]:
    if size is None or size == header.expected:
        return []
    shape = f"{header.nx} × {header.ny} × {header.nz} pixels of mode {header.mode} after {header.offset} bytes"
    if size < header.expected:
        text = f"it has {size:,} of the {header.expected:,} bytes that its header says ({shape}); copy it again"
        return [error("TRUNCATED", text, path)]
    text = f"it has {size:,} bytes and its header says {header.expected:,} ({shape}); the rest is not explained"
    return [warning("SIZE_MISMATCH", text, path)]
