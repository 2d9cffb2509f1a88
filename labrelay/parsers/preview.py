"""A small view of an image plane, in bounded memory: the pixels of a grid are taken out of strips, tiles or rows.

A TIFF of many gigabytes is never read whole: of a plain one only the rows of the grid are, of a packed one a strip or
a tile at a time, and of a pyramid its smallest level that is large enough. What a file says of itself is not trusted.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from labrelay.model.names import printable
from labrelay.parsers.listing import open_regular

EDGE = 256
# What is decoded at once, in bytes; a small image is taken whole, so that its pixels can be averaged.
WHOLE = 64 * 1024 * 1024
SEGMENT = 128 * 1024 * 1024
MOST_SEGMENTS = 200_000
MOST_BYTES = 1024 * 1024 * 1024  # read or unpacked for one view, where parts of a file may be named again and again
LOW, HIGH = 1.0, 99.8
Values = NDArray[np.float32]
# A damaged file is told in one sentence with its name; the library's own lines go to a log that somebody asked for.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Preview:
    """A small view.

    Attributes:
        values: Rows × columns, or × 3 for colour, at most `edge` a side; as measured, not stretched.
        width, height: Of the plane that it is of.
        colour: Whether it has red, green and blue, of 0 to 255.
    """

    values: Values
    width: int
    height: int
    colour: bool = False

    @property
    def window(self) -> tuple[float, float]:
        """The percentiles between which a plane is shown."""
        return window_of([self.values])


@dataclass(frozen=True)
class Where:
    """Which plane, from 0; z None is the middle one. `series` is which image of a file that holds several."""

    c: int = 0
    z: int | None = None
    t: int = 0
    series: int = 0


class Unseen(Exception):
    """Why there is no picture, as half a sentence."""


def spend(left: int, length: int) -> int:
    """Return how many bytes a view may still read when it has read so many.

    Raises:
        Unseen: It may not.
    """
    if length > left:
        raise Unseen(f"more than {MOST_BYTES // 2**20:,} MiB would have to be read for it")
    return left - length


def preview_tiff(root: Path, path: str, page: int = 0, edge: int = EDGE) -> Preview | str:
    """Return a small view of one page of a TIFF, or the sentence that says why there is none.

    Args:
        root: The folder that was listed.
        path: Below it.
        page: From 0.
        edge: Most pixels a side.
    """
    try:
        import tifffile
    except ImportError:
        return "pictures need the extra: pip install 'labrelay[imaging]'"
    # NDPI writes offsets of eight bytes into a classic TIFF; its reader goes by the ending.
    name = "plane.ndpi" if path.lower().endswith(".ndpi") else "plane"
    try:
        with os.fdopen(open_regular(root, path), "rb") as source, tifffile.TiffFile(source, name=name) as file:
            return _page(source, _level(_page_at(file, page), edge), edge)
    except Unseen as why:
        return f"no picture of {_shown(path)}: {why}"
    except Exception as bad:
        # Damaged files make readers and decoders raise anything; none of it may take the page away.
        reason = printable(str(bad) or type(bad).__name__, 120)
        return f"no picture of {_shown(path)}: it is damaged or of a kind that is not read ({reason})"


def _shown(path: str) -> str:
    return printable(path.rpartition("/")[2], 80)


def _page_at(file: Any, page: int) -> Any:
    try:
        return file.pages[page]
    except IndexError:
        if page == 0:
            raise Unseen("it is damaged, and no whole image is in it; copy it again") from None
        raise Unseen(f"its plane {page + 1:,} is not in it; see whether it has come whole") from None


def _level(page: Any, edge: int) -> Any:
    """Return the smallest reduced copy below a page that is still as large as the view, or the page."""
    page = page.aspage()
    levels = [each.aspage() for each in list(page.pages or ())[:16]]
    large = [each for each in levels if max(each.imagelength, each.imagewidth) >= edge]
    return min(large, key=lambda each: each.imagelength * each.imagewidth, default=page)


def _page(source: BinaryIO, page: Any, edge: int) -> Preview:
    height, width, samples = int(page.imagelength), int(page.imagewidth), int(page.samplesperpixel)
    if page.dtype is None or page.dtype.kind not in "uif" or height < 1 or width < 1:
        raise Unseen("its pixels are no numbers that can be shown")
    if page.imagedepth > 1 or (samples > 1 and page.planarconfig != 1):
        raise Unseen("its pixels lie in an order that is not read here")
    size = os.fstat(source.fileno()).st_size
    _there(page, size)
    whole = height * width * samples * page.dtype.itemsize
    if whole <= WHOLE and _decoded(page) <= SEGMENT:
        values = averaged(np.asarray(page.asarray()).reshape(height, width, samples), edge)
    else:
        values = _sampled(source, page, edge)
    colour = samples in (3, 4) and page.photometric in (2, 6)
    shown = values[:, :, :3] if colour else values[:, :, 0]
    if colour and page.dtype.itemsize > 1:
        shown = shown * np.float32(255.0 / max(1.0, float(shown.max())))
    if page.photometric == 0:
        shown = shown.max() - shown
    return Preview(np.nan_to_num(shown, posinf=0.0, neginf=0.0), width, height, colour)


def _there(page: Any, size: int) -> None:
    """Refuse a page whose data do not lie in the file."""
    if not page.dataoffsets or len(page.dataoffsets) != len(page.databytecounts):
        raise Unseen("it says nowhere where its pixels are")
    if len(page.dataoffsets) > MOST_SEGMENTS * 20:
        raise Unseen("it claims to have more strips than any image has")
    last = max(offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True))
    if last > size:
        raise Unseen(f"it ends {last - size:,} bytes too early, so it has not come whole")


def _decoded(page: Any) -> int:
    """Return the bytes of one strip or tile when it is decoded."""
    if page.is_tiled:
        return int(page.tilelength * page.tilewidth * page.samplesperpixel * page.dtype.itemsize)
    rows = min(int(page.rowsperstrip or page.imagelength), int(page.imagelength))
    return int(rows * page.imagewidth * page.samplesperpixel * page.dtype.itemsize)


def averaged(pixels: NDArray[Any], edge: int) -> Values:
    """Return the mean of each block of pixels, so that a view is less noisy than the plane."""
    height, width, samples = pixels.shape
    step = max(1, -(-max(height, width) // edge))
    rows, columns = max(1, height // step), max(1, width // step)
    step_y, step_x = min(step, height), min(step, width)
    kept = pixels[: rows * step_y, : columns * step_x]
    blocks = kept.reshape(rows, step_y, columns, step_x, samples)
    found: Values = blocks.mean(axis=(1, 3), dtype=np.float32)
    return found


def _sampled(source: BinaryIO, page: Any, edge: int) -> Values:
    """Return the pixels of a grid, out of a plane that is too large to be taken whole."""
    height, width, samples = int(page.imagelength), int(page.imagewidth), int(page.samplesperpixel)
    step = max(height, width) / edge
    ys = ((np.arange(max(1, int(height / step))) + 0.5) * step).astype(np.int64).clip(max=height - 1)
    xs = ((np.arange(max(1, int(width / step))) + 0.5) * step).astype(np.int64).clip(max=width - 1)
    out: Values = np.zeros((len(ys), len(xs), samples), np.float32)
    if _plain(page):
        for number, y in enumerate(ys):
            out[number] = _row(source, page, int(y))[xs]
        return out
    if _decoded(page) > SEGMENT:
        raise Unseen(f"its strips are of {_decoded(page) // 2**20:,} MiB each, which is too much to decode for it")
    for index, top, left, tall, wide in _segments(page):
        inside_y = np.flatnonzero((ys >= top) & (ys < top + tall))
        inside_x = np.flatnonzero((xs >= left) & (xs < left + wide))
        if len(inside_y) and len(inside_x):
            pixels = _segment(source, page, index)
            if pixels is not None:
                out[np.ix_(inside_y, inside_x)] = pixels[np.ix_(ys[inside_y] - top, xs[inside_x] - left)]
    return out


def _plain(page: Any) -> bool:
    """Return whether rows can be read where they lie: no compression, no tiles, whole bytes."""
    return (
        page.compression == 1
        and not page.is_tiled
        and page.predictor == 1
        and page.fillorder == 1
        and int(page.bitspersample) == 8 * page.dtype.itemsize
    )


def _row(source: BinaryIO, page: Any, y: int) -> NDArray[Any]:
    width, samples = int(page.imagewidth), int(page.samplesperpixel)
    length = width * samples * page.dtype.itemsize
    if length > SEGMENT:
        raise Unseen("its rows are longer than those of any image")
    rows = int(page.rowsperstrip or page.imagelength)
    strip = y // rows
    if strip >= len(page.dataoffsets) or (y % rows + 1) * length > page.databytecounts[strip]:
        raise Unseen("its strips hold fewer rows than it claims")
    source.seek(page.dataoffsets[strip] + (y % rows) * length)
    data = source.read(length)
    kind = page.dtype.newbyteorder(page.parent.byteorder)
    return np.frombuffer(data, kind).reshape(width, samples)


def _segments(page: Any) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield number, top, left, height and width of each strip or tile."""
    height, width = int(page.imagelength), int(page.imagewidth)
    tall = int(page.tilelength) if page.is_tiled else min(int(page.rowsperstrip or height), height)
    wide = int(page.tilewidth) if page.is_tiled else width
    if tall < 1 or wide < 1:
        raise Unseen("its tiles have no size")
    across = -(-width // wide)
    if across * -(-height // tall) > MOST_SEGMENTS:
        raise Unseen("it has more strips or tiles than are looked through for a picture")
    for index in range(across * -(-height // tall)):
        yield index, index // across * tall, index % across * wide, tall, wide


def _segment(source: BinaryIO, page: Any, index: int) -> NDArray[Any] | None:
    """Return a decoded strip or tile as rows × columns × samples; None for one that is left out as empty."""
    if index >= len(page.dataoffsets):
        raise Unseen("it has fewer strips or tiles than it claims")
    count = page.databytecounts[index]
    if count > SEGMENT:
        raise Unseen("one of its strips or tiles is too large to be decoded for it")
    if count == 0:
        return None
    source.seek(page.dataoffsets[index])
    pixels, _place, _shape = page.decode(source.read(count), index)
    return None if pixels is None else np.asarray(pixels)[0]


def window_of(planes: list[Values]) -> tuple[float, float]:
    """Return the percentiles between which planes of one channel are shown, so that wells can be compared."""
    together = np.concatenate([plane.ravel() for plane in planes])
    low, high = np.percentile(together, [LOW, HIGH])
    return float(low), float(high)


def to_bytes(values: Values, window: tuple[float, float]) -> NDArray[np.uint8]:
    """Return values as grey levels of 0 to 255 between two percentiles; all 0 where they are the same."""
    low, high = window
    if not high > low:
        return np.zeros(values.shape, np.uint8)
    found: NDArray[np.uint8] = (((values - low) * (255.0 / (high - low))).clip(0, 255)).astype(np.uint8)
    return found


def smaller(preview: Preview, edge: int) -> Preview:
    """Return a view of a view, its longer side of `edge` pixels or as it is: the mean over the area of each pixel."""
    height, width = preview.values.shape[:2]
    scale = min(1.0, edge / max(height, width))
    values = _shrunk(_shrunk(preview.values, max(1, round(height * scale)), 0), max(1, round(width * scale)), 1)
    return Preview(values, preview.width, preview.height, preview.colour)


def _shrunk(values: Values, count: int, axis: int) -> Values:
    """Return the means of so many parts of equal length along an axis; a part may begin and end within a pixel."""
    length = values.shape[axis]
    if count >= length:
        return values
    starts = np.linspace(0, length, count + 1)[:-1]
    first = starts.astype(np.int64)
    # Sums of each part alone: running ones would lose all that lies behind a pixel of 1e30.
    sums = np.add.reduceat(values, first, axis=axis, dtype=np.float64)
    part = (starts - first).reshape([-1 if each == axis else 1 for each in range(values.ndim)])
    # Of each part's first pixel what lies in the part before it; of the very first nothing.
    before = np.take(values, first, axis=axis) * part
    found: Values = ((sums - before + np.roll(before, -1, axis=axis)) * (count / length)).astype(np.float32)
    return found
