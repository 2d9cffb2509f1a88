"""The columns of text and numbers in an Arrow IPC file, of its first record batch and a few rows.

After the Arrow columnar format (https://arrow.apache.org/docs/format/Columnar.html, "IPC File Format"). Tables of some
rows of facts are read with it, as in POD5; for data there is the library, which brings a hundred megabytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from labrelay.parsers.flatbuffer import MOST_TEXT, Table, number

MAGIC = b"ARROW1"
Value = str | int | None
_INT, _UTF8, _TIMESTAMP = 2, 5, 10
_BUFFERS = {_INT: 2, 3: 2, 4: 3, _UTF8: 3, 6: 2, 8: 2, 9: 2, _TIMESTAMP: 2, 12: 2, 13: 1, 15: 2, 17: 2}  # by type
_MOST_FIELDS = 200  # with all that are inside of others: several may hold the same ones over and over
_WIDTHS = {8: "bB", 16: "hH", 32: "iI", 64: "qQ"}


class _Column(NamedTuple):
    """A column at the top of a schema: its name, kind, how its numbers are packed, and its first buffer."""

    name: str
    kind: int
    form: str
    buffer: int


def first_rows(data: bytes, most: int) -> list[Mapping[str, Value]]:
    """Return the first rows of an Arrow IPC file; columns of other kinds are left out, times are in their unit.

    Args:
        data: The whole file.
        most: Rows.

    Raises:
        ValueError: It is none, it is cut, or its offsets lead out of it.
    """
    if not (data.startswith(MAGIC) and data.endswith(MAGIC)):
        raise ValueError("it is no Arrow file, or it is cut")
    length = number(data, len(data) - 10, "i")
    if not 0 < length <= len(data) - 18:
        raise ValueError("its footer is longer than the file")
    footer = Table.root(data[len(data) - 10 - length : len(data) - 10])
    schema = footer.table(1)
    block, count = footer.vector(3)
    if schema is None or count == 0:
        return []
    offset, head = number(footer.data, block, "q"), number(footer.data, block + 8, "i")
    message = Table.root(data[offset + 8 : offset + head]) if offset >= 0 and head > 8 else None
    batch = message.table(2) if message is not None and message.integer(1, "B") == 3 else None
    if batch is None or batch.table(3) is not None:
        raise ValueError("its first batch is compressed, or none")
    rows = min(most, max(0, batch.integer(0, "q")))
    body = data[offset + head :]
    values: dict[str, list[Value]] = {}
    left = len(body)
    for column in _columns(schema):
        values[column.name] = list(_values(column, batch, body, rows))
        # Columns may all name one text: together they have no more signs than the batch has bytes.
        left -= sum(len(value) for value in values[column.name] if isinstance(value, str))
        if left < 0:
            raise ValueError("its texts are longer than all of its bytes")
    return [{name: found[row] for name, found in values.items()} for row in range(rows)]


def _columns(schema: Table) -> Iterator[_Column]:
    buffer, left = 0, iter(range(_MOST_FIELDS))
    for field in schema.tables(1):
        kind, told = field.integer(2, "B"), field.table(3)
        if kind in (_INT, _UTF8, _TIMESTAMP) and told is not None and field.table(4) is None:
            width, signed = (told.integer(0, "i"), told.integer(1, "B")) if kind == _INT else (64, 1)
            if width in _WIDTHS:
                yield _Column(field.text(0) or "", kind, _WIDTHS[width][0 if signed else 1], buffer)
        buffer += _buffers(field, left)


def _buffers(field: Table, left: Iterator[int]) -> int:
    """Return how many buffers a field has with all that is in it; each field takes one of those that are left."""
    kind = field.integer(2, "B")
    if kind not in _BUFFERS or next(left, None) is None:
        raise ValueError("it has a column of a kind that is not known here")
    if field.table(4) is not None:  # of a dictionary there are the places only
        return 2
    return _BUFFERS[kind] + sum(_buffers(child, left) for child in field.tables(5))


def _values(column: _Column, batch: Table, body: bytes, rows: int) -> Iterator[Value]:
    start, count = batch.vector(2)
    if column.buffer + (3 if column.kind == _UTF8 else 2) > count:
        raise ValueError("a column has no bytes")
    parts = []
    for each in range(column.buffer, min(column.buffer + 3, count)):
        at, length = number(batch.data, start + 16 * each, "q"), number(batch.data, start + 16 * each + 8, "q")
        if at < 0 or length < 0 or at + length > len(body):
            raise ValueError("a column leads out of the file")
        parts.append((at, length))
    for row in range(rows):
        valid, size = parts[0]
        if size and not number(body[valid : valid + size], row // 8, "B") >> row % 8 & 1:
            yield None
        elif column.kind == _UTF8:
            yield _text(body, parts, row)
        else:
            yield number(body, parts[1][0] + struct.calcsize(column.form) * row, column.form)


def _text(body: bytes, parts: list[tuple[int, int]], row: int) -> str:
    first, last = (number(body, parts[1][0] + 4 * each, "i") for each in (row, row + 1))
    at, size = parts[2]
    if not 0 <= first <= last <= size:
        raise ValueError("a text leads out of its column")
    if last - first > MOST_TEXT:
        raise ValueError("one of its texts is longer than any is")
    return body[at + first : at + last].decode("utf-8", "replace")
