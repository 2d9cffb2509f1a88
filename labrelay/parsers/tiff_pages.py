"""All directories of a TIFF, BigTIFF or NDPI, read by ourselves: sizes, texts and where the pixels end, never pixels.

After TIFF 6.0 and the BigTIFF design, as `labrelay.parsers.tiff_head` reads the first one. Hamamatsu's NDPI writes
classic directories with offsets of eight bytes, of which the upper halves stand behind the directory. A file may lie
about all of it, so everything is bounded and nothing is trusted.
"""

from __future__ import annotations

import operator
import os
import struct
import sys
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

MOST_PAGES = 5_000
MOST_TAGS = 512
MOST_TEXT = 5 * 1024 * 1024
_MOST_NUMBERS = 4_000_000  # of strips or tiles of all pages
_MOST_TEXTS = 24 * 1024 * 1024  # of all pages together
_ORDERS = {b"II": "<", b"MM": ">"}
# Type number: its struct letter; a rational is two numbers.
_TYPES = {
    1: "B", 2: "s", 3: "H", 4: "I", 5: "II", 6: "b", 7: "s", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d", 13: "I",
    16: "Q", 17: "q", 18: "Q",
}  # fmt: skip
_SUBFILE, _WIDTH, _HEIGHT, _BITS, _PACKED, _SAMPLES, _FORMAT = 254, 256, 257, 258, 259, 277, 339
_DESCRIPTION, _X_RESOLUTION, _UNIT = 270, 282, 296
_OFFSETS, _COUNTS, _TILE, _TILE_OFFSETS, _TILE_COUNTS = 273, 279, 322, 324, 325
_ARRAYS = (_OFFSETS, _COUNTS, _TILE_OFFSETS, _TILE_COUNTS)
# What anybody here asks for: what all TIFFs have, then what Hamamatsu and the Falcon cameras add.
_KEPT = frozenset({254, 256, 257, 258, 259, 270, 271, 272, 277, 282, 296, 305, 306, 322, 339, 700}) | {
    65001, 65421, 65424, 65427, 65442, 65468,
}  # fmt: skip
_SIZES = frozenset({_WIDTH, _HEIGHT})
_PER_UNIT = {2: 25_400.0, 3: 10_000.0}  # micrometres in an inch and in a centimetre
Value = bytes | tuple[float, ...]


class BadTiff(Exception):
    """Why a file cannot be read as a TIFF, as half a sentence."""


class CutTiff(BadTiff):
    """It ends before its first directory, or has no bytes to speak of."""


class _Layout(NamedTuple):
    """How numbers are written: byte order, and whether offsets have eight bytes."""

    order: str
    big: bool
    ndpi: bool


@dataclass(frozen=True)
class TiffPage:
    """What one directory says.

    Attributes:
        index: From 0, as all readers count them.
        tags: Texts as bytes, numbers as tuples, of what is not an array of strips or tiles.
        tiled: Whether its pixels lie in tiles.
        end: Where the last of its strips, tiles or values ends.
        numbers: How many places and lengths of strips and tiles were read for it.
    """

    index: int
    tags: Mapping[int, Value] = field(default_factory=dict)
    tiled: bool = False
    end: int = 0
    numbers: int = 0

    def number(self, tag: int) -> float | None:
        """Return the first number of a tag."""
        value = self.tags.get(tag)
        return value[0] if isinstance(value, tuple) and value else None

    def count(self, tag: int) -> int | None:
        """Return the first number of a tag as a whole one."""
        value = self.number(tag)
        return int(value) if value is not None and abs(value) < 2**53 else None

    def text(self, tag: int, most: int = 200_000) -> str:
        """Return a tag's text, whatever its encoding; empty when there is none."""
        value = self.tags.get(tag)
        return value[:most].rstrip(b"\0 ").decode("utf-8", "replace") if isinstance(value, bytes) else ""

    @property
    def width(self) -> int:
        """Pixels; 0 when it does not say."""
        return max(0, self.count(_WIDTH) or 0)

    @property
    def height(self) -> int:
        """Pixels; 0 when it does not say."""
        return max(0, self.count(_HEIGHT) or 0)

    @property
    def samples(self) -> int:
        """Values a pixel; 3 for colour."""
        return self.count(_SAMPLES) or 1

    @property
    def subfile(self) -> int:
        """What kind of copy it is: bits of TIFF 6.0, with meanings of their own at some makers."""
        return self.count(_SUBFILE) or 0

    @property
    def packed(self) -> int:
        """The number of its compression; 1 is none."""
        return self.count(_PACKED) or 1

    @property
    def description(self) -> str:
        """The text of its description."""
        return self.text(_DESCRIPTION)

    @property
    def pixel_type(self) -> str | None:
        """As OME has it, such as `uint8`; None when it is none of these."""
        kind, bits = {1: "uint", 2: "int", 3: "float"}.get(self.count(_FORMAT) or 1), self.count(_BITS) or 1
        if kind == "float":
            return {32: "float", 64: "double"}.get(bits)
        return f"{kind}{bits}" if kind and bits in (8, 16, 32) else "bit" if kind == "uint" and bits == 1 else None

    @property
    def pixel_um(self) -> float | None:
        """The edge of a pixel by the resolution tags, in micrometres."""
        found, unit = self.number(_X_RESOLUTION), _PER_UNIT.get(self.count(_UNIT) or 2)
        return round(unit / found, 6) or None if found and unit and 0 < found < 1e12 else None


