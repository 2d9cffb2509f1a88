"""Inflates a FASTQ's bytes as they come: plain, gzip of one or many members, bgzip; decided by the magic bytes.

Pieces of output are bounded whatever the input inflates to, and an input that inflates beyond reason is refused, so
a hostile file costs neither memory nor hours.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import NoReturn, cast

from isal import igzip_lib

from labrelay.model.errors import RefusedInput
from labrelay.model.problem import Problem

# The library's stub calls its exception class an instance.
IsalError = cast("type[Exception]", igzip_lib.IsalError)
GZIP_MAGIC = b"\x1f\x8b"
OTHER_COMPRESSION = {
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zX": "xz",
    b"PK\x03\x04": "zip",
}
LONGEST_MAGIC = 4
PIECE_BYTES = 512 * 1024
# The rest behind a member is copied out by the library, so a slice must not hold many of bgzip's 64 KiB members.
SLICE_BYTES = 64 * 1024
BOMB_RATIO = 250
BOMB_FLOOR_BYTES = 1 << 30


class _Kind(Enum):
    UNDECIDED = "undecided"
    PLAIN = "plain"
    GZIP = "gzip"


class Inflater:
    """Gives the FASTQ text of a file whose stored bytes are fed in order.

    Args:
        path: For messages; its suffix is also held against the content.
        bomb_floor: Bytes of output below which no ratio is too high.
    """

    def __init__(self, path: str, bomb_floor: int = BOMB_FLOOR_BYTES) -> None:
        self._path = path
        self._bomb_floor = bomb_floor
        self._kind = _Kind.UNDECIDED
        self._held = b""
        self._member: igzip_lib.IgzipDecompressor | None = None
        self._taken = self._given = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the text that `chunk` adds, in pieces of at most `PIECE_BYTES`.

        Raises:
            RefusedInput: The content is not what the name says, is corrupt, or inflates beyond reason.
        """
        if self._kind is _Kind.UNDECIDED:
            chunk = self._held + chunk
            if len(chunk) < LONGEST_MAGIC:
                self._held = chunk
                return
            self._held = b""
            self._decide(chunk)
        yield from self._pieces(chunk)

    def finish(self) -> Iterator[bytes]:
        """Yield what is left after the last chunk.

        Raises:
            RefusedInput: The file ends inside a gzip member.
        """
        if self._kind is _Kind.UNDECIDED and self._held:
            chunk, self._held = self._held, b""
            self._decide(chunk)
            yield from self._pieces(chunk)
        if self._member is not None or (self._held and GZIP_MAGIC.startswith(self._held)):
            self._refuse("TRUNCATED_GZIP", "the file ends inside its gzip stream; copy it again from its source")
        if self._held:
            self._refuse_garbage(self._held)

    def _decide(self, head: bytes) -> None:
        if head.startswith(GZIP_MAGIC):
            self._kind = _Kind.GZIP
            return
        for magic, name in OTHER_COMPRESSION.items():
            if head.startswith(magic):
                self._refuse("UNKNOWN_COMPRESSION", f"this is a {name} file; give it as plain text, gzip or bgzip")
        if self._path.endswith((".gz", ".bgz")):
            self._refuse("NOT_GZIP", f"the name says gzip but the file starts with {head[:LONGEST_MAGIC]!r}")
        self._kind = _Kind.PLAIN

    def _pieces(self, chunk: bytes) -> Iterator[bytes]:
        if self._kind is _Kind.PLAIN:
            for start in range(0, len(chunk), PIECE_BYTES):
                yield chunk[start : start + PIECE_BYTES]
            return
        for start in range(0, len(chunk), SLICE_BYTES):
            part = chunk[start : start + SLICE_BYTES]
            self._taken += len(part)
            yield from self._inflate(self._held + part)

    def _inflate(self, data: bytes) -> Iterator[bytes]:
        self._held = b""
        while data:
            if self._member is None:
                if len(data) < len(GZIP_MAGIC):
                    self._held = data
                    return
                if not data.startswith(GZIP_MAGIC):
                    self._refuse_garbage(data)
                self._member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
            yield from self._drain(self._member, data)
            data = b""
            if self._member.eof:
                data = self._member.unused_data
                self._member = None

    def _drain(self, member: igzip_lib.IgzipDecompressor, data: bytes) -> Iterator[bytes]:
        while True:
            try:
                piece = member.decompress(data, PIECE_BYTES)
            except IsalError as error:
                self._refuse(
                    "CORRUPT_GZIP",
                    f"the gzip stream is damaged at about {self._given} inflated bytes ({error}); copy the file again",
                )
            data = b""
            if piece:
                self._given += len(piece)
                if self._given > self._bomb_floor and self._given > BOMB_RATIO * self._taken:
                    self._refuse("GZIP_BOMB", f"the file inflates to more than {BOMB_RATIO} times its size")
                yield piece
            if member.eof or member.needs_input:
                return

    def _refuse_garbage(self, data: bytes) -> NoReturn:
        what = "NUL bytes" if not data.strip(b"\0") else f"bytes that are no gzip ({data[:8]!r})"
        self._refuse("GARBAGE_AFTER_GZIP", f"{what} follow the end of the gzip stream; copy the file again")

    def _refuse(self, code: str, message: str) -> NoReturn:
        raise RefusedInput(self._path, [Problem(code=code, message=message, path=self._path)])
