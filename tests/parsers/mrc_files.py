"""Makes small MRC files of every mode, for the tests of this room."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray


def mrc(
    data: NDArray[np.generic] | bytes,
    shape: tuple[int, int, int],
    mode: int,
    order: str = "<",
    cell: float = 10.0,
    ispg: int = 0,
    extended: bytes = b"",
    kind: bytes = b"\0\0\0\0",
    stamp: bool = True,
    mz: int | None = None,
) -> bytes:
    """Return a file of `shape` (x, y, z); `cell` is the edge of a voxel in Ångström, 0 for one that is not known."""
    nx, ny, nz = shape
    head = bytearray(1024)
    struct.pack_into(order + "10i", head, 0, nx, ny, nz, mode, 0, 0, 0, nx, ny, nz if mz is None else mz)
    struct.pack_into(order + "3f", head, 40, cell * nx, cell * ny, cell * nz)
    struct.pack_into(order + "2i", head, 88, ispg, len(extended))
    head[104:108] = kind
    if stamp:
        head[208:214] = b"MAP " + (b"\x44\x44" if order == "<" else b"\x11\x11")
    struct.pack_into(order + "i", head, 220, 1)
    head[224:236] = b"made by hand"
    body = data if isinstance(data, bytes) else data.tobytes()
    return bytes(head) + extended + body


def fei(order: str = "<") -> bytes:
    """Return one block of an extended header as EPU writes it: a Titan of 300 kV on 2025-01-08 at noon."""
    block = bytearray(768)
    struct.pack_into(order + "2iI", block, 0, 768, 0, 0xFFFFFFFF)
    texts = (b"TITAN", b"D3632", b"EPU", b"3.9.1")
    struct.pack_into(order + "d16s16s16s16sddd", block, 12, 45665.5, *texts, 300_000.0, 0.0, 1.5)
    struct.pack_into(order + "2d", block, 156, 1.06e-10, 1.06e-10)
    return bytes(block)