def read_pages(
    source: BinaryIO, name: str, most: int = MOST_PAGES, *, tags: bool = True
) -> tuple[tuple[TiffPage, ...], bool]:
    """Return the directories of an open file, and whether all that they name lies within it.

    Args:
        source: The file.
        name: Of the file; the ending `.ndpi` says how offsets are written.
        most: Directories after which reading stops.
        tags: Read texts and numbers, too; else only width, height, and where all ends.

    Raises:
        BadTiff: It is no TIFF, or it is cut before its first directory (`CutTiff`).
    """
    size = os.fstat(source.fileno()).st_size
    layout, at = _start(source, name)
    pages: list[TiffPage] = []
    seen: set[int] = set()
    spent, whole = 0, True
    while at and len(pages) < most:
        if at in seen or at >= size:
            whole = whole and at in seen
            break
        seen.add(at)
        try:
            page, at, used = _page(source, layout, at, len(pages), _KEPT if tags else _SIZES)
        except (struct.error, OverflowError):
            whole = False
            break
        spent += used
        pages.append(page)
        if spent > _MOST_NUMBERS:
            break
    if not pages:
        raise CutTiff("it ends before its first directory, so it has not come whole")
    return tuple(pages), whole and all(page.end <= size for page in pages)


def _start(source: BinaryIO, name: str) -> tuple[_Layout, int]:
    source.seek(0)
    head = source.read(16)
    order = _ORDERS.get(head[:2])
    if order is None or len(head) < 8:
        raise BadTiff("it does not begin as a TIFF does")
    version = struct.unpack(f"{order}H", head[2:4])[0]
    if version == 43 and len(head) == 16:
        return _Layout(order, True, False), int(struct.unpack(f"{order}Q", head[8:16])[0])
    if version != 42:
        raise BadTiff(f"it is no TIFF: its version is {version}")
    if name.lower().endswith(".ndpi") and order == "<" and len(head) >= 12:
        return _Layout(order, False, True), int(struct.unpack("<Q", head[4:12])[0])
    return _Layout(order, False, False), int(struct.unpack(f"{order}I", head[4:8])[0])


def _page(source: BinaryIO, layout: _Layout, at: int, index: int, kept: frozenset[int]) -> tuple[TiffPage, int, int]:
    """Return a directory, where the next one begins, and how much of the bounds it has used."""
    tags: dict[int, Value] = {}
    arrays: dict[int, array[int]] = {}
    entries, following = _entries(source, layout, at)
    end = 0
    for number, kind, count, inline in entries:
        if number in _ARRAYS or number in _KEPT:
            end = max(end, _far_end(layout, kind, count, inline))
        if number in _ARRAYS and number not in arrays:
            arrays[number] = _array(source, layout, kind, count, inline)
        elif number in kept and number not in tags:
            value = _value(source, layout, kind, count, inline)
            if value is not None:
                tags[number] = value
    tiled = any(number == _TILE for number, *_rest in entries)
    starts = arrays.get(_TILE_OFFSETS if tiled else _OFFSETS, array("Q"))
    lengths = arrays.get(_TILE_COUNTS if tiled else _COUNTS, array("Q"))
    end = max(end, max(map(operator.add, starts, lengths), default=0))
    texts = sum(len(value) for value in tags.values() if isinstance(value, bytes))
    numbers = sum(map(len, arrays.values()))
    used = numbers + texts * _MOST_NUMBERS // _MOST_TEXTS
    return TiffPage(index, tags, tiled, end, numbers), following, used


