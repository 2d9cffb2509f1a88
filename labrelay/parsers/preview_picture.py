"""A small view of a JPEG or PNG: what a microscope's program writes beside its data, or a camera as the data."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.parsers.listing import read_small
from labrelay.parsers.preview import EDGE, Preview, averaged

PICTURES = (".jpg", ".jpeg", ".png")
MOST_BYTES = 32 * 1024 * 1024
MOST_PIXELS = 40_000_000
_PNG = b"\x89PNG\r\n\x1a\n"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers of a JPEG behind which its size stands


def preview_picture(root: Path, path: str, edge: int = EDGE) -> Preview | str:
    """Return a small view of a picture, or the sentence that says why there is none.

    Args:
        root: The folder that was listed.
        path: Below it.
        edge: Most pixels a side.
    """
    name = printable(path.rpartition("/")[2], 80)
    data = read_small(root, path, MOST_BYTES)
    if isinstance(data, Problem):
        return f"no picture of {name}: {data.message}"
    size = size_of(data)
    if size is None:
        return f"no picture of {name}: it is no whole JPEG or PNG"
    if size[0] * size[1] > MOST_PIXELS:
        return f"no picture of {name}: {size[0]} × {size[1]} pixels are too many to be decoded for it"
    try:
        import imagecodecs
    except ImportError:
        return f"no picture of {name}: pictures need the extra: pip install 'labrelay[imaging]'"
    try:
        decode = imagecodecs.png_decode if data.startswith(_PNG) else imagecodecs.jpeg8_decode
        pixels = np.asarray(decode(data))
    except Exception as bad:
        # Damaged files make decoders raise anything; none of it may take the page away.
        return f"no picture of {name}: it cannot be read ({printable(str(bad) or type(bad).__name__, 120)})"
    height, width = pixels.shape[:2]
    values = averaged(pixels.reshape(height, width, -1), edge)
    colour = values.shape[2] >= 3
    shown = values[:, :, :3] if colour else values[:, :, 0]
    if colour and pixels.dtype.itemsize > 1:
        shown = shown / np.float32(257)
    return Preview(shown, width, height, colour)


def size_of(data: bytes) -> tuple[int, int] | None:
    """Return width and height as a JPEG or PNG says them, or None when it is neither, or cut before that."""
    if data.startswith(_PNG):
        return struct.unpack_from(">II", data, 16) if len(data) >= 24 else None
    if not data.startswith(b"\xff\xd8"):
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = struct.unpack_from(">BH", data, at + 1)
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 + length
    return None
