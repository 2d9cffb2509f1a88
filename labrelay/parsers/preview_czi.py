"""A small view of one plane of a scene of a Zeiss CZI, out of the level of its pyramid that is just large enough.

Blocks of pixels are taken one at a time, so that a mosaic of many gigabytes needs the memory of one of its tiles.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labrelay.model.names import printable
from labrelay.parsers.czi_file import Block, read_czi
from labrelay.parsers.listing import open_regular
from labrelay.parsers.preview import EDGE, MOST_BYTES, SEGMENT, Preview, Unseen, Values, Where, spend

MOST_TILES = 4_000
MOST_LINE = 16 * 1024 * 1024
_LINES = 8  # of those that one row of the view covers: enough against noise, and the rest need not be read
_RAW, _JPEG, _JPEG_XR, _ZSTD, _ZSTD_HEAD = 0, 1, 4, 5, 6
# Pixel type: how a value is stored, and values a pixel; colours are stored from blue to red.
_TYPES = {
    0: ("u1", 1), 1: ("<u2", 1), 2: ("<f4", 1), 3: ("u1", 3), 4: ("<u2", 3), 8: ("<f4", 3), 9: ("u1", 4),
    12: ("<i4", 1), 13: ("<f8", 1),
}  # fmt: skip


class _Canvas(NamedTuple):
    """The view while it is filled: which pixels of the image stand in its rows and columns."""

    values: Values
    ys: NDArray[np.int64]
    xs: NDArray[np.int64]


def preview_czi(root: Path, path: str, where: Where, edge: int = EDGE) -> Preview | str:
    """Return a small view of one plane of a file, or the sentence that says why there is none.

    Args:
        root: The folder that was listed.
        path: Below it.
        where: The plane; its series is the scene's place among those of the file.
        edge: Most pixels a side.
    """
    try:
        with os.fdopen(open_regular(root, path), "rb") as source:
            blocks = _plane(read_czi(source).blocks, where)
            return _view(source, blocks, edge)
    except ImportError:
        return "pictures need the extra: pip install 'labrelay[imaging]'"
    except Unseen as why:
        reason = str(why)
    except Exception as bad:
        # What damaged bytes make of a decoder takes nothing else away.
        reason = f"it is damaged or of a kind that is not read ({printable(str(bad) or type(bad).__name__, 120)})"
    return f"no picture of {printable(path.rpartition('/')[2], 80)}: {reason}"


def _plane(blocks: Sequence[Block], where: Where) -> list[Block]:
    """Return the blocks of one plane, at all levels; the plane nearest to the one that is asked for."""
    scenes = sorted({block.scene for block in blocks})
    if not scenes:
        raise Unseen("it holds no pixels")
    mine = [block for block in blocks if block.scene == scenes[min(where.series, len(scenes) - 1)]]
    for axis, wanted in (("c", where.c), ("z", where.z), ("t", where.t)):
        places = sorted({getattr(block, axis) for block in mine})
        place = places[len(places) // 2 if wanted is None else min(wanted, len(places) - 1)]
        mine = [block for block in mine if getattr(block, axis) == place]
    return mine


def _view(source: BinaryIO, blocks: list[Block], edge: int) -> Preview:
    left, top = min(block.x for block in blocks), min(block.y for block in blocks)
    width = max(block.x + block.width for block in blocks) - left
    height = max(block.y + block.height for block in blocks) - top
    scales = sorted({block.scale for block in blocks})
    scale = max((each for each in scales if max(width, height) / each >= edge), default=scales[0])
    # Several may name one place, which is read once all the same.
    chosen = list({block.position: block for block in blocks if block.scale == scale}.values())
    if len(chosen) > MOST_TILES:
        raise Unseen(
            f"its smallest level has {len(chosen):,} tiles, and no picture is made of more than {MOST_TILES:,}"
        )
    step = max(1.0, max(width, height) / edge)
    rows, columns = max(1, int(height / step)), max(1, int(width / step))
    kinds = {block.pixel for block in chosen}
    if len(kinds) > 1 or chosen[0].pixel not in _TYPES:
        raise Unseen("its pixels are no numbers that can be shown")
    samples = _TYPES[chosen[0].pixel][1]
    ys = (top + (np.arange(rows) + 0.5) * step).astype(np.int64).clip(max=top + height - 1)
    xs = (left + (np.arange(columns) + 0.5) * step).astype(np.int64).clip(max=left + width - 1)
    canvas = _Canvas(np.zeros((rows, columns, samples), np.float32), ys, xs)
    left = MOST_BYTES
    for block in chosen:
        left = _place(source, block, canvas, step / scale, left)
    return _shown(canvas.values, width, height)


def _shown(values: Values, width: int, height: int) -> Preview:
    values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    if values.shape[2] == 1:
        return Preview(values[:, :, 0], width, height)
    colours = values[:, :, 2::-1]
    if colours.max() > 255:
        colours = colours * np.float32(255.0 / colours.max())
    return Preview(colours, width, height, colour=True)


def _place(source: BinaryIO, block: Block, canvas: _Canvas, step: float, left: int) -> int:
    """Put a block's share of the view in its place, and return how many bytes may still be read.

    Args:
        source: The file.
        block: Of the level that is shown.
        canvas: The view.
        step: How many of the block's own pixels one of the view covers.
        left: Bytes that may be read.
    """
    inside_y = np.flatnonzero((canvas.ys >= block.y) & (canvas.ys < block.y + block.height))
    inside_x = np.flatnonzero((canvas.xs >= block.x) & (canvas.xs < block.x + block.width))
    if not len(inside_y) or not len(inside_x):
        return left
    if block.stored_width > block.width or block.stored_height > block.height:
        raise Unseen("one of its blocks of pixels is larger than its place in the image")
    start, size = _pixels_of(source, block)
    fine = max(1, int(step))
    ys = (canvas.ys[inside_y] - block.y) * block.stored_height // block.height // fine
    xs = (canvas.xs[inside_x] - block.x) * block.stored_width // block.width // fine
    rows = ys.clip(max=max(1, block.stored_height // fine) - 1)
    plain = block.compression == _RAW
    kind, samples = _TYPES[block.pixel]
    line = block.stored_width * samples * np.dtype(kind).itemsize
    lines = len(rows) * min(fine, _LINES, block.stored_height) if plain else block.stored_height
    left = spend(left, max(line * lines, 0 if plain else size))
    means = _means_of_rows if plain else _means_of_whole
    values = means(source, block, (start, size), fine, rows)
    canvas.values[np.ix_(inside_y, inside_x)] = values[:, xs.clip(max=values.shape[1] - 1)]
    return left


def _pixels_of(source: BinaryIO, block: Block) -> tuple[int, int]:
    """Return where a block's pixels begin and how many bytes they are."""
    source.seek(min(block.position, 2**62))
    head = source.read(48)
    if len(head) < 48 or not head.startswith(b"ZISRAWSUBBLOCK"):
        raise Unseen("one of its blocks of pixels is not where its directory says")
    metadata, _attachment, size = struct.unpack_from("<iiq", head, 32)
    if size < 0 or metadata < 0:
        raise Unseen("one of its blocks of pixels has no length")
    return block.position + 32 + max(256, 16 + block.entry) + metadata, size


