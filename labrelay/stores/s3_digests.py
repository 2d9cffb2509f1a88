"""The SHA-256 of objects that went to S3 in parts, in a small object each.

The metadata of a multipart upload is given when it begins, its hash is known when it ends. So the hash is noted before
the object becomes visible, in an object named by key, CRC64NVME and size: a note that nobody used (other bytes were
faster) is about no other content. A note is written once: nobody who may only store can change what is believed of an
object, and policies need no exception for notes.
"""

from __future__ import annotations

import hashlib

from botocore.exceptions import ClientError
from pydantic import Field, ValidationError

from labrelay.model.errors import Conflict
from labrelay.model.faults import faultpoint
from labrelay.model.files import FileRef
from labrelay.model.problem import Frozen
from labrelay.stores.aws import Aws, aws_errors
from labrelay.stores.aws_errors import status_of


class _Note(Frozen):
    key: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class DigestNotes:
    """The notes of one store.

    Args:
        aws: The way to S3.
        bucket: Where they lie.
        base: Before each note's own key, ending at a separator.
    """

    def __init__(self, aws: Aws, bucket: str, base: str) -> None:
        self._aws, self._bucket, self._base = aws, bucket, base

    def write(self, ref: FileRef, crc: str) -> None:
        """Note the SHA-256 of `ref`'s content, whose CRC64NVME is `crc` as S3 writes it, unless that is noted.

        A note that no version of ours has written stays, and is not believed. Cost: one call, two when there is a note.

        Raises:
            Conflict: A note tells another hash of this content.
        """
        body = _Note(key=ref.key, sha256=ref.sha256).model_dump_json().encode()
        named = self._named(ref.key, crc, ref.size)
        with aws_errors(f"note the checksum of {ref.key}"):
            try:
                self._aws.client("s3").put_object(**named, Body=body, IfNoneMatch="*")
                there = False
            except ClientError as error:
                # 409: another writer is at it this very moment.
                if status_of(error) not in (409, 412):
                    raise
                there = True
        if there and self.read(ref.key, crc, ref.size) not in (None, ref.sha256):
            raise Conflict(
                f"{ref.key} has other bytes than the note {named['Key']} tells of: ask who looks after the bucket."
            )
        faultpoint("s3.digest_noted")

    def read(self, key: str, crc: str, size: int) -> str | None:
        """Return the SHA-256 that was noted for this content of the key, or None. Cost: one call."""
        if not crc:
            return None
        with aws_errors(f"look up the checksum of {key}"):
            try:
                body = self._aws.client("s3").get_object(**self._named(key, crc, size))["Body"].read()
                return _Note.model_validate_json(body).sha256
            except ValidationError:
                return None
            except ClientError as error:
                if status_of(error) == 404:
                    return None
                raise

    def _named(self, key: str, crc: str, size: int) -> dict[str, str]:
        digest = hashlib.sha256(f"{key}\n{crc}\n{size}".encode()).hexdigest()
        return {"Bucket": self._bucket, "Key": f"{self._base}{digest[:2]}/{digest[2:42]}.json"}
