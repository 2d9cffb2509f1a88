"""An S3 that keeps its bytes on disk and refuses wrong checksums: the one beside the emulator, without the rest."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from labrelay.emulator.children import answers, start_s3

SECONDS = 60.0


@contextmanager
def seaweed(folder: Path) -> Iterator[str]:
    """Serve S3 from `folder` for the block and yield its URL; any access key is let in."""
    child = start_s3(folder)
    try:
        child.wait_until(lambda: answers(f"{child.url}/there-is-no-such-bucket", (404,)))
        yield child.url
    finally:
        child.stop()


def make_bucket(s3: Any, bucket: str) -> None:
    """Make a bucket that keeps versions, as soon as the server can: it answers before all of its parts are up."""
    until = time.monotonic() + SECONDS
    while True:
        try:
            s3.create_bucket(Bucket=bucket)
            break
        except ClientError as error:
            if error.response["Error"]["Code"] in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                break
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=bucket, Key=".ready", Body=b"")
