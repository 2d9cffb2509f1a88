"""One version of an object as a file: read in a stream, and taken up where it was when the connection breaks."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    FlexibleChecksumError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from urllib3.exceptions import HTTPError

from labrelay.model.errors import StorageFailed
from labrelay.stores.aws_errors import aws_errors

BUFFER = 1 << 20
TRIES = 4
BROKEN = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError, HTTPError, OSError)


class ObjectReader(io.RawIOBase):
    """Reads an object; `seek` costs nothing until the next read, which asks for the rest from there.

    Args:
        s3: A boto3 client.
        asked: The arguments of `GetObject` that name the version.
        size: Bytes of the object.
        opened: The body of an answer that begins at the first byte.
    """

    def __init__(self, s3: Any, asked: dict[str, str], size: int, opened: Any) -> None:
        super().__init__()
        self._s3, self._asked, self._size = s3, asked, size
        self._body: Any = opened
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, which may lie behind the end; return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        place = max(0, base + offset)
        if place != self._at:
            self._drop()
        self._at = place
        return place

    def readinto(self, buffer: Any) -> int:
        """Read up to as many bytes as fit; 0 at the end.

        Raises:
            StorageFailed: The object cannot be read.
        """
        view = memoryview(buffer).cast("B")
        if self._at >= self._size or not view:
            return 0
        for left in reversed(range(TRIES)):
            try:
                got = self._some(len(view))
                view[: len(got)] = got
                self._at += len(got)
                self._finish()
                return len(got)
            except BROKEN as error:
                self._drop()
                if not left:
                    raise StorageFailed(
                        f"{self._asked['Key']} broke off after {self._at} of {self._size} bytes ({error}); repeat it."
                    ) from error
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """Close the stream."""
        self._drop()
        super().close()

    def _some(self, count: int) -> bytes:
        if self._body is None:
            with aws_errors(f"read {self._asked['Key']}"):
                self._body = self._s3.get_object(**self._asked, Range=f"bytes={self._at}-")["Body"]
        got: bytes = self._body.read(count)
        if not got:
            raise OSError("the connection ended early")
        return got

    def _finish(self) -> None:
        # The client compares the checksum of the whole object only when it is read over its end.
        if self._at == self._size and self._body is not None:
            try:
                self._body.read(1)
            except FlexibleChecksumError as error:
                raise StorageFailed(
                    f"{self._asked['Key']} did not read back as it was stored ({error}); restore that version."
                ) from error

    def _drop(self) -> None:
        if self._body is not None:
            with suppress(BotoCoreError, ClientError, OSError):
                self._body.close()
        self._body = None
