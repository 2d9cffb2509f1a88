"""A small view of one plane of an image in a Leica LIF: only the rows that the view needs are read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from labrelay.model.names import printable
from labrelay.parsers.lif import open_lif
from labrelay.parsers.lif_metadata import LifImage
from labrelay.parsers.listing import open_regular
from labrelay.parsers.preview import EDGE, MOST_BYTES, Preview, Unseen, Values, Where, spend

MOST_ROW = 16 * 1024 * 1024
_ROWS = 8  # of those that one row of the view covers: enough against noise, and the rest need not be read


def preview_lif(root: Path, path: str, where: Where, edge: int = EDGE) -> Preview | str:
    """Return a small view of one plane of an image, or the sentence that says why there is none.

    Args:
        root: The folder that was listed.
        path: Below it.
        where: The plane; its series is the image's place in the file.
        edge: Most pixels a side.
    """
    try:
        with os.fdopen(open_regular(root, path), "rb") as source:
            file, _xml, images, _problems = open_lif(source, path)
            if where.series >= len(images):
                raise Unseen("it holds no such image")
            image = images[where.series]
            start, length = file.blocks.get(image.block, (0, 0))
            return _view(source, image, (start, start + length), where, edge)
    except Unseen as why:
        reason = str(why)
    except Exception as bad:
        # What damaged bytes make of the arithmetic takes nothing else away.
        reason = f"it is damaged or of a kind that is not read ({printable(str(bad) or type(bad).__name__, 120)})"
    return f"no picture of {printable(path.rpartition('/')[2], 80)}: {reason}"


def _view(source: BinaryIO, image: LifImage, bounds: tuple[int, int], where: Where, edge: int) -> Preview:
    if image.frame is None:
        raise Unseen("it is a line and no plane")
    down, across = image.frame
    kind = np.dtype(f"<{'f' if image.floating else 'u'}{image.bits // 8}")
    if across.count * across.stride > MOST_ROW or across.stride < kind.itemsize:
        raise Unseen("its rows are of a length that no image has")
    step = max(1, -(-max(down.count, across.count) // edge))
    rows, columns = max(1, down.count // step), max(1, across.count // step)
    offsets = [image.channels[image.tags.index(tag)] for tag in (1, 2, 3)] if image.colour else [_channel(image, where)]
    # Rows may lie anywhere, all of them at one place, too, so the file's length bounds nothing.
    spend(MOST_BYTES, rows * min(step, _ROWS) * len(offsets) * across.count * across.stride)
    first = bounds[0] + _place(image, where)
    values: Values = np.zeros((rows, columns, len(offsets)), np.float32)
    for row in range(rows):
        for line in range(min(step, _ROWS, down.count - row * step)):
            at = first + (row * step + line) * down.stride
            values[row] += _row(source, at, bounds[1], offsets, across.count, across.stride, kind, columns, step)
        values[row] /= min(step, _ROWS, down.count - row * step)
    values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    if not image.colour:
        return Preview(values[:, :, 0], across.count, down.count)
    scale = np.float32(1.0 if image.bits == 8 else 255.0 / max(1.0, float(values.max())))
    return Preview(values * scale, across.count, down.count, colour=True)


def _channel(image: LifImage, where: Where) -> int:
    return image.channels[min(where.c, len(image.channels) - 1)]


def _place(image: LifImage, where: Where) -> int:
    """Return how many bytes behind the image's beginning a plane begins; of axes that nobody asks for the first."""
    at = 0
    for axis in image.axes[2:]:
        wanted = {3: axis.count // 2 if where.z is None else where.z, 4: where.t}.get(axis.id, 0)
        at += min(wanted, axis.count - 1) * axis.stride
    return at


def _row(
    source: BinaryIO, at: int, end: int, offsets: list[int], count: int, stride: int, kind: np.dtype[np.generic],
    columns: int, step: int,
) -> NDArray[np.float32]:  # fmt: skip
    """Return one row of a plane, neighbours averaged: columns of the view × channels."""
    length = (count - 1) * stride + kind.itemsize
    found = np.zeros((columns, len(offsets)), np.float32)
    for number, offset in enumerate(offsets):
        if at + offset < 0 or at + offset + length > end:
            raise Unseen("its pixels do not lie where its description says, so it may not have come whole")
        source.seek(at + offset)
        data = source.read(length)
        if len(data) < length:
            raise Unseen("it ends too early, so it has not come whole")
        line = np.ndarray((count,), kind, data, strides=(stride,))
        wide = min(step, count)
        found[:, number] = line[: columns * wide].reshape(columns, wide).mean(axis=1, dtype=np.float32)
    return found
