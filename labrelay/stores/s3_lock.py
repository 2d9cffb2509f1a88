"""Whether a bucket keeps what is stored in it from change and deletion: S3 Object Lock by the bucket's default."""

from __future__ import annotations

from botocore.exceptions import ClientError

from labrelay.model.words import counted
from labrelay.stores.aws import Aws, aws_errors
from labrelay.stores.aws_errors import status_of


def default_retention(aws: Aws, bucket: str) -> str | None:
    """Return how the bucket locks each new object (`COMPLIANCE for 10 years`), or None. Cost: one call.

    A bucket that can lock but has no default locks nothing by itself, so that is None too.
    """
    with aws_errors(f"ask how the bucket {bucket} locks objects"):
        try:
            told = aws.client("s3").get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
        except ClientError as error:
            if status_of(error) == 404:
                return None
            raise
    rule = told.get("Rule", {}).get("DefaultRetention", {})
    for unit in ("Years", "Days"):
        if rule.get(unit):
            return f"{rule['Mode']} for {counted(rule[unit], unit.lower().removesuffix('s'))}"
    return None
