"""Reading of FlatBuffers, of the little that binary formats with embedded tables need; every offset is checked.

After the format's own description (https://flatbuffers.dev/internals): a table begins with the distance to its vtable,
which says where each field lies; what is absent has the default. A place outside the bytes raises `ValueError`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

MOST_TEXT = 64 * 1024  # bytes; many fields may name one text
MOST = 100_000  # items of a vector: the metadata that are read here have some tens


def number(data: bytes, at: int, form: str) -> int:
    """Return one little-endian integer.

    Raises:
        ValueError: It does not lie in the bytes.
    """
    size = struct.calcsize(f"<{form}")
    if at < 0 or at + size > len(data):
        raise ValueError("an offset leads out of the file")
    return int(struct.unpack_from(f"<{form}", data, at)[0])


@dataclass(frozen=True)
class Table:
    """A table in a buffer, at a place; fields are counted from 0, as in the format's schema."""

    data: bytes
    at: int

    @classmethod
    def root(cls, data: bytes) -> Table:
        """Return the buffer's root."""
        return cls(data, number(data, 0, "I"))

    def place(self, field: int) -> int | None:
        """Return where a field lies, or None when it is absent."""
        vtable = self.at - number(self.data, self.at, "i")
        if 4 + 2 * field + 2 > number(self.data, vtable, "H"):
            return None
        offset = number(self.data, vtable + 4 + 2 * field, "H")
        return self.at + offset if offset else None

    def integer(self, field: int, form: str, default: int = 0) -> int:
        """Return a field that is a number."""
        at = self.place(field)
        return default if at is None else number(self.data, at, form)

    def table(self, field: int) -> Table | None:
        """Return a field that is a table."""
        at = self.place(field)
        return None if at is None else Table(self.data, at + number(self.data, at, "I"))

    def text(self, field: int) -> str | None:
        """Return a field that is a string."""
        at = self.place(field)
        if at is None:
            return None
        start = at + number(self.data, at, "I")
        length = number(self.data, start, "I")
        if length > MOST_TEXT:
            raise ValueError("one of its names is longer than any is")
        return self.data[start + 4 : start + 4 + length].decode("utf-8", "replace")

    def vector(self, field: int) -> tuple[int, int]:
        """Return where the items of a vector begin, and how many there are."""
        at = self.place(field)
        if at is None:
            return 0, 0
        start = at + number(self.data, at, "I")
        count = number(self.data, start, "I")
        if count > MOST:
            raise ValueError("it claims to have more parts than there can be")
        return start + 4, count

    def tables(self, field: int) -> Iterator[Table]:
        """Yield the tables of a vector."""
        start, count = self.vector(field)
        for each in range(start, start + 4 * count, 4):
            yield Table(self.data, each + number(self.data, each, "I"))