def _array(source: BinaryIO, layout: _Layout, kind: int, count: int, inline: bytes) -> array[int]:
    """Return where strips or tiles lie, or how long they are; of millions, so they stay numbers of their own size."""
    letter = {3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}.get(kind)
    if letter is None or not 0 < count <= _MOST_NUMBERS:
        return array("Q")
    data = _bytes(source, layout, struct.calcsize(f"={letter}") * count, inline)
    if layout.ndpi and count == 1:
        letter, data = "Q", inline
    found = array(letter, data[: len(data) // struct.calcsize(f"={letter}") * struct.calcsize(f"={letter}")])
    if (layout.order == "<") != (sys.byteorder == "little"):
        found.byteswap()
    return found


def _entries(source: BinaryIO, layout: _Layout, at: int) -> tuple[list[tuple[int, int, int, bytes]], int]:
    order = layout.order
    source.seek(min(at, 2**62))
    count_form, form, size, next_form = ("Q", "HHQ8s", 20, "Q") if layout.big else ("H", "HHI4s", 12, "I")
    (count,) = struct.unpack(f"{order}{count_form}", source.read(struct.calcsize(f"={count_form}")))
    if not 0 < count <= MOST_TAGS:
        raise struct.error("no directory has so many entries")
    block = source.read(count * size)
    found = [struct.unpack_from(f"{order}{form}", block, n * size) for n in range(count)]
    if layout.ndpi:
        next_form = "Q"
    rest = source.read(struct.calcsize(f"={next_form}"))
    following = struct.unpack(f"{order}{next_form}", rest)[0] if len(rest) == struct.calcsize(f"={next_form}") else 0
    if layout.ndpi:
        upper = source.read(4 * count).ljust(4 * count, b"\0")
        found = [(*each[:3], each[3] + upper[4 * n : 4 * n + 4]) for n, each in enumerate(found)]
    return found, int(following)


def _far_end(layout: _Layout, kind: int, count: int, inline: bytes) -> int:
    """Return where a value ends that does not stand in its entry; 0 for one that does."""
    size = struct.calcsize(f"={_TYPES[kind]}") * count if kind in _TYPES else 0
    return _pointer(layout, inline) + size if size > (4 if layout.ndpi else len(inline)) else 0


def _pointer(layout: _Layout, inline: bytes) -> int:
    return int(struct.unpack(f"{layout.order}{'Q' if len(inline) == 8 else 'I'}", inline)[0])


def _bytes(source: BinaryIO, layout: _Layout, size: int, inline: bytes) -> bytes:
    """Return a value's bytes: in the entry itself when they fit; the upper halves of NDPI only lengthen offsets."""
    if size <= (4 if layout.ndpi else len(inline)):
        return inline[:size]
    source.seek(min(_pointer(layout, inline), 2**62))
    return source.read(size)


def _value(source: BinaryIO, layout: _Layout, kind: int, count: int, inline: bytes) -> Value | None:
    """Return a tag's text or numbers; None when the type is unknown or it is absurdly long."""
    letters = _TYPES.get(kind)
    if letters is None or not count:
        return None
    item = struct.calcsize(f"={letters}")
    if item * count > (MOST_TEXT if letters in "sB" else 32_768):
        return None
    data = _bytes(source, layout, item * count, inline)
    if letters in "sB":
        return data
    flat = struct.unpack_from(f"{layout.order}{letters * (len(data) // item)}", data)
    return tuple(_ratios(flat)) if len(letters) > 1 else flat


def _ratios(flat: tuple[float, ...]) -> Iterator[float]:
    for n in range(0, len(flat) - 1, 2):
        yield flat[n] / flat[n + 1] if flat[n + 1] else 0.0
