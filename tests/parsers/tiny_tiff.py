"""TIFF files of a few bytes, written by hand, so that a test can make them as wrong as it wants."""

from __future__ import annotations

import struct
from collections.abc import Sequence


def tiff(
    width: int = 4,
    height: int = 4,
    pixels: bytes | None = None,
    description: str = "",
    *,
    bits: int = 16,
    big: bool = False,
    offset: int | None = None,
) -> bytes:
    """Return a little-endian grey TIFF of one strip; `offset` is where it claims its pixels to be."""
    data = pixels if pixels is not None else bytes(range(256)) * (width * height * bits // 8 // 256 + 1)
    data = data[: width * height * bits // 8] if pixels is None else data
    text = description.encode() + b"\0"
    head = 16 if big else 8
    values: Sequence[tuple[int, int, int, int]] = sorted(
        [
            (256, 4, 1, width),
            (257, 4, 1, height),
            (258, 3, 1, bits),
            (259, 3, 1, 1),
            (262, 3, 1, 1),
            (270, 2, len(text), head),
            (273, 16 if big else 4, 1, head + len(text) if offset is None else offset),
            (277, 3, 1, 1),
            (278, 4, 1, height),
            (279, 16 if big else 4, 1, width * height * bits // 8),
        ]
    )
    if len(text) <= 4:
        values = [each if each[0] != 270 else (270, 2, len(text), 0) for each in values]
    where = head + len(text) + len(data)
    if big:
        start = struct.pack("<2sHHHQ", b"II", 43, 8, 0, where)
        entries = b"".join(struct.pack("<HHQQ", *each) for each in values)
        return start + text + data + struct.pack("<Q", len(values)) + entries + struct.pack("<Q", 0)
    start = struct.pack("<2sHI", b"II", 42, where)
    entries = b"".join(struct.pack("<HHII", *each) for each in values)
    return start + text + data + struct.pack("<H", len(values)) + entries + struct.pack("<I", 0)
