"""The buckets that the service itself needs in the emulator's S3."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from labrelay.emulator.service import Service

OURS = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")


def make_bucket(service: Service, bucket: str) -> None:
    """Make a bucket unless it is there; asking first would not do, as another thread may make it meanwhile."""
    try:
        service.s3.create_bucket(Bucket=bucket, **_location(service))
    except ClientError as error:
        if error.response["Error"]["Code"] not in OURS:
            raise


def _location(service: Service) -> dict[str, Any]:
    # The one region that may not be named.
    if service.region == "us-east-1":
        return {}
    return {"CreateBucketConfiguration": {"LocationConstraint": service.region}}
