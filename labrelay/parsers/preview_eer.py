"""A small view of an EER movie: a few of its frames, one after the other, and the sum of their electrons."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from labrelay.model.names import printable
from labrelay.parsers.listing import open_regular
from labrelay.parsers.preview import EDGE, Preview, Unseen, Where, averaged

FRAMES = 8  # a frame alone holds an electron in every fiftieth pixel or so, which is no picture yet
MOST_PIXELS = 80_000_000  # of a frame, at twice the edge of the largest camera
ALL_PIXELS = FRAMES * 4096 * 4096


def preview_eer(root: Path, path: str, where: Where, edge: int = EDGE) -> Preview | str:
    """Return a small view of a movie, or the sentence that says why there is none.

    Args:
        root: The folder that was listed.
        path: Below it.
        where: The frame at which the sum begins.
        edge: Most pixels a side.
    """
    try:
        import tifffile
    except ImportError:
        return "pictures need the extra: pip install 'labrelay[imaging]'"
    try:
        with os.fdopen(open_regular(root, path), "rb") as source, tifffile.TiffFile(source, name="movie") as file:
            return _summed(file, where.t, os.fstat(source.fileno()).st_size, edge)
    except Unseen as why:
        reason = str(why)
    except Exception as bad:
        # What damaged bytes make of a decoder takes nothing else away.
        reason = f"it is damaged or of a kind that is not read ({printable(str(bad) or type(bad).__name__, 120)})"
    return f"no picture of {printable(path.rpartition('/')[2], 80)}: {reason}"


def _summed(file: Any, first: int, size: int, edge: int) -> Preview:
    total = None
    height, width = int(file.pages[0].imagelength), int(file.pages[0].imagewidth)
    if height < 1 or width < 1 or height * width > MOST_PIXELS:
        raise Unseen("its frames are larger than those of any camera")
    count = len(file.pages)
    frames = max(1, min(FRAMES, ALL_PIXELS // (height * width)))
    start = min(first, max(0, count - frames))
    for number in range(start, min(start + frames, count)):
        page = file.pages[number].aspage()
        if (int(page.imagelength), int(page.imagewidth)) != (height, width):
            break  # the sum that some programs write behind the frames
        if any(at + length > size for at, length in zip(page.dataoffsets, page.databytecounts, strict=False)):
            raise Unseen("it ends too early, so it has not come whole")
        frame = averaged(np.asarray(page.asarray()).reshape(height, width, 1), edge)[:, :, 0]
        total = frame if total is None else total + frame
    if total is None:
        raise Unseen("it holds no frame")
    return Preview(total, width, height)
