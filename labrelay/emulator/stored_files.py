"""The files of read sets and references: how they are described, read in parts, named, and shown as S3 objects."""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import BotoCoreError, ClientError

from labrelay.emulator.objects import S3_URI, ObjectUnavailable, Reason, store_folder
from labrelay.emulator.operation import Failure, Params, Slice, not_found
from labrelay.emulator.service import Service
from labrelay.emulator.state import Body

# The programs of samtools keep their options in global variables: one at a time in a process.
SAMTOOLS = threading.Lock()
PART_BYTES = 104_857_600
# The model's own pattern for a range has neither letters nor "=", so that `0-99` is what a validated request holds.
RANGE = re.compile(r"(?:bytes=)?([0-9]*)-([0-9]*)")
HASHES = {"MD5up": "md5", "SHA256up": "sha256", "SHA512up": "sha512"}


def describe(path: Path) -> Params:
    """Return the description of a file as `files.source1` holds it."""
    size = path.stat().st_size
    return {"totalParts": max(1, -(-size // PART_BYTES)), "partSize": PART_BYTES, "contentLength": size}


@contextmanager
def fresh_folder(folder: Path) -> Iterator[None]:
    """Have no folder there for the block, which may fill it, and none after a block that raises."""
    # What a killed server left of the same thing.
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def slice_of(path: Path, entry: Params, part: int, wanted: str | None = None) -> Slice:
    """Return a part of a file, from 1, or a byte range inside that part.

    Raises:
        Failure: `RangeNotSatisfiableException`, there is no such part or range.
    """
    start, size = (part - 1) * PART_BYTES, entry["contentLength"]
    length = min(PART_BYTES, size - start)
    if part > entry["totalParts"]:
        raise Failure("RangeNotSatisfiableException", f"The file has {entry['totalParts']} parts, not {part}.")
    if wanted is None:
        return Slice(path, start, length)
    first, last = _range(wanted, length)
    return Slice(path, start + first, last - first + 1)


def file_of(service: Service, where: tuple[str, str, str], body: Body, slot: str) -> tuple[Path, Params]:
    """Return the path and the description of a file of a thing.

    Args:
        service: Whose data folder.
        where: Store, `readSet` or `reference`, id.
        body: The thing.
        slot: `source1`, `source2`, `source` or `index`.

    Raises:
        Failure: `ResourceNotFoundException`, it has no such file.
    """
    if slot not in body.get("_names", {}):
        raise not_found(f"file {slot} of the {where[1]}", where[2])
    return store_folder(service, *where) / body["_names"][slot], body["files"][slot]


def new_hash(family: str) -> Any:
    """Return a hash object of an ETag algorithm family, such as `SHA256up`."""
    return hashlib.new(HASHES[family], usedforsecurity=False)


def put_objects(service: Service, store: Body, read_set: Body, tags: dict[str, str]) -> None:
    """Show the files of a read set as tagged objects of its store's bucket; safe to repeat.

    Of its own `tags` those are written that the store propagates.

    Raises:
        ObjectUnavailable: S3 did not take them, for reason FAILED: that is not the read set's fault.
    """
    extra = {"Tagging": urlencode(_tags(store, read_set, tags))}
    for slot, (bucket, key) in _keys(read_set).items():
        path = store_folder(service, store["id"], "readSet", read_set["id"]) / read_set["_names"][slot]
        try:
            service.s3.upload_file(str(path), bucket, key, ExtraArgs=extra)
        except (S3UploadFailedError, BotoCoreError) as error:
            message = f"{path.name} could not be written to {bucket}: {error}"
            raise ObjectUnavailable(Reason.FAILED, f"s3://{bucket}/{key}", message) from error


def tag_objects(service: Service, store: Body, read_set: Body, tags: dict[str, str]) -> None:
    """Write the tags of a read set's objects anew; `tags` are those of the read set."""
    pairs = [{"Key": key, "Value": value} for key, value in _tags(store, read_set, tags).items()]
    for bucket, key in _keys(read_set).values():
        service.s3.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": pairs})


def remove_objects(service: Service, read_set: Body) -> None:
    """Take the objects of a read set away; those that are not there are no error."""
    for bucket, key in _keys(read_set).values():
        try:
            service.s3.delete_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("NoSuchBucket", "NoSuchKey", "404"):
                raise


def _keys(read_set: Body) -> dict[str, tuple[str, str]]:
    """Return bucket and key of each of a read set's files, by slot."""
    uris = {slot: entry["s3Access"]["s3Uri"] for slot, entry in read_set.get("files", {}).items()}
    return {slot: (match["bucket"], match["key"]) for slot, uri in uris.items() if (match := S3_URI.fullmatch(uri))}


def _tags(store: Body, read_set: Body, tags: dict[str, str]) -> dict[str, str]:
    propagated = {key: tags.get(key) for key in store.get("propagatedSetLevelTags", ())}
    ours = {f"omics:{name}": read_set.get(name) for name in ("subjectId", "sampleId")}
    ours["omics:readSetStatus"] = "ACTIVE"
    return {key: value for key, value in {**propagated, **ours}.items() if value is not None}


def _range(wanted: str, length: int) -> tuple[int, int]:
    """Return the first and last byte of an HTTP range inside a part (RFC 9110, section 14.1.2)."""
    match = RANGE.fullmatch(wanted)
    if match is None or match.groups() == ("", ""):
        raise Failure("ValidationException", f"{wanted} is no range such as 0-99.")
    first, last = match.groups()
    low, high = (length - int(last), length - 1) if not first else (int(first), int(last or length - 1))
    low, high = max(0, low), min(high, length - 1)
    if low > high:
        raise Failure("RangeNotSatisfiableException", f"The range {wanted} is outside of the {length} bytes there are.")
    return low, high
