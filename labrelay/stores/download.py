"""Objects of S3 as local files: streamed, taken up where a killed process stopped, and the same object throughout."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from glob import escape
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError

from labrelay.model.errors import NotFound, StorageFailed
from labrelay.model.faults import faultpoint
from labrelay.stores.aws import Aws, aws_errors
from labrelay.stores.durable import file_lock, fsync_dir, make_dirs, storage_errors, write_all, write_atomic

log = logging.getLogger(__name__)
CHUNK = 1 << 20
AT_ONCE = 8
TRIES = 5
WAIT_SECONDS = 3600.0


class Stored(NamedTuple):
    """An object as it stands in S3; `etag` is with its quotes, and another one is another object."""

    uri: str
    etag: str
    size: int


def bucket_and_key(uri: str) -> tuple[str, str]:
    """Return (bucket, key) of an `s3://` URI."""
    bucket, _, key = uri.partition("://")[2].partition("/")
    return bucket, key


def read_object(aws: Aws, uri: str, limit: int) -> bytes | None:
    """Return a small object's bytes, None when there is none.

    Raises:
        StorageFailed: It has more than `limit` bytes, or S3 did not give it.
    """
    bucket, key = bucket_and_key(uri)
    try:
        with aws_errors(f"read {uri}"):
            found = aws.client("s3").get_object(Bucket=bucket, Key=key)
            if found["ContentLength"] > limit:
                raise StorageFailed(f"{uri} has {found['ContentLength']:,} bytes, more than the {limit:,} it may have.")
            return bytes(found["Body"].read())
    except NotFound:
        return None


def look_at(aws: Aws, uri: str) -> Stored:
    """Return what is stored under an `s3://` URI. Cost: a HEAD.

    Raises:
        NotFound: Nothing is.
    """
    bucket, key = bucket_and_key(uri)
    with aws_errors(f"look at {uri}"):
        head = aws.client("s3").head_object(Bucket=bucket, Key=key)
    return Stored(uri, str(head["ETag"]), int(head["ContentLength"]))


def list_objects(aws: Aws, prefix: str) -> Iterator[str]:
    """Yield the URIs of all objects below a prefix (ends with `/`), in order."""
    return (uri for uri, _item in _listed(aws, prefix))


def list_stored(aws: Aws, prefix: str) -> Iterator[Stored]:
    """Yield all objects below a prefix (ends with `/`), in order. Cost: a call for a thousand."""
    return (Stored(uri, str(item["ETag"]), int(item["Size"])) for uri, item in _listed(aws, prefix))


def _listed(aws: Aws, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    bucket, key = bucket_and_key(prefix)
    with aws_errors(f"list {prefix}"):
        for page in aws.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key):
            for item in page.get("Contents", []):
                if not item["Key"].endswith("/"):
                    yield f"s3://{bucket}/{item['Key']}", item


def fetch_all(aws: Aws, wanted: Sequence[tuple[str, Path]], folder: Path) -> None:
    """Bring objects to local paths below `folder`; those that are there already cost one HEAD each.

    Only one process does it at a time, others wait for it. Memory: a chunk a file, eight files at a time.

    Raises:
        NotFound: An object is not there.
        StorageFailed: S3 did not give it, or the disk did not take it; asking again goes on where it stopped.
    """
    make_dirs(folder)
    with file_lock(folder / ".lock", "these outputs", WAIT_SECONDS), ThreadPoolExecutor(AT_ONCE) as pool:
        for future in [pool.submit(fetch, aws, uri, target) for uri, target in wanted]:
            future.result()


def fetch(aws: Aws, uri: str, target: Path) -> None:
    """Bring one object to `target`; see `fetch_all`."""
    stored = look_at(aws, uri)
    etag = stored.etag
    mark = target.with_name(f".{target.name}.etag")
    with storage_errors(f"store {target.name}", target.parent):
        make_dirs(target.parent)
        if _is_there(target, mark, etag, stored.size):
            return
        part = target.with_name(f".{target.name}.{sha256(etag.encode()).hexdigest()[:16]}.part")
        fill(aws, stored, part)
        faultpoint("download.filled")
        part.replace(target)
        fsync_dir(target.parent)
        # Halves of what lay there before, which was another object: nobody goes on with them.
        for half in target.parent.glob(f".{escape(target.name)}.*.part"):
            half.unlink(missing_ok=True)
        write_atomic(mark, etag.encode())


def _is_there(target: Path, mark: Path, etag: str, size: int) -> bool:
    return mark.is_file() and mark.read_text() == etag and target.is_file() and target.stat().st_size == size


def fill(aws: Aws, stored: Stored, part: Path) -> None:
    """Write an object's bytes to `part`, going on with what is there, which has to be of this very object.

    Raises:
        Conflict: Another object is stored there by now.
        StorageFailed: S3 did not give it all; asking again goes on where it stopped.
    """
    uri, etag, size = stored
    with part.open("ab", buffering=0) as handle:
        for left in range(TRIES, 0, -1):
            try:
                _stream(aws, uri, handle, etag, size)
                break
            except BotoCoreError as error:
                # A stream that breaks off is not botocore's to repeat.
                if left == 1:
                    raise StorageFailed(
                        f"{uri} broke off at {handle.tell():,} of {size:,} bytes ({type(error).__name__}); "
                        "the same command goes on from there."
                    ) from error
                log.info("%s broke off at byte %s, going on from there", uri, handle.tell())
        os.fsync(handle.fileno())
    if part.stat().st_size != size:
        part.unlink()
        raise StorageFailed(f"{uri} gave another number of bytes than the {size:,} it has; repeat the command.")


def _stream(aws: Aws, uri: str, handle: Any, etag: str, size: int) -> None:
    bucket, key = bucket_and_key(uri)
    start = handle.seek(0, os.SEEK_END)
    if start >= size:
        return
    with aws_errors(f"read {uri}"):
        # IfMatch: bytes of two objects must not make one file.
        found = aws.client("s3").get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-", IfMatch=etag)
    for chunk in found["Body"].iter_chunks(CHUNK):
        write_all(handle, chunk)
        faultpoint("download.chunk")
