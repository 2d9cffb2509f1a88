"""Groups and arrays of a Zarr hierarchy (formats 2 and 3) in a listing: their JSON is read when asked for.

Files of chunks are counted and never opened. A chunk that equals the fill value may rightly be absent, so a count that
falls short proves nothing.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from labrelay.model.problem import Problem
from labrelay.parsers.listing import Listing, read_small
from labrelay.parsers.text import warning

METADATA = (".zattrs", ".zgroup", ".zarray", "zarr.json", ".zmetadata")
MOST_JSON = 5_000
Json = Mapping[str, object]
_TYPES = {"f2": "half", "f4": "float", "f8": "double", "b1": "bit", "c8": "complex", "c16": "double-complex"}


class Array(NamedTuple):
    """What the metadata of an array says.

    Attributes:
        shape, chunks: In its own order of axes; `chunks` are the files' (of shards, where it has them).
        pixel_type: As OME has it.
        metadata: All of it.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    pixel_type: str | None
    metadata: Json

    @property
    def expected(self) -> int:
        """How many files of chunks it has when none is left out."""
        return math.prod(-(-size // chunk) for size, chunk in zip(self.shape, self.chunks, strict=True))


@dataclass
class Hierarchy:
    """The folders of a listing that are groups or arrays, and which files of chunks lie below each."""

    listing: Listing
    folders: dict[str, set[str]] = field(default_factory=dict)
    children: dict[str, list[str]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    reads: int = 0
    _owner: dict[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for entry in self.listing.files:
            folder, _, name = entry.path.rpartition("/")
            if name in METADATA:
                self.folders.setdefault(folder, set()).add(name)
        for folder in self.folders:
            if folder:
                self.children.setdefault(folder.rpartition("/")[0], []).append(folder)

    def roots(self) -> list[str]:
        """Return the groups that lie in no other, in order."""
        return sorted(
            folder for folder in self.folders if self.owner(folder.rpartition("/")[0] if folder else None) is None
        )

    def owner(self, folder: str | None) -> str | None:
        """Return the nearest group or array that a folder is or lies in, or None."""
        if folder is None:
            return None
        if folder in self._owner:
            return self._owner[folder]
        found = folder if folder in self.folders else None
        if found is None and folder:
            found = self.owner(folder.rpartition("/")[0])
        self._owner[folder] = found
        return found

    def chunk_counts(self) -> Counter[str]:
        """Return how many files that are no metadata lie in each array."""
        counts: Counter[str] = Counter()
        for entry in self.listing.files:
            folder, _, name = entry.path.rpartition("/")
            owner = self.owner(folder) if name not in METADATA else None
            if owner is not None:
                counts[owner] += 1
        return counts

    def attributes(self, folder: str) -> Json:
        """Return a group's attributes; empty when there are none, and what is wrong with them is a problem."""
        names = self.folders.get(folder, set())
        if "zarr.json" in names:
            found = self._json(folder, "zarr.json").get("attributes")
            return found if isinstance(found, dict) else {}
        return self._json(folder, ".zattrs") if ".zattrs" in names else {}

    def array(self, folder: str) -> Array | None:
        """Return an array's shape and type, or None where none is described."""
        names = self.folders.get(folder, set())
        if "zarr.json" in names:
            return array_of(self._json(folder, "zarr.json"))
        return array_of(self._json(folder, ".zarray")) if ".zarray" in names else None

    def _json(self, folder: str, name: str) -> Json:
        path = f"{folder}/{name}" if folder else name
        self.reads += 1
        if self.reads > MOST_JSON:
            return {}
        data = read_small(self.listing.root, path)
        if isinstance(data, Problem):
            self.problems.append(warning(data.code, data.message, path))
            return {}
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            text = "it is no JSON; has it come whole?"
            self.problems.append(warning("BAD_JSON", text, path))
            return {}
        return found if isinstance(found, dict) else {}


def array_of(told: Json) -> Array | None:
    """Return what the metadata of an array say, in the form of Zarr 2 or 3; None when they are of no array."""
    grid = told.get("chunk_grid")
    if grid is None:
        return _array(told.get("shape"), told.get("chunks"), str(told.get("dtype", ""))[:20].lstrip("<>|="), told)
    configuration = grid.get("configuration") if isinstance(grid, dict) else None
    chunks = configuration.get("chunk_shape") if isinstance(configuration, dict) else None
    return _array(told.get("shape"), chunks, str(told.get("data_type", ""))[:20], told)


def _array(shape: object, chunks: object, kind: str, told: Json) -> Array | None:
    sizes, pieces = whole_numbers(shape), whole_numbers(chunks)
    if not sizes or len(sizes) > 32:
        return None
    if len(pieces) != len(sizes) or 0 in pieces:
        pieces = sizes if 0 not in sizes else tuple(1 for _ in sizes)
    return Array(sizes, pieces, _pixel_type(kind), told)


def _pixel_type(kind: str) -> str | None:
    if kind[:1] in ("u", "i") and kind[1:] in ("1", "2", "4", "8"):
        return f"{'uint' if kind[0] == 'u' else 'int'}{8 * int(kind[1:])}"
    names = {"float16": "half", "float32": "float", "float64": "double", "bool": "bit"}
    return _TYPES.get(kind) or names.get(kind) or (kind if kind.startswith(("uint", "int")) else None)


def whole_numbers(value: object) -> tuple[int, ...]:
    """Return a list of counts, or nothing when it is none."""
    if not isinstance(value, list) or not all(type(each) is int and 0 <= each < 2**48 for each in value):
        return ()
    return tuple(value)


def objects(value: object) -> Sequence[Json]:
    """Return the objects of a list; nothing when it is none."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def text_of(value: object) -> str | None:
    """Return a text or a number as text; None for anything else and for an empty one."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value)[:500] or None
