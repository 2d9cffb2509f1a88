"""The structure of a Zeiss CZI, read by ourselves: its header, its XML, and the directory of its blocks of pixels.

After "ZISRAW (CZI) File Format" of Carl Zeiss, version 1.2: segments of a 32-byte head (id, bytes set aside, bytes
used) and a body, all little-endian. A file may lie about all of it, so everything is bounded and nothing is trusted.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

MAGIC = b"ZISRAWFILE"
MOST_XML = 32 * 1024 * 1024
MOST_BLOCKS = 100_000
_MOST_DIRECTORY = 24 * 1024 * 1024
_MOST_DIMENSIONS = 40
_HEAD = 32  # of each segment
_ENTRY = struct.Struct("<2siqiiB5xi")
_DIMENSION = struct.Struct("<4siifi")


class BadCzi(Exception):
    """Why a file cannot be read as a CZI, as half a sentence."""


class CutCzi(BadCzi):
    """It ends before what its own header names."""


class Block(NamedTuple):
    """A block of pixels: where it lies in the file and in the image.

    Attributes:
        position: Of its segment, in bytes.
        pixel, compression: Numbers of the format.
        x, y, width, height: In pixels of the image.
        stored_width, stored_height: Less than these in a level of the pyramid.
        scene, c, z, t: From 0.
        entry: Bytes of its directory entry, which stands again before the pixels.
    """

    position: int
    pixel: int
    compression: int
    x: int
    y: int
    width: int
    height: int
    stored_width: int
    stored_height: int
    scene: int
    c: int
    z: int
    t: int
    entry: int

    @property
    def scale(self) -> int:
        """How many pixels of the image one of its own covers; 1 at the full resolution."""
        return max(1, round(self.width / self.stored_width))


@dataclass(frozen=True)
class CziFile:
    """What the structure says.

    Attributes:
        xml: The metadata, UTF-8; empty where there is none.
        blocks: In the order of the directory.
        several: Whether blocks lie in further files.
        pending: Whether a program was still writing it.
        whole: Whether every segment that is named lies within the file.
        cut: Whether the directory was too long to be read to its end.
    """

    xml: bytes
    blocks: tuple[Block, ...]
    several: bool
    pending: bool
    whole: bool
    cut: bool


def read_czi(source: BinaryIO) -> CziFile:
    """Return the structure of an open CZI.

    Raises:
        BadCzi: It is none, was never closed, or is cut (`CutCzi`).
    """
    size = os.fstat(source.fileno()).st_size
    if not source.read(len(MAGIC)).startswith(MAGIC):
        raise BadCzi("it does not begin as a CZI does")
    head = _read(source, 0, 112)
    directory, metadata, pending, attachments = struct.unpack_from("<qqiq", head, 84)
    if not directory:
        # A file whose directory was never written: the program that took the images has not ended well.
        raise BadCzi("it has no directory of its pixels, so it is still being written or was never closed")
    blocks, several, cut = _directory(source, directory, size)
    named = [directory, metadata, attachments, max((each.position for each in blocks), default=0)]
    whole = all(_end(source, at) <= size for at in named if at > 0)
    return CziFile(_metadata(source, metadata), blocks, several, pending != 0, whole, cut)


def _read(source: BinaryIO, at: int, length: int) -> bytes:
    if at < 0:
        raise BadCzi("it names a place before its own beginning")
    source.seek(min(at, 2**62))
    data = source.read(length)
    if len(data) < length:
        raise CutCzi("it ends before what its header names, so it has not come whole")
    return data


def _end(source: BinaryIO, at: int) -> int:
    """Return where a segment ends by its own account; far away when it cannot be read."""
    try:
        allocated, used = struct.unpack_from("<qq", _read(source, at, _HEAD), 16)
    except BadCzi:
        return 2**63
    return int(at + _HEAD + max(0, used or allocated))


def _metadata(source: BinaryIO, at: int) -> bytes:
    if at <= 0:
        return b""
    head = _read(source, at, _HEAD + 8)
    if not head.startswith(b"ZISRAWMETADATA"):
        return b""
    (length,) = struct.unpack_from("<i", head, _HEAD)
    if not 0 < length <= MOST_XML:
        return b""
    source.seek(at + _HEAD + 256)
    return source.read(length)


def _directory(source: BinaryIO, at: int, size: int) -> tuple[tuple[Block, ...], bool, bool]:
    head = _read(source, at, _HEAD + 128)
    if not head.startswith(b"ZISRAWDIRECTORY"):
        raise BadCzi("its header names a directory that is none")
    (count,) = struct.unpack_from("<i", head, _HEAD)
    data = source.read(max(0, min(_MOST_DIRECTORY, size)))
    entries = list(_entries(data, min(max(0, count), MOST_BLOCKS)))
    blocks = tuple(block for block, _part in entries if block is not None)
    return blocks, any(part for _block, part in entries), len(entries) < count


def _entries(data: bytes, count: int) -> Iterator[tuple[Block | None, int]]:
    """Yield each block and the number of the file that it lies in; no block for what is none of an image."""
    at = 0
    for _ in range(count):
        if at + _ENTRY.size > len(data):
            return
        schema, pixel, position, part, compression, _pyramid, dimensions = _ENTRY.unpack_from(data, at)
        length = _ENTRY.size + dimensions * _DIMENSION.size
        if schema != b"DV" or not 0 <= dimensions <= _MOST_DIMENSIONS or at + length > len(data):
            return
        sizes = {
            name.rstrip(b"\0"): (start, extent, stored)
            for name, start, extent, _coordinate, stored in _DIMENSION.iter_unpack(data[at + _ENTRY.size : at + length])
        }
        yield _block(position, pixel, compression, sizes, length) if part == 0 else None, part
        at += length


def _block(
    position: int, pixel: int, compression: int, sizes: dict[bytes, tuple[int, int, int]], length: int
) -> Block | None:
    x, y = sizes.get(b"X"), sizes.get(b"Y")
    if x is None or y is None or position <= 0:
        return None
    extents = (x[1], y[1], x[2] or x[1], y[2] or y[1])
    if min(extents) < 1:
        return None
    scene, c, z, t = (max(0, sizes.get(axis, (0, 1, 1))[0]) for axis in (b"S", b"C", b"Z", b"T"))
    return Block(position, pixel, compression, x[0], y[0], *extents, scene, c, z, t, length)
