"""The structure of a Leica LIF, read by ourselves: its XML and the blocks of memory that hold the pixels.

As the Leica Image File Format stands in the open readers and in real files of LAS AF and LAS X: blocks that begin
with 0x70, each with a text of two-byte characters; the first holds the XML, each other the name of a block of memory
and, behind it, its bytes. A file may lie about all of it, so everything is bounded and nothing is trusted.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

MAGIC = b"\x70\0\0\0"
MOST_XML = 32 * 1024 * 1024  # as two-byte characters
MOST_BLOCKS = 100_000
_MARK = 0x2A


class BadLif(Exception):
    """Why a file cannot be read as a LIF, as half a sentence."""


class CutLif(BadLif):
    """It ends before what it says of itself."""


@dataclass(frozen=True)
class LifFile:
    """What the structure says.

    Attributes:
        xml: UTF-8.
        blocks: Where the bytes of each block of memory begin and how many of them are here, by its name.
        whole: Whether every block lies within the file.
    """

    xml: bytes
    blocks: Mapping[str, tuple[int, int]]
    whole: bool


def is_lif(head: bytes) -> bool:
    """Return whether a file's first bytes are those of a LIF."""
    return len(head) >= 13 and head.startswith(MAGIC) and head[8] == _MARK


def read_lif(source: BinaryIO) -> LifFile:
    """Return the structure of an open LIF.

    Raises:
        BadLif: It is none, or is cut within its XML (`CutLif`).
    """
    size = os.fstat(source.fileno()).st_size
    head = source.read(13)
    if not is_lif(head):
        raise BadLif("it does not begin as a LIF does")
    length, characters = struct.unpack("<i", head[4:8])[0], struct.unpack("<i", head[9:13])[0]
    if characters < 0 or 2 * characters > MOST_XML:
        raise BadLif("its description is longer than is read here")
    text = source.read(2 * characters)
    if len(text) < 2 * characters:
        raise CutLif("it ends within its own description, so it has not come whole")
    blocks, whole = _blocks(source, 8 + max(length, 5 + 2 * characters), size)
    return LifFile(text.decode("utf-16-le", "replace").encode("utf-8", "replace"), blocks, whole)


def _blocks(source: BinaryIO, at: int, size: int) -> tuple[dict[str, tuple[int, int]], bool]:
    found: dict[str, tuple[int, int]] = {}
    while at < size and len(found) < MOST_BLOCKS:
        block = _block(source, at)
        if block is None:
            return found, False
        name, start, length = block
        found.setdefault(name, (start, min(length, max(0, size - start))))
        at = start + length
    return found, at <= size


def _block(source: BinaryIO, at: int) -> tuple[str, int, int] | None:
    """Return the name of a block of memory, where its bytes begin, and how many they are; None for what is none."""
    source.seek(at)
    head = source.read(9)
    if len(head) < 9 or not head.startswith(MAGIC) or head[8] != _MARK:
        return None
    # Version 1 counts the bytes in four bytes, version 2 in eight; the mark behind them tells which it is.
    rest = source.read(13)
    for form, length in (("<qBi", 13), ("<iBi", 9)):
        if len(rest) >= length:
            count, mark, characters = struct.unpack(form, rest[:length])
            if mark == _MARK and 0 <= characters <= 1024 and count >= 0:
                source.seek(at + 9 + length)
                name = source.read(2 * characters)
                if len(name) < 2 * characters:
                    return None
                return name.decode("utf-16-le", "replace"), at + 9 + length + 2 * characters, count
    return None
