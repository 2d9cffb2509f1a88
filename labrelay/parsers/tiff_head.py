"""The first directory of a TIFF or BigTIFF, read by ourselves: sizes and texts, never pixels.

After TIFF 6.0 and the BigTIFF design: a header, a directory of tags, and values that lie elsewhere when they are long.
A file may lie about all of it, so everything is bounded and nothing is trusted.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from labrelay.model.problem import Problem
from labrelay.parsers.listing import open_regular
from labrelay.parsers.text import warning

MAX_TAGS = 4096
MAX_TEXT = 5 * 1024 * 1024
_ORDERS = {b"II": "<", b"MM": ">"}
# Type number: its struct letter; rational and floating numbers are of no interest here.
_TYPES = {1: "B", 2: "s", 3: "H", 4: "I", 7: "s", 16: "Q", 13: "I", 18: "Q"}
_NAMES = {
    256: "width", 257: "height", 258: "bits", 259: "compression", 277: "samples", 339: "format",
    270: "description", 305: "software", 306: "date_time",
}  # fmt: skip
_FORMATS = {1: "uint", 2: "int", 3: "float"}


@dataclass(frozen=True)
class TiffHead:
    """What the first directory says.

    Attributes:
        width, height: Pixels.
        pixel_type: As OME has it, such as `uint16`; None when it is none of these.
        samples: Values a pixel; 3 for colour.
        description, software, date_time: Texts as bytes, since their encoding is anybody's guess.
    """

    width: int | None
    height: int | None
    pixel_type: str | None
    samples: int
    description: bytes
    software: bytes
    date_time: bytes


class _Bad(Exception):
    """Raised where the file is no TIFF or ends too early."""


def read_tiff_head(root: Path, path: str) -> TiffHead | Problem:
    """Return what the first directory of the TIFF at `path` says, or why it cannot be read (`BAD_TIFF`).

    Args:
        root: The folder that was listed.
        path: Below it.
    """
    try:
        with os.fdopen(open_regular(root, path), "rb") as source:
            return _head(source)
    except (OSError, _Bad, struct.error, OverflowError) as bad:
        reason = str(bad) if isinstance(bad, _Bad) else "it cannot be read or ends inside its first directory"
        return warning("BAD_TIFF", f"{reason}; copy it again, or open it with the instrument's software", path)


def _head(source: BinaryIO) -> TiffHead:
    start = source.read(16)
    order = _ORDERS.get(start[:2])
    if order is None or len(start) < 8:
        raise _Bad("it is no TIFF: it does not begin with II or MM" if start else "it is empty")
    version = struct.unpack(f"{order}H", start[2:4])[0]
    if version not in (42, 43):
        raise _Bad(f"it is no TIFF: its version is {version}")
    big = version == 43
    offset = struct.unpack(f"{order}Q", start[8:16])[0] if big else struct.unpack(f"{order}I", start[4:8])[0]
    tags = _tags(source, order, big, offset)
    width, height = _number(tags.get("width")), _number(tags.get("height"))
    kind, bits = _FORMATS.get(_number(tags.get("format")) or 1), _number(tags.get("bits")) or 1
    pixel = {("float", 32): "float", ("float", 64): "double", ("uint", 1): "bit"}.get((kind or "", bits))
    if pixel is None and kind in ("uint", "int") and bits in (8, 16, 32):
        pixel = f"{kind}{bits}"
    return TiffHead(width, height, pixel, _number(tags.get("samples")) or 1, *(_bytes(tags.get(t)) for t in _TEXTS))


_TEXTS = ("description", "software", "date_time")


def _number(value: int | bytes | None) -> int | None:
    return value if isinstance(value, int) else None


def _bytes(value: int | bytes | None) -> bytes:
    return value if isinstance(value, bytes) else b""


def _tags(source: BinaryIO, order: str, big: bool, offset: int) -> dict[str, int | bytes]:
    source.seek(min(offset, 2**62))
    count_form, entry_form, entry_size = ("Q", "HHQ8s", 20) if big else ("H", "HHI4s", 12)
    count = struct.unpack(f"{order}{count_form}", source.read(struct.calcsize(count_form)))[0]
    if not 0 < count <= MAX_TAGS:
        raise _Bad(f"its first directory claims to have {count} entries")
    block = source.read(count * entry_size)
    found: dict[str, int | bytes] = {}
    for at in range(0, len(block) - entry_size + 1, entry_size):
        number, kind, length, inline = struct.unpack(f"{order}{entry_form}", block[at : at + entry_size])
        name = _NAMES.get(number)
        if name is not None and kind in _TYPES:
            value = _value(source, order, kind, length, inline)
            if value is not None:
                found.setdefault(name, value)
    if not found:
        raise _Bad("its first directory says nothing of an image, or lies behind the end of the file")
    return found


def _value(source: BinaryIO, order: str, kind: int, length: int, inline: bytes) -> int | bytes | None:
    """Return a tag's text, or the first of its numbers; None when it is absurd."""
    letter = _TYPES[kind]
    size = struct.calcsize(letter) * length
    if not length or size > MAX_TEXT:
        return None
    if size <= len(inline):
        data = inline[:size]
    else:
        pointer = struct.unpack(f"{order}{'Q' if len(inline) == 8 else 'I'}", inline)[0]
        source.seek(min(pointer, 2**62))
        data = source.read(size if letter == "s" else struct.calcsize(letter))
    if letter == "s":
        return data.rstrip(b"\0 ")
    return int(struct.unpack(order + letter, data[: struct.calcsize(letter)])[0])
