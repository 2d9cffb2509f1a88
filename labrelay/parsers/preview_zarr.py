"""A small view of a plane of an OME-Zarr image: the chunks of its smallest level that is large enough are decoded.

After the Zarr specifications 2 and 3, with the codecs that images are written with. Chunks are bounded by what the
array says they hold, and one that is not there is full of the fill value.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.parsers.listing import open_regular, read_small
from labrelay.parsers.ngff import axes_of, keys_of
from labrelay.parsers.preview import EDGE, MOST_SEGMENTS, WHOLE, Preview, Unseen, Where, averaged
from labrelay.parsers.zarr_groups import Array, Json, array_of, objects, text_of, whole_numbers

Pixel = TypeVar("Pixel", bound=np.generic)
SHARD = 256 * 1024 * 1024
MOST_UNPACKED = 1024**3  # bytes of all chunks of a picture: a chunk may hold many planes beside the one that is shown
_MISSING = 2**64 - 1


def preview_zarr(root: Path, folder: str, where: Where, edge: int = EDGE) -> Preview | str:
    """Return a small view of one plane of an image, or the sentence that says why there is none.

    Args:
        root: The folder that was listed.
        folder: The image's group below it; `.` for the root itself.
        where: The plane.
        edge: Most pixels a side.
    """
    try:
        return _view(root, "" if folder == "." else folder, where, edge)
    except Unseen as why:
        return f"no picture of {printable(folder, 80)}: {why}"
    except Exception as bad:
        # Damaged chunks make decoders raise anything; none of it may take the page away.
        reason = printable(str(bad) or type(bad).__name__, 120)
        return f"no picture of {printable(folder, 80)}: it is damaged or of a kind that is not read ({reason})"


def _view(root: Path, folder: str, where: Where, edge: int) -> Preview:
    keys = keys_of(_attributes(root, folder))[0]
    scales = next(iter(objects(keys.get("multiscales"))), {})
    paths = [path for each in objects(scales.get("datasets")) if (path := text_of(each.get("path")))]
    arrays = [(path, array) for path in paths[:32] if (array := _array(root, _below(folder, path))) is not None]
    if not arrays:
        raise Unseen("it has no array that is here")
    full = arrays[0][1]
    axes = axes_of(scales, len(full.shape))
    if axes[-2:] != ["y", "x"] or len(axes) != len(full.shape):
        raise Unseen("its last two axes are not y and x")
    path, array = next((each for each in reversed(arrays) if max(each[1].shape[-2:]) >= edge), arrays[0])
    plane = _plane(root, _below(folder, path), array, _index(axes, array, full, where))
    values = averaged(plane[:, :, np.newaxis], edge)[:, :, 0]
    return Preview(np.nan_to_num(values, posinf=0.0, neginf=0.0), full.shape[-1], full.shape[-2])


def sizes_of(root: Path, folder: str) -> dict[str, int]:
    """Return how large an image is along each of its axes, in their order; the last two are `y` and `x`.

    Args:
        root: The folder that the hierarchy lies in.
        folder: The image's group below it; `.` for the root itself.

    Raises:
        Unseen: It is no image whose array is here.
    """
    axes, _path, array = _largest(root, "" if folder == "." else folder)
    return dict(zip(axes, array.shape, strict=True))


def full_plane(root: Path, folder: str, at: Mapping[str, int]) -> NDArray[np.generic]:
    """Return a plane of an image as it is, in its own type; memory is that of the plane and of a chunk.

    Args:
        root: The folder that the hierarchy lies in.
        folder: The image's group below it; `.` for the root itself.
        at: Its place from 0 along the axes before `y` and `x`; 0 along those that are not named.

    Raises:
        Unseen: It is no such image, or its chunks are packed in a way that is not read.
    """
    axes, path, array = _largest(root, "" if folder == "." else folder)
    reader = _Reader(root, path, array)
    out = np.full(array.shape[-2:], reader.fill, reader.kind.newbyteorder("="))
    return _filled(out, reader, tuple(at.get(axis, 0) for axis in axes[:-2]))


def _largest(root: Path, folder: str) -> tuple[list[str], str, Array]:
    """Return the axes of an image, and path and metadata of its first array, which has all pixels."""
    scales = next(iter(objects(keys_of(_attributes(root, folder))[0].get("multiscales"))), {})
    first = next(iter(objects(scales.get("datasets"))), {})
    path = _below(folder, text_of(first.get("path")) or "0")
    array = _array(root, path)
    if array is None:
        raise Unseen("it has no array that is here")
    axes = axes_of(scales, len(array.shape))
    if axes[-2:] != ["y", "x"] or len(axes) != len(array.shape):
        raise Unseen("its last two axes are not y and x")
    return axes, path, array


def _below(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _json(root: Path, path: str) -> Json | None:
    data = read_small(root, path)
    if isinstance(data, Problem):
        return None
    found = json.loads(data)
    return found if isinstance(found, dict) else None


def _attributes(root: Path, folder: str) -> Json:
    new = _json(root, _below(folder, "zarr.json"))
    found = new.get("attributes") if new is not None else _json(root, _below(folder, ".zattrs"))
    return found if isinstance(found, dict) else {}


def _array(root: Path, folder: str) -> Array | None:
    new = _json(root, _below(folder, "zarr.json"))
    told = new if new is not None else _json(root, _below(folder, ".zarray"))
    return array_of(told) if told is not None else None


def _index(axes: Sequence[str], array: Array, full: Array, where: Where) -> tuple[int, ...]:
    """Return the plane's place along all axes but the last two, in a level that may have fewer planes."""
    wanted = {"c": where.c, "t": where.t, "z": full.shape[axes.index("z")] // 2 if "z" in axes else 0}
    if where.z is not None:
        wanted["z"] = where.z
    scaled = [
        wanted.get(axis, 0) * array.shape[place] // max(1, full.shape[place]) for place, axis in enumerate(axes[:-2])
    ]
    return tuple(min(at, array.shape[place] - 1) for place, at in enumerate(scaled))


def _plane(root: Path, folder: str, array: Array, index: tuple[int, ...]) -> NDArray[np.float32]:
    """Return one plane of a level, put together from its chunks."""
    height, width = array.shape[-2:]
    if height * width * 4 > WHOLE:
        raise Unseen("its smallest level is still too large to be put together for a picture")
    reader = _Reader(root, folder, array)
    if math.prod(-(-size // part) for size, part in zip((height, width), reader.chunks[-2:], strict=True)) > (
        MOST_UNPACKED // max(1, reader.size)
    ):
        raise Unseen("its chunks hold so much beside one plane that a picture would be dear")
    return _filled(np.full((height, width), reader.fill, np.float32), reader, index)


def _filled(out: NDArray[Pixel], reader: _Reader, index: tuple[int, ...]) -> NDArray[Pixel]:
    """Fill a plane with its chunks, of which some may be absent."""
    (height, width), (tall, wide) = out.shape, reader.chunks[-2:]
    if -(-height // tall) * -(-width // wide) > MOST_SEGMENTS:
        raise Unseen("it is cut into too many chunks")
    for row, column in itertools.product(range(-(-height // tall)), range(-(-width // wide))):
        chunk = (*(at // size for at, size in zip(index, reader.chunks, strict=False)), row, column)
        pixels = reader.chunk(chunk)
        if pixels is not None:
            inside = pixels[tuple(at % size for at, size in zip(index, reader.chunks, strict=False))]
            part = out[row * tall : (row + 1) * tall, column * wide : (column + 1) * wide]
            part[:] = inside[: part.shape[0], : part.shape[1]]
    return out


class _Reader:
    """Reads the chunks of one array."""

    def __init__(self, root: Path, folder: str, array: Array) -> None:
        told = array.metadata
        self.root, self.folder, self.array = root, folder, array
        self.new = "chunk_grid" in told
        self.outer = self.chunks = array.chunks
        self.codecs = list(_codecs(told))
        self.shards = self.codecs[0] if self.codecs and self.codecs[0].get("name") == "sharding_indexed" else None
        if self.shards is not None:
            configuration = _configuration(self.shards)
            self.chunks = whole_numbers(configuration.get("chunk_shape"))
            self.codecs = list(objects(configuration.get("codecs")))
            if len(self.chunks) != len(self.outer) or 0 in self.chunks:
                raise Unseen("its shards are described in a way that is not read")
        self.kind = self._kind(told)
        self.order = "F" if told.get("order") == "F" else "C"
        self.size = int(np.prod(self.chunks)) * self.kind.itemsize
        fill = told.get("fill_value")
        self.fill = float(fill) if isinstance(fill, int | float) else 0.0
        if self.size > WHOLE * 2:
            raise Unseen("its chunks are too large to be decoded for a picture")

    def _kind(self, told: Json) -> np.dtype[np.generic]:
        if not self.new:
            return np.dtype(str(told.get("dtype"))[:8])
        first = next((each for each in self.codecs if each.get("name") == "bytes"), {})
        kind = np.dtype(str(told.get("data_type"))[:16])
        return kind.newbyteorder(">" if _configuration(first).get("endian") == "big" else "<")

    def chunk(self, index: tuple[int, ...]) -> NDArray[np.generic] | None:
        """Return the decoded chunk at a place in the grid of (inner) chunks, or None when it is not there."""
        data = self._of_shard(index) if self.shards is not None else self._file(index)
        if data is None:
            return None
        for codec in reversed(self.codecs):
            data = _decode(codec, data, self.size)
        return np.frombuffer(data[: self.size], self.kind).reshape(self.chunks, order="F" if self.order == "F" else "C")

    def _path(self, index: Sequence[int]) -> str:
        told = self.array.metadata
        encoding = told.get("chunk_key_encoding")
        old = not self.new or (isinstance(encoding, Mapping) and encoding.get("name") == "v2")
        sign = _configuration(encoding).get("separator") if self.new else told.get("dimension_separator")
        sign = sign if sign in (".", "/") else "." if old else "/"
        name = str(sign).join(str(each) for each in index)
        return f"{self.folder}/{name if old else f'c{sign}{name}'}"

    def _file(self, index: Sequence[int]) -> bytes | None:
        data = read_small(self.root, self._path(index), SHARD)
        if isinstance(data, Problem) and data.code == "TOO_LARGE":
            raise Unseen("one of its chunks is too large to be read")
        return None if isinstance(data, Problem) else data

    def _of_shard(self, index: tuple[int, ...]) -> bytes | None:
        """Return an inner chunk: the shard ends with offset and length of each, and a checksum of four bytes.

        No more of the shard is read than that, because it may hold very many.
        """
        configuration = _configuration(self.shards)
        if configuration.get("index_location", "end") != "end":
            raise Unseen("its shards have their index at the start, which is not read")
        counts = [outer // inner for outer, inner in zip(self.outer, self.chunks, strict=True)]
        place = int(np.ravel_multi_index([at % count for at, count in zip(index, counts, strict=True)], counts))
        tail = 4 if any(each.get("name") == "crc32c" for each in objects(configuration.get("index_codecs"))) else 0
        path = self._path([at // count for at, count in zip(index, counts, strict=True)])
        try:
            descriptor = open_regular(self.root, path)
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as shard:
            end = os.fstat(descriptor).st_size - tail - 16 * math.prod(counts)
            if end < 0:
                raise Unseen("one of its shards has not come whole")
            shard.seek(end + 16 * place)
            offset, length = struct.unpack("<QQ", shard.read(16))
            if offset == _MISSING:
                return None
            if offset + length > end:
                raise Unseen("one of its shards has not come whole")
            if length > SHARD:
                raise Unseen("one of its chunks is too large to be read")
            shard.seek(offset)
            return shard.read(length)


def _configuration(part: object) -> Json:
    found = part.get("configuration") if isinstance(part, Mapping) else None
    return found if isinstance(found, dict) else {}


def _codecs(told: Json) -> Iterator[Json]:
    """Yield the codecs of an array in the form of Zarr 3."""
    if "chunk_grid" in told:
        yield from objects(told.get("codecs"))
        return
    if told.get("filters"):
        raise Unseen("its chunks went through filters that are not read")
    compressor = told.get("compressor")
    if isinstance(compressor, dict):
        yield {"name": compressor.get("id")}


def _decode(codec: Json, data: bytes, size: int) -> bytes:
    """Return the bytes before a codec, never more than a chunk holds."""
    name = codec.get("name")
    if name in ("bytes", None):
        return data
    if name == "crc32c":
        return data[:-4]
    if name in ("gzip", "zlib"):
        return zlib.decompressobj(wbits=47).decompress(data, size)
    if name not in ("blosc", "zstd", "lz4"):
        raise Unseen(f"its chunks are packed by {printable(str(name), 30)}, which is not read")
    return _packed(str(name), data, size)


def _packed(name: str, data: bytes, size: int) -> bytes:
    try:
        import imagecodecs
    except ImportError as missing:
        raise Unseen("pictures need the extra: pip install 'labrelay[imaging]'") from missing
    if name == "blosc":
        # The header says how much it will be; it is not believed beyond a chunk's size.
        if len(data) < 16 or struct.unpack_from("<I", data, 4)[0] > size:
            raise Unseen("one of its chunks is larger than the array says")
        return bytes(imagecodecs.blosc_decode(data))
    if name == "zstd":
        return bytes(imagecodecs.zstd_decode(data, out=size))
    return bytes(imagecodecs.lz4_decode(data, header=True, out=size))
