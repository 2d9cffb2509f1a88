"""From a URI that a job or a run names to its bytes: objects of S3, and read sets and references of the stores.

    found = open_uri(service, "omics://123456789012.storage.us-east-1.amazonaws.com/1000000001/readSet/1000000002")
    fetch(service, "s3://lab/run7/A_R1.fastq.gz", target)

The files of the stores lie in the data folder under `reads/<store>/readSet/<id>/<file name>` and
`reads/<store>/reference/<id>/<file name>`. They are not to be changed; what a run stages is a copy.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from labrelay.emulator.service import Service
from labrelay.model.errors import LabrelayError
from labrelay.model.faults import faultpoint
from labrelay.stores.durable import fsync_dir, make_dirs, open_temp, write_all

CHUNK_BYTES = 1024 * 1024
S3_URI = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<key>.{1,1024})", re.DOTALL)
OMICS_URI = re.compile(
    r"omics://(?P<account>\d{10,12})\.storage\.(?P<region>[a-z]{2}-[a-z-]{4,}-\d+)\.amazonaws\.com/"
    r"(?P<store>\d{10,36})/(?P<kind>readSet|reference)/(?P<id>\d{10,36})(?:/(?P<file>source[12]?|index))?",
    re.IGNORECASE,
)
ALIAS_KEY = re.compile(r"\d+/sequenceStore/(?P<store>\d+)/readSet/(?P<id>\d+)/.+", re.DOTALL)


class Reason(StrEnum):
    """Why a URI could not be read, so that a caller can choose its own error code; after FAILED, try again later."""

    INVALID = "invalid"
    NOT_FOUND = "not found"
    ARCHIVED = "archived"
    DENIED = "access denied"
    CHANGED = "changed"
    FAILED = "failed"


class ObjectUnavailable(LabrelayError):
    """A URI whose bytes cannot be had."""

    def __init__(self, reason: Reason, uri: str, message: str) -> None:
        self.reason, self.uri = reason, uri
        super().__init__(message)


@dataclass(frozen=True)
class Found:
    """A thing that a URI names, there a moment ago.

    Attributes:
        uri: As it was asked for.
        name: The file's name.
        size: In bytes.
        etag: Without quotes; it changes when the content does.
        path: The local file, of read sets and references only.
        chunks: Opens the content, piece by piece.
    """

    uri: str
    name: str
    size: int
    etag: str
    path: Path | None = None
    chunks: Callable[[], Iterator[bytes]] = field(default=lambda: iter(()), repr=False, compare=False)


def store_folder(service: Service, store: str, kind: str, key: str) -> Path:
    """Return the folder of the files of a read set (kind `readSet`) or a reference (`reference`)."""
    return service.folder / "reads" / store / kind / key


def touch(folder: Path) -> None:
    """Note that a read set was used just now; what is not used for long may be archived."""
    with suppress(FileNotFoundError):
        os.utime(folder)


def open_uri(service: Service, uri: str) -> Found:
    """Find what a URI names.

    Raises:
        ObjectUnavailable: There is nothing that could be read; `reason` says why.
    """
    if match := S3_URI.fullmatch(uri):
        return _open_object(service, uri, match["bucket"], match["key"])
    if match := OMICS_URI.fullmatch(uri):
        if match["account"] != service.account or match["region"].lower() != service.region:
            raise ObjectUnavailable(Reason.DENIED, uri, f"{uri} is in another account or region than this emulator's.")
        is_read_set = match["kind"].lower() == "readset"
        opener = _open_read_set if is_read_set else _open_reference
        return opener(service, uri, match["store"], match["id"], (match["file"] or "").lower())
    raise ObjectUnavailable(
        Reason.INVALID, uri, f"{uri} is neither an s3:// object nor an omics:// read set or reference."
    )


def fetch(service: Service, uri: str, target: Path, watch: Callable[[bytes], object] | None = None) -> Found:
    """Copy the bytes of a URI to a local file, which is there whole and durable or not at all.

    Args:
        service: Whose stores and S3.
        uri: As for `open_uri`.
        target: Replaced if it is there; missing folders are made.
        watch: Is shown every piece on its way.

    Raises:
        ObjectUnavailable: It cannot be read, or changed while it was read.
        OSError: The disk did not take it.
    """
    found = open_uri(service, uri)
    make_dirs(target.parent)
    temp, handle = open_temp(target.parent)
    size = 0
    try:
        with handle:
            for chunk in found.chunks():
                size += len(chunk)
                if watch is not None:
                    watch(chunk)
                write_all(handle, chunk)
            os.fsync(handle.fileno())
        if size != found.size:
            message = f"{uri} gave {size} of {found.size} bytes; it changed while it was read."
            raise ObjectUnavailable(Reason.CHANGED, uri, message)
        faultpoint("emulator.fetched")
        temp.replace(target)
    except BaseException:
        temp.unlink(missing_ok=True)
        raise
    fsync_dir(target.parent)
    return found


def list_uris(service: Service, prefix: str) -> Iterator[str]:
    """Yield the `s3://` URIs of the objects below a prefix that ends with `/`, in order of their keys.

    Raises:
        ObjectUnavailable: The bucket cannot be listed.
    """
    bucket, _, key = prefix.removeprefix("s3://").partition("/")
    try:
        for page in service.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key):
            for entry in page.get("Contents", ()):
                yield f"s3://{bucket}/{entry['Key']}"
    except (ClientError, BotoCoreError) as error:
        raise _unavailable(service, prefix, error) from error


def _open_read_set(service: Service, uri: str, store: str, key: str, file: str) -> Found:
    with service.state.read() as state:
        body = state.get("readSet", key, store)
    if body is None:
        raise ObjectUnavailable(Reason.NOT_FOUND, uri, f"There is no read set {key} in sequence store {store}.")
    if body["status"] != "ACTIVE":
        reason = Reason.ARCHIVED if body["status"] in ("ARCHIVED", "ACTIVATING") else Reason.NOT_FOUND
        raise ObjectUnavailable(reason, uri, f"Read set {key} is {body['status']}; only an ACTIVE one can be read.")
    slot = "source1" if file in ("", "source") else file
    touch(store_folder(service, store, "readSet", key))
    etag = body.get("etag", {}).get(slot, f"{key}-{slot}")
    return _stored(service, uri, (store, "readSet", key), body, slot, etag)


def _open_reference(service: Service, uri: str, store: str, key: str, file: str) -> Found:
    with service.state.read() as state:
        body = state.get("reference", key, store)
    if body is None or body["status"] != "ACTIVE":
        raise ObjectUnavailable(Reason.NOT_FOUND, uri, f"There is no reference {key} in reference store {store}.")
    slot = file or "source"
    etag = body["md5"] if slot == "source" else f"{body['md5']}-{slot}"
    return _stored(service, uri, (store, "reference", key), body, slot, etag)


def _stored(
    service: Service, uri: str, where: tuple[str, str, str], body: dict[str, Any], slot: str, etag: str
) -> Found:
    name = body["_names"].get(slot)
    if name is None:
        raise ObjectUnavailable(Reason.NOT_FOUND, uri, f"{where[1]} {where[2]} has no file {slot}.")
    path = store_folder(service, *where) / name
    return Found(uri, name, body["files"][slot]["contentLength"], etag, path, lambda: _file_chunks(path))


def _file_chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _open_object(service: Service, uri: str, bucket: str, key: str) -> Found:
    try:
        head = service.s3.head_object(Bucket=bucket, Key=key)
    except (ClientError, BotoCoreError) as error:
        raise _unavailable(service, uri, error) from error
    etag = head["ETag"].strip('"')
    name = key.rstrip("/").rpartition("/")[2]

    def chunks() -> Iterator[bytes]:
        try:
            body = service.s3.get_object(Bucket=bucket, Key=key, IfMatch=head["ETag"])["Body"]
            yield from body.iter_chunks(CHUNK_BYTES)
        except (ClientError, BotoCoreError) as error:
            raise _unavailable(service, uri, error) from error

    return Found(uri, name, head["ContentLength"], etag, None, chunks)


def _unavailable(service: Service, uri: str, error: ClientError | BotoCoreError) -> ObjectUnavailable:
    if not isinstance(error, ClientError):
        return ObjectUnavailable(Reason.FAILED, uri, f"{uri} could not be read: {error}")
    code = error.response["Error"]["Code"]
    if code in ("404", "NoSuchKey", "NoSuchBucket", "NotFound"):
        if _is_archived(service, uri):
            return ObjectUnavailable(Reason.ARCHIVED, uri, f"{uri} belongs to an archived read set; activate it first.")
        return ObjectUnavailable(Reason.NOT_FOUND, uri, f"There is no object {uri}.")
    if code in ("403", "AccessDenied", "AllAccessDisabled"):
        return ObjectUnavailable(Reason.DENIED, uri, f"Access to {uri} is denied.")
    if code == "InvalidObjectState":
        return ObjectUnavailable(Reason.ARCHIVED, uri, f"{uri} lies in an archive tier; restore it first.")
    if code in ("412", "PreconditionFailed"):
        return ObjectUnavailable(Reason.CHANGED, uri, f"{uri} changed while it was read.")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    reason = Reason.INVALID if status < 500 else Reason.FAILED
    return ObjectUnavailable(reason, uri, f"{uri} could not be read: {error}")


def _is_archived(service: Service, uri: str) -> bool:
    """Whether this is the S3 URI of a read set that is archived, whose objects are not there meanwhile."""
    match = S3_URI.fullmatch(uri)
    inner = ALIAS_KEY.fullmatch(match["key"]) if match else None
    if inner is None:
        return False
    with service.state.read() as state:
        body = state.get("readSet", inner["id"], inner["store"])
    return body is not None and body["status"] in ("ARCHIVED", "ACTIVATING")
