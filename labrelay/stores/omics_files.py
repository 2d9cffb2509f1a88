"""Files behind `omics://` URIs: a read set's lie in S3 behind its store's access point, a reference's come in parts."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import re
from collections.abc import Callable
from pathlib import Path

from labrelay.model.errors import NotFound, StorageFailed
from labrelay.stores.aws import Aws, aws_errors
from labrelay.stores.durable import file_lock, fsync_dir, storage_errors, write_all

log = logging.getLogger(__name__)
URI = re.compile(
    r"omics://\d{12}\.storage\.[a-z0-9-]+\.amazonaws\.com/(?P<store>\d{10,36})/(?P<kind>readSet|reference)"
    r"/(?P<id>\d{10,36})/(?P<part>source1|source2|source|index)\Z"
)
NAMES = {"source": "reference.fasta", "index": "reference.fasta.fai"}  # the service tells no file's name
CHUNK = 1 << 20
PLAIN_MD5 = re.compile(r"[0-9a-f]{32}\Z")
FIXED_TIME = (0, 0)


def is_reference(uri: str) -> bool:
    """Tell whether a URI names a file of a reference."""
    named = URI.match(uri)
    return named is not None and named["kind"] == "reference"


def s3_uri_of(aws: Aws, uri: str) -> str:
    """Return the `s3://` URI of a read set's file; one that is an `s3://` URI is returned as it is. Cost: one call.

    Raises:
        NotFound: It is no such URI, or nothing is there that can be read by S3.
    """
    if uri.startswith("s3://"):
        return uri
    named = URI.match(uri)
    if named is None:
        raise NotFound(f"{uri} is no s3:// object and no read set or reference of HealthOmics")
    with aws_errors(f"look up {uri}"):
        told = aws.client("omics").get_read_set_metadata(sequenceStoreId=named["store"], id=named["id"])
    found = told.get("files", {}).get(named["part"], {}).get("s3Access", {}).get("s3Uri")
    if not found:
        raise NotFound(f"{uri} cannot be read by S3: its store gives no access point for it")
    return str(found)


def reference_place(uri: str, folder: Path) -> Path:
    """Return where a reference's file goes below a folder: an index beside what it is of, each reference apart."""
    named = URI.match(uri)
    if named is None:
        raise NotFound(f"{uri} is no reference of HealthOmics")
    return folder / f"{named['store']}-{named['id']}" / NAMES[named["part"]]


def fetch_reference(aws: Aws, uri: str, target: Path) -> None:
    """Bring a reference's file to `target`; one that is there is not brought again, since references never change.

    One process brings it, others wait for that. Cost: one call, and one a part. Memory: a chunk.

    Raises:
        NotFound: There is no such reference.
        StorageFailed: The service gave other bytes than it has, or the disk did not take them.
    """
    named = URI.match(uri)
    if target.is_file() or named is None:
        return
    asked = {"referenceStoreId": named["store"], "id": named["id"]}
    with aws_errors(f"look up {uri}"):
        about = aws.client("omics").get_reference_metadata(**asked)
    file = about["files"][named["part"]]
    md5 = str(about.get("md5", "")).lower() if named["part"] == "source" else ""
    with (
        storage_errors(f"store {target.name}", target.parent),
        file_lock(target.with_name(f".{target.name}.lock"), f"{uri} being brought", math.inf),
    ):
        if target.is_file():
            return
        part = target.with_name(f".{target.name}.part")
        asked["file"] = named["part"].upper()
        _checked(lambda: _write(aws, uri, asked, int(file["totalParts"]), part), uri, md5)
        if part.stat().st_size != file["contentLength"]:
            part.unlink()
            raise StorageFailed(f"{uri} gave another number of bytes than it has; repeat the command.")
        settle(part, target)


def settle(part: Path, target: Path) -> None:
    """Give a file that is whole its name: read-only and of one time for ever, since call caches go by path and time."""
    part.chmod(0o444)
    os.utime(part, FIXED_TIME)
    part.replace(target)
    fsync_dir(target.parent)


def _checked(read: Callable[[], str], uri: str, md5: str) -> None:
    """Read a file and compare its MD5 with the service's; a difference has to be there twice to be believed.

    The service does not say which bytes its MD5 is of: if it is none of the file's, each reading gives the same.
    """
    first = read()
    if not PLAIN_MD5.match(md5) or first == md5:
        return
    second = read()
    if second not in (md5, first):
        raise StorageFailed(f"{uri} was read twice with different bytes; repeat the command.")
    if second != md5:
        log.warning("%s has the MD5 %s, and the service says %s, which is not of its bytes", uri, second, md5)


def _write(aws: Aws, uri: str, asked: dict[str, str], parts: int, path: Path) -> str:
    """Write all parts of a file to `path`, over what is there; return their MD5."""
    client, md5 = aws.client("omics"), hashlib.md5(usedforsecurity=False)
    with path.open("wb", buffering=0) as handle:
        for number in range(1, parts + 1):
            with aws_errors(f"read {uri}"):
                body = client.get_reference(**asked, partNumber=number)["payload"]
                for chunk in body.iter_chunks(CHUNK):
                    write_all(handle, chunk)
                    md5.update(chunk)
        os.fsync(handle.fileno())
    return md5.hexdigest()
