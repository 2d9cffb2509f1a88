"""Counts what an mzML file holds against what it declares, in one pass over its bytes and in bounded memory.

Spectra are counted by their tags in blocks of bytes: a file of gigabytes is millions of elements, and building each
costs ten times as much as reading them. Whether the bytes are those that were written is told by the SHA-1 that an
indexed file carries of itself, and whether they are all there by its last tag.
"""

from __future__ import annotations

import hashlib
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import FileIO, RawIOBase
from pathlib import Path

from labrelay.model.problem import Problem
from labrelay.parsers.listing import open_regular
from labrelay.parsers.mzml_header import MAX_HEAD, HeaderParser, MzmlHeader
from labrelay.parsers.text import error

BLOCK = 1 << 20
MAX_RATIO = 200  # real profile spectra of zeros reach some 50; gzip can reach 1,028
_FREE = 64 * 1024 * 1024  # inflated bytes for which the ratio is not asked
_OVERLAP = 1024  # no tag that is counted is longer
_LISTS = (b"<spectrumList", b"<chromatogramList")
_SPECTRUM = re.compile(rb"<spectrum[\s>]")
_CHROMATOGRAM = re.compile(rb"<chromatogram[\s>]")
_DECLARED = re.compile(rb"<(spectrum|chromatogram)List\b[^<>]{0,300}?\bcount=[\"'](\d{1,12})[\"']")
_LEVEL = re.compile(rb"MS:1000511[\"'][^<>]{0,400}>")
_VALUE = re.compile(rb"\bvalue=[\"'](\d{1,3})[\"']")
_GROUP = re.compile(rb"<referenceableParamGroupRef\b[^<>]{0,40}?\bref=[\"']([^\"'<>]{1,300})[\"']")
_CHECKSUM = re.compile(rb"<fileChecksum>")
_WRITTEN = re.compile(rb"<fileChecksum>\s*([0-9A-Fa-f]{40})\s*</fileChecksum>")
_GZIP = b"\x1f\x8b"


@dataclass
class Counts:
    """What one file holds.

    Attributes:
        header: What stands before the first spectrum.
        spectra, chromatograms: Counted.
        levels: Spectra by MS level.
        declared: By `spectrum` and `chromatogram`, as the file's lists say.
        ended: The last tag is there.
        size: Bytes of XML.
        sha1_written, sha1_found: Of an indexed file, what it says of itself and what it is.
    """

    header: MzmlHeader
    spectra: int = 0
    chromatograms: int = 0
    levels: Counter[str] = field(default_factory=Counter)
    declared: dict[str, int] = field(default_factory=dict)
    ended: bool = False
    size: int = 0
    sha1_written: str | None = None
    sha1_found: str | None = None


class _Damaged(Exception):
    """The bytes cannot be inflated, or are far too many."""


def count_spectra(root: Path, path: str) -> tuple[Counts | None, tuple[Problem, ...]]:
    """Return what a file holds, or None with the error that makes it unusable.

    A file that is cut is counted as far as it goes; `ended` and the problems say so.

    Args:
        root: The folder that was listed.
        path: Of an mzML file below it, plain or gzip.
    """
    problems: list[Problem] = []
    try:
        with FileIO(open_regular(root, path)) as source:
            blocks = _guarded(_blocks(source), path, problems)
            counts = _count(blocks, path, problems)
    except OSError as bad:
        text = f"it cannot be read: {os.strerror(bad.errno) if bad.errno else bad}; check its rights"
        return None, (error("UNREADABLE", text, path),)
    if counts is not None and not counts.ended and not problems:
        text = f"it ends after {counts.size:,} bytes without its last tag, so it is cut; copy or convert it again"
        problems.append(error("TRUNCATED", text, path))
    return counts, tuple(problems)


def _guarded(blocks: Iterator[bytes], path: str, problems: list[Problem]) -> Iterator[bytes]:
    """Give blocks until the bytes end or turn out to be damaged, which becomes a problem."""
    try:
        yield from blocks
    except _Damaged as damaged:
        problems.append(error("TRUNCATED", str(damaged), path))


def _blocks(source: RawIOBase) -> Iterator[bytes]:
    """Give the file's XML in blocks of at most `BLOCK` bytes, through gzip of one or many members."""
    data = (source.read(BLOCK) or b"") + (source.read(1) or b"")
    if data.startswith(_GZIP):
        yield from _inflated(source, data)
        return
    while data:
        yield data
        data = source.read(BLOCK) or b""


