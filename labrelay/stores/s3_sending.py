"""Sending one object to S3: small ones at once when they are committed, large ones in parts that nobody sees before.

A part is sent while the next is read; at most `IN_FLIGHT_BYTES` wait to be sent, so memory does not grow with the file.
Each part carries its CRC64NVME and the completion that of the whole file, so that S3 refuses what is not what was read.
"""

from __future__ import annotations

import base64
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from awscrt import checksums
from botocore.exceptions import BotoCoreError, ClientError

from labrelay.model.faults import faultpoint
from labrelay.stores.aws_errors import aws_errors

MIB = 1 << 20
SMALL = 8 * MIB  # up to here an object is one request
PART = 16 * MIB
MAX_PARTS = 10_000
IN_FLIGHT_BYTES = 64 * MIB
THREADS = 4


@dataclass(frozen=True)
class Place:
    """Where an object is to lie: a boto3 client, the bucket, and the key in the bucket."""

    s3: Any
    bucket: str
    key: str

    def named(self) -> dict[str, str]:
        """Return the arguments that name it."""
        return {"Bucket": self.bucket, "Key": self.key}


def crc64(value: int) -> str:
    """Return a CRC64NVME as S3 writes it: base64 of its eight bytes, the highest first."""
    return base64.b64encode(value.to_bytes(8, "big")).decode()


def part_size(size: int) -> int:
    """Return the bytes of a part for a file of `size` bytes: 16 MiB, more when that were more than 10,000 parts."""
    return max(PART, -(-size // (MAX_PARTS * MIB)) * MIB)


class SmallObject:
    """Bytes in memory that become an object in one request."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._content = bytearray()
        self.crc = 0

    def write(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._content += chunk

    def finish(self) -> None:
        """Do nothing more before the commit."""
        self.crc = checksums.crc64nvme(bytes(self._content))

    def put(self, sha256: str) -> str | None:
        """Make the object where there is none; return its version.

        Raises:
            ClientError: With status 412 when there is one.
        """
        answer = self._place.s3.put_object(
            **self._place.named(),
            Body=bytes(self._content),
            IfNoneMatch="*",
            ChecksumCRC64NVME=crc64(self.crc),
            Metadata={"sha256": sha256},
        )
        return _version(answer)

    def abort(self) -> None:
        """Forget the bytes."""
        self._content = bytearray()


class LargeObject:
    """A multipart upload that stays open until `put`.

    Args:
        place: Where to.
        size: Bytes of the file, from which the size of a part follows.
    """

    def __init__(self, place: Place, size: int) -> None:
        self._place, self._part = place, part_size(size)
        self.crc, self._size = 0, 0
        self._pending = bytearray()
        self._parts: list[Future[dict[str, Any]]] = []
        at_once = max(1, min(THREADS, IN_FLIGHT_BYTES // self._part))
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="s3-part")
        self._room = threading.BoundedSemaphore(at_once)
        self._failure: BaseException | None = None
        self._open = True
        with aws_errors(f"begin the upload of {place.key}"):
            answer = place.s3.create_multipart_upload(
                **place.named(), ChecksumAlgorithm="CRC64NVME", ChecksumType="FULL_OBJECT"
            )
        self._upload: str = answer["UploadId"]
        faultpoint("s3.upload_started")

    def write(self, chunk: bytes) -> None:
        """Take the next bytes, and wait when those before are not sent yet.

        Raises:
            LabrelayError: A part before could not be sent.
        """
        self.crc = checksums.crc64nvme(chunk, self.crc)
        self._size += len(chunk)
        self._pending += chunk
        while len(self._pending) >= self._part:
            part = bytes(memoryview(self._pending)[: self._part])
            del self._pending[: self._part]
            self._send(part)

    def finish(self) -> None:
        """Send what is left and wait for all parts.

        Raises:
            LabrelayError: A part could not be sent.
        """
        if self._pending or not self._parts:
            self._send(bytes(self._pending))
            self._pending = bytearray()
        for sent in self._parts:
            sent.result()
        self._pool.shutdown()

    def put(self, _sha256: str) -> str | None:
        """Make the object of the parts where there is none; return its version.

        Raises:
            ClientError: With status 412 when there is one.
        """
        answer = self._place.s3.complete_multipart_upload(
            **self._place.named(),
            UploadId=self._upload,
            MultipartUpload={"Parts": [sent.result() for sent in self._parts]},
            ChecksumType="FULL_OBJECT",
            ChecksumCRC64NVME=crc64(self.crc),
            MpuObjectSize=self._size,
            IfNoneMatch="*",
        )
        self._open = False
        return _version(answer)

    def abort(self) -> None:
        """Drop the parts; what cannot be dropped now is found by `reap`."""
        self._pool.shutdown(cancel_futures=True)
        if self._open:
            self._open = False
            with suppress(ClientError, BotoCoreError):
                self._place.s3.abort_multipart_upload(**self._place.named(), UploadId=self._upload)

    def _send(self, part: bytes) -> None:
        self._room.acquire()
        if self._failure is not None:
            raise self._failure
        number = len(self._parts) + 1
        self._parts.append(self._pool.submit(self._send_part, number, part))

    def _send_part(self, number: int, part: bytes) -> dict[str, Any]:
        try:
            value = crc64(checksums.crc64nvme(part))
            with aws_errors(f"send part {number} of {self._place.key}"):
                answer = self._place.s3.upload_part(
                    **self._place.named(),
                    UploadId=self._upload,
                    PartNumber=number,
                    Body=part,
                    ChecksumCRC64NVME=value,
                )
            faultpoint("s3.part_sent")
            return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumCRC64NVME": value}
        except BaseException as error:
            self._failure = error
            raise
        finally:
            self._room.release()


Sending = SmallObject | LargeObject


def sending(place: Place, size: int) -> Sending:
    """Return what sends a file of about `size` bytes."""
    return SmallObject(place) if size <= SMALL else LargeObject(place, size)


def _version(answer: dict[str, Any]) -> str | None:
    version = answer.get("VersionId")
    return None if version in (None, "", "null") else str(version)