def _means_of_rows(
    source: BinaryIO, block: Block, place: tuple[int, int], fine: int, rows: NDArray[np.int64]
) -> Values:
    """Return rows of means of a block that is not packed: only lines that the view needs are read."""
    kind, samples = np.dtype(_TYPES[block.pixel][0]), _TYPES[block.pixel][1]
    line = block.stored_width * samples * kind.itemsize
    if line > MOST_LINE or line * block.stored_height > place[1]:
        raise Unseen("one of its blocks of pixels is shorter than it says")
    wide, fine_x = max(1, block.stored_width // fine), min(fine, block.stored_width)
    lines = min(fine, _LINES, block.stored_height)
    found: Values = np.zeros((len(rows), wide, samples), np.float32)
    for number, row in enumerate(rows.tolist()):
        source.seek(place[0] + row * fine * line)
        data = source.read(lines * line)
        if len(data) < lines * line:
            raise Unseen("it ends too early, so it has not come whole")
        pixels = np.frombuffer(data, kind).reshape(lines, block.stored_width, samples)[:, : wide * fine_x]
        found[number] = pixels.reshape(lines, wide, fine_x, samples).mean(axis=(0, 2), dtype=np.float32)
    return found


def _means_of_whole(
    source: BinaryIO, block: Block, place: tuple[int, int], fine: int, rows: NDArray[np.int64]
) -> Values:
    """Return rows of means of a packed block, which has to be unpacked whole."""
    kind, samples = np.dtype(_TYPES[block.pixel][0]), _TYPES[block.pixel][1]
    length = block.stored_width * block.stored_height * samples * kind.itemsize
    if max(length, place[1]) > SEGMENT:
        raise Unseen(f"one of its tiles has {length // 2**20:,} MiB, which is too much to unpack for it")
    source.seek(place[0])
    frame = np.empty((block.stored_height, block.stored_width, *([samples] if samples > 1 else [])), kind)
    data = _unpacked(source.read(place[1]), block.compression, frame)
    if len(data) < length:
        raise Unseen("one of its blocks of pixels is shorter than it says")
    shape = (block.stored_height, block.stored_width, samples)
    pixels = np.frombuffer(data, kind, length // kind.itemsize).reshape(shape)
    tall, wide = max(1, block.stored_height // fine), max(1, block.stored_width // fine)
    fine_y, fine_x = min(fine, block.stored_height), min(fine, block.stored_width)
    kept = pixels[: tall * fine_y, : wide * fine_x].reshape(tall, fine_y, wide, fine_x, samples)
    found: Values = kept.mean(axis=(1, 3), dtype=np.float32)[rows]
    return found


def _unpacked(data: bytes, compression: int, frame: NDArray[Any]) -> bytes:
    """Return the bytes of a packed block; what does not unpack to an array like `frame` is not unpacked."""
    import imagecodecs

    if compression in (_ZSTD, _ZSTD_HEAD):
        start, split = (0, False) if compression == _ZSTD else _zstd_head(data)
        plain = bytes(imagecodecs.zstd_decode(data[start:], out=frame.nbytes))
        # The low and the high bytes of 16-bit values may lie apart, because that packs better.
        return np.frombuffer(plain, np.uint8).reshape(2, -1).T.tobytes() if split and frame.itemsize == 2 else plain
    if compression in (_JPEG, _JPEG_XR):
        decode = imagecodecs.jpeg8_decode if compression == _JPEG else imagecodecs.jpegxr_decode
        pixels = np.asarray(decode(data, out=frame))
        # These decoders give red first, and a CZI that is not packed has blue first.
        return (pixels[:, :, ::-1] if pixels.ndim == 3 and pixels.shape[2] == 3 else pixels).tobytes()
    raise Unseen(f"its pixels are packed in a way that is not read (number {compression})")


def _zstd_head(data: bytes) -> tuple[int, bool]:
    """Return how long the head of a packed block is, and whether its bytes lie apart."""
    length = data[0] if data else 0
    return length, length >= 3 and data[1] == 1 and bool(data[2] & 1)
