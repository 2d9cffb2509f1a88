"""Access point aliases: names that end as AWS's own (`…-s3alias`), which no S3 lets anybody give to a bucket.

A sequence store's files are read under such a name. Behind it stands a bucket whose name ends otherwise; it is put in
its place on the way to the S3 server and nowhere else.
"""

from __future__ import annotations

from typing import Any

ALIAS, BACKING = "-s3alias", "-s3reads"


def backing(bucket: str) -> str:
    """Return the bucket that stands behind a name."""
    return bucket.removesuffix(ALIAS) + BACKING if bucket.endswith(ALIAS) else bucket


def backing_path(path: bytes) -> bytes:
    """Return the path of a request with the bucket, its first part, replaced."""
    empty, _, rest = path.partition(b"/")
    bucket, slash, key = rest.partition(b"/")
    return empty + b"/" + backing(bucket.decode("latin-1")).encode("latin-1") + slash + key


def let_use_aliases(s3: Any) -> Any:
    """Make a boto3 client of the S3 server understand aliases; returns it."""
    s3.meta.events.register("before-parameter-build.s3", _replace)
    return s3


def _replace(params: dict[str, Any], **_others: object) -> None:
    if isinstance(bucket := params.get("Bucket"), str):
        params["Bucket"] = backing(bucket)
    if isinstance(source := params.get("CopySource"), dict):
        params["CopySource"] = source | {"Bucket": backing(str(source["Bucket"]))}
