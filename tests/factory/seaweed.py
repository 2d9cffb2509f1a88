"""An S3 that keeps its bytes on disk and refuses wrong checksums: the one beside the emulator, without the rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labrelay.emulator.children import answers, start_s3


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
    """Make a bucket that keeps versions."""
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
