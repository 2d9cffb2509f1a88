"""Files behind `omics://` URIs: a read set's lie in S3 behind its store's access point, a reference's come in parts."""

from __future__ import annotations

import os
import re
from pathlib import Path

from labrelay.model.errors import NotFound, StorageFailed
from labrelay.stores.aws import Aws, aws_errors
from labrelay.stores.durable import fsync_dir, make_dirs, storage_errors, write_all

URI = re.compile(
    r"omics://\d{12}\.storage\.[a-z0-9-]+\.amazonaws\.com/(?P<store>\d{10,36})/(?P<kind>readSet|reference)"
    r"/(?P<id>\d{10,36})/(?P<part>source1|source2|source|index)\Z"
)
NAMES = {"source": "reference.fasta", "index": "reference.fasta.fai"}  # the service tells no file's name
CHUNK = 1 << 20


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

    Cost: one call, and one a part. Memory: a chunk.

    Raises:
        NotFound: There is no such reference.
        StorageFailed: The service gave another number of bytes than it said, or the disk did not take them.
    """
    named = URI.match(uri)
    if target.is_file() or named is None:
        return
    client, asked = aws.client("omics"), {"referenceStoreId": named["store"], "id": named["id"]}
    with aws_errors(f"look up {uri}"):
        about = client.get_reference_metadata(**asked)["files"][named["part"]]
    part = target.with_name(f".{target.name}.part")
    with storage_errors(f"store {target.name}", target.parent):
        make_dirs(target.parent)
        with part.open("wb", buffering=0) as handle:
            for number in range(1, int(about["totalParts"]) + 1):
                with aws_errors(f"read {uri}"):
                    body = client.get_reference(**asked, partNumber=number, file=named["part"].upper())["payload"]
                    for chunk in body.iter_chunks(CHUNK):
                        write_all(handle, chunk)
            os.fsync(handle.fileno())
        if part.stat().st_size != about["contentLength"]:
            part.unlink()
            raise StorageFailed(f"{uri} gave another number of bytes than it has; repeat the command.")
        part.replace(target)
        fsync_dir(target.parent)
