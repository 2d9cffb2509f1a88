"""A small grey picture of a micrograph, for people to look at: one plane of an MRC file, in bounded memory.

Some rows of each strip are read and averaged as they come. The file is read and not mapped: a mapped file that is
cut while somebody looks at it ends the whole process.
"""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from labrelay.model.problem import Problem
from labrelay.parsers.listing import open_regular
from labrelay.parsers.mrc_header import HEAD, MrcHeader, parse_mrc_header
from labrelay.parsers.text import error, warning

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDE = 256
_ROWS = 8  # of a strip: with all columns enough against noise, and most of the reading is saved
_MAX_ROW = 4 * 1024 * 1024
_MAX_PIXELS = 4_000_000  # of a strip, as numbers of eight bytes
_TYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}


def micrograph_preview(path: Path, side: int = SIDE) -> NDArray[np.float32] | Problem:
    """Return a small view of an MRC file's middle plane, the first row on top, or the problem with the file.

    Of a movie that is one frame, of a tilt series an image of its middle, of a volume its middle slice.
    Neighbouring pixels are averaged.

    Args:
        path: The file; it may not be compressed.
        side: Most pixels of the picture's longer edge.

    Returns:
        `float32` of shape (rows, columns), neither longer than `side`, in the units of the file.
    """
    name = path.name
    try:
        with FileIO(open_regular(path.parent, name)) as source:
            size = os.fstat(source.fileno()).st_size
            header, problems = parse_mrc_header(source.read(HEAD) or b"", size, name)
            bad = next((each for each in problems if header is None or each.code == "TRUNCATED"), None)
            if header is None or bad is not None:
                return bad or error("BAD_HEADER", "it has no header that is understood here", name)
            unable = _unable(header, name)
            return unable if unable is not None else _picture(source, header, side)
    except OSError as wrong:
        reason = os.strerror(wrong.errno) if wrong.errno else str(wrong)
        return error("UNREADABLE", f"it cannot be read: {reason}; check the path and its rights", name)


def _unable(header: MrcHeader, name: str) -> Problem | None:
    if header.mode not in _TYPES and header.mode != 101:
        text = f"pixels of mode {header.mode} ({header.pixel_type}) have no grey value, so there is no picture of it"
        return warning("NO_PREVIEW", text, name)
    if header.row > _MAX_ROW:
        text = f"one row of it has {header.row:,} bytes, and no picture is made of more than {_MAX_ROW:,}"
        return warning("NO_PREVIEW", text, name)
    return None


def _picture(source: FileIO, header: MrcHeader, side: int) -> NDArray[np.float32]:
    import numpy as np

    step = -(-max(header.nx, header.ny) // max(side, 1))
    columns, rows = -(-header.nx // step), -(-header.ny // step)
    start = header.offset + header.plane * (header.nz // 2)
    picture = np.zeros((rows, columns), dtype=np.float64)
    most = max(1, min(step, _ROWS, _MAX_PIXELS // header.nx))
    for row in range(rows):
        top = row * step
        source.seek(start + top * header.row)
        data = source.read(min(most, header.ny - top) * header.row) or b""
        strip = _pixels(data, header)
        if strip.size:
            edges = np.arange(0, header.nx, step)
            widths = np.diff(np.append(edges, header.nx))
            picture[row] = np.add.reduceat(strip.mean(axis=0), edges) / widths
    # The origin of MRC is the lower left corner.
    return picture[::-1].astype(np.float32)


def _pixels(data: bytes, header: MrcHeader) -> NDArray[np.float64]:
    """Return whole rows of pixels as numbers; what is no number counts as 0."""
    import numpy as np

    whole = len(data) // header.row
    raw = np.frombuffer(data, dtype=np.uint8, count=whole * header.row).reshape(whole, header.row)
    if header.mode == 101:
        # Two pixels a byte, the lower half first.
        pairs = np.stack((raw & 15, raw >> 4), axis=-1).reshape(whole, -1)
        return pairs[:, : header.nx].astype(np.float64)
    kind = np.dtype("u1" if header.unsigned else _TYPES[header.mode]).newbyteorder(header.order)  # type: ignore[arg-type]
    numbers: NDArray[np.float64] = raw.reshape(-1).view(kind).reshape(whole, header.nx).astype(np.float64)
    numbers[~np.isfinite(numbers)] = 0.0
    return numbers