def _inflated(source: RawIOBase, data: bytes) -> Iterator[bytes]:
    taken = given = 0
    inflate, begun = zlib.decompressobj(31), False
    while data:
        taken += len(data)
        while data:
            if not begun and len(data) == 1:
                data += source.read(1) or b""  # the mark of a member has two bytes
            if not begun and not data.startswith(_GZIP):
                return  # padding after the last member, as tapes and gzip itself allow it
            begun = True
            try:
                block = inflate.decompress(data, BLOCK)
            except zlib.error as bad:
                raise _Damaged(f"its gzip is damaged after {given:,} bytes of XML; copy it again") from bad
            given += len(block)
            if given > _FREE and given > MAX_RATIO * taken:
                raise _Damaged(
                    f"it inflates to more than {MAX_RATIO} times its size, which no spectra do; make it anew"
                )
            if block:
                yield block
            data = inflate.unconsumed_tail
            if inflate.eof:
                data, inflate, begun = inflate.unused_data, zlib.decompressobj(31), False
        data = source.read(BLOCK) or b""
    if begun:
        raise _Damaged(f"its gzip ends in the middle, after {given:,} bytes of XML, so it is cut; copy it again")


def _count(blocks: Iterator[bytes], path: str, problems: list[Problem]) -> Counts | None:
    head = bytearray()
    for block in blocks:
        head += block
        if len(head) >= MAX_HEAD or any(name in head for name in _LISTS):
            break
    header, found = HeaderParser(path).parse(bytes(head))
    problems += found
    if header is None:
        return None
    if not header.complete and len(head) >= MAX_HEAD:
        text = f"no list of spectra begins in its first {MAX_HEAD} bytes, so it is no run of a mass spectrometer"
        problems.append(error("NO_SPECTRA", text, path))
        return None
    tally = _Tally(Counts(header))
    start = min((at for name in _LISTS if (at := head.find(name)) >= 0), default=len(head))
    tally.skip(bytes(head[:start]))
    tally.add(bytes(head[start:]))
    for block in blocks:
        tally.add(block)
    return tally.finish()


class _Tally:
    """Counts in blocks that overlap: a tag is counted in the block in which it ends."""

    def __init__(self, counts: Counts) -> None:
        self.counts = counts
        self.sha1: hashlib._Hash | None = hashlib.sha1(usedforsecurity=False) if counts.header.indexed else None
        self.tail = b""

    def skip(self, head: bytes) -> None:
        """Take what stands before the first list, where parameters belong to no spectrum."""
        self.counts.size += len(head)
        if self.sha1 is not None:
            self.sha1.update(head)

    def add(self, block: bytes) -> None:
        counts = self.counts
        counts.size += len(block)
        window = self.tail + block
        fresh = len(self.tail)
        # A tag that ends at or before `fresh` was whole in the window before, and was counted there.
        counts.spectra += sum(match.end() > fresh for match in _SPECTRUM.finditer(window))
        counts.chromatograms += sum(match.end() > fresh for match in _CHROMATOGRAM.finditer(window))
        self._levels(window, fresh)
        for match in _DECLARED.finditer(window):
            if match.end() > fresh:
                counts.declared.setdefault(match[1].decode(), int(match[2]))
        self._hash(window, fresh, block)
        self.tail = window[-_OVERLAP:]

    def _levels(self, window: bytes, fresh: int) -> None:
        for match in _LEVEL.finditer(window):
            value = _VALUE.search(
                window, window.rfind(b"<", max(0, match.start() - 400), match.start()) + 1, match.end()
            )
            if match.end() > fresh and value is not None:
                self.counts.levels[value[1].decode()] += 1
        groups = self.counts.header.levels
        for match in _GROUP.finditer(window) if groups else ():
            level = groups.get(match[1].decode("utf-8", "replace"))
            if match.end() > fresh and level is not None:
                self.counts.levels[level] += 1

    def _hash(self, window: bytes, fresh: int, block: bytes) -> None:
        """Go on with the SHA-1 up to and with the tag `<fileChecksum>`, as mzML 1.1 defines it."""
        if self.sha1 is None:
            return
        tag = _CHECKSUM.search(window)
        if tag is None:
            self.sha1.update(block)
        elif tag.end() > fresh:
            self.sha1.update(window[fresh : tag.end()])
            self.counts.sha1_found = self.sha1.hexdigest()
            self.sha1 = None

    def finish(self) -> Counts:
        end = self.tail.rstrip()
        self.counts.ended = end.endswith(b"</indexedmzML>" if self.counts.header.indexed else b"</mzML>")
        written = _WRITTEN.search(self.tail)
        if written is not None:
            self.counts.sha1_written = written[1].decode().lower()
        return self.counts
