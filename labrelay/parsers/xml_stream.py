"""Long XML from outside, element by element: an index of a hundred thousand images never stands in memory as a tree.

The rules are those of `labrelay.parsers.xml`: no document type, no entities, no depth without end; the bytes decide the
encoding, and names count without their name space.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from xml.parsers import expat

from labrelay.model.problem import Problem
from labrelay.parsers.listing import open_regular
from labrelay.parsers.text import error
from labrelay.parsers.xml import MAX_DEPTH, local_name

MAX_BYTES = 1024 * 1024 * 1024
MAX_TEXT = 64 * 1024
MAX_FIELDS = 256
MAX_NAMES = 10_000
CHUNK = 256 * 1024
# One token (a tag, a comment) that is longer than this is none of an instrument's, and expat before 2.6 takes time
# with the square of a token's chunks.
MAX_TOKEN = 1024 * 1024


class _Refused(Exception):
    """Raised inside a handler of the parser, to stop it at once."""


@dataclass
class Record:
    """An element that was asked for, or a text outside of all of those.

    Attributes:
        name: Lower case, without name space.
        attributes: By such names.
        texts: Of the elements inside, by name (the first of each); its own under the empty name.
        line: Where it begins, from 1.
        inside: The name of the element around it.
    """

    name: str
    attributes: dict[str, str]
    line: int
    inside: str = ""
    texts: dict[str, str] = field(default_factory=dict)


class _Builder:
    """Turns the parser's events into records; there are millions of them, so each does as little as it can."""

    def __init__(self, parser: expat.XMLParserType, names: Collection[str]) -> None:
        self.parser, self.names = parser, names
        self.known: dict[str, str] = {}
        self.stack: list[str] = []
        self.open: list[tuple[int, Record]] = []
        self.text = ""
        self.leaf = False  # whether nothing but text has come since the last tag was opened
        self.done: list[Record] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = self.known.get(tag)
        if name is None:
            name = self._name(tag)
        self.stack.append(name)
        self.text, self.leaf = "", True
        if name in self.names or len(self.stack) == 1:
            self._record(name, attributes)
        elif len(self.stack) > MAX_DEPTH:
            raise _Refused(f"elements are nested more than {MAX_DEPTH} deep")

    def _name(self, tag: str) -> str:
        name = local_name(tag)
        if len(self.known) < MAX_NAMES:
            self.known[tag] = name
        return name

    def _record(self, name: str, attributes: dict[str, str]) -> None:
        depth = len(self.stack)
        if depth > MAX_DEPTH:
            raise _Refused(f"elements are nested more than {MAX_DEPTH} deep")
        told = {local_name(key): value for key, value in attributes.items()}
        record = Record(name, told, self.parser.CurrentLineNumber, self.stack[-2] if depth > 1 else "")
        if depth == 1:
            self.done.append(record)
        else:
            self.open.append((depth, record))

    def data(self, text: str) -> None:
        if self.leaf and len(self.text) < MAX_TEXT:
            self.text += text

    def end(self, _tag: str) -> None:
        depth, name = len(self.stack), self.stack.pop()
        text = self.text.strip()[:MAX_TEXT] if self.leaf else ""
        self.leaf = False
        if self.open and self.open[-1][0] == depth:
            record = self.open.pop()[1]
            record.texts.setdefault("", text)
            self.done.append(record)
        elif text:
            self._told(name, text)

    def _told(self, name: str, text: str) -> None:
        if not self.open:
            self.done.append(Record(name, {}, self.parser.CurrentLineNumber, texts={"": text}))
            return
        texts = self.open[-1][1].texts
        if name not in texts and len(texts) < MAX_FIELDS:
            texts[name] = text

    @staticmethod
    def doctype(*_: object) -> None:
        raise _Refused("it has a document type or entities")


def stream_records(root: Path, path: str, names: Collection[str], problems: list[Problem]) -> Iterator[Record]:
    """Give the root element (without its texts), then each element of these names and each text outside of them.

    Args:
        root: The folder that was listed.
        path: Below it.
        names: Lower case, without name spaces. An element inside another of these is a record of its own.
        problems: Takes what is wrong (`UNREADABLE`, `BAD_XML`, `XML_REFUSED`); records before it have been given.
    """
    try:
        descriptor = open_regular(root, path)
    except OSError as bad:
        reason = os.strerror(bad.errno) if bad.errno else str(bad)
        problems.append(error("UNREADABLE", f"it cannot be read: {reason}; check the path and its rights", path))
        return
    with os.fdopen(descriptor, "rb") as source:
        yield from read_records(source, path, names, problems)


def read_records(source: BinaryIO, path: str, names: Collection[str], problems: list[Problem]) -> Iterator[Record]:
    """Give the records of XML that is open or in memory, as `stream_records` does.

    Args:
        source: At its beginning.
        path: For messages.
        names, problems: As there.
    """
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    builder = _Builder(parser, names)
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = builder.doctype
    parser.EntityDeclHandler = builder.doctype
    try:
        fed = 0
        for piece, last in _pieces(source):
            parser.Parse(piece, last)
            fed += len(piece)
            if fed - parser.CurrentByteIndex > MAX_TOKEN:
                raise _Refused("one tag or comment of it has no end")
            yield from builder.done
            builder.done.clear()
    except _Refused as refused:
        text = f"{refused}, which no instrument writes; look where the file comes from"
        problems.append(error("XML_REFUSED", text, path))
    except expat.ExpatError as bad_xml:
        yield from builder.done
        text = f"it is not well-formed XML: {expat.ErrorString(bad_xml.code)}; has the file come whole?"
        problems.append(error("BAD_XML", text, path, bad_xml.lineno))


def _pieces(source: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """Give the file as UTF-8 in pieces, and whether it is the last."""
    head = source.read(CHUNK)
    wide = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    decoder = codecs.getincrementaldecoder("utf-16" if wide else "utf-8-sig")("replace")
    total = 0
    while head:
        total += len(head)
        if total > MAX_BYTES:
            raise _Refused(f"it is larger than {MAX_BYTES} bytes")
        yield decoder.decode(head).encode(), False
        head = source.read(CHUNK)
    yield decoder.decode(b"", True).encode(), True
