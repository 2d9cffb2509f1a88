"""The bucket of a lab: made when it is missing, and with versions, so that nothing stored is ever overwritten."""

from __future__ import annotations

from botocore.exceptions import ClientError

from labrelay.model.faults import faultpoint
from labrelay.stores.aws import Aws, aws_errors
from labrelay.stores.aws_errors import status_of


def ensure_bucket(aws: Aws, bucket: str) -> bool:
    """See that a bucket is there and keeps versions; return whether it was made now. Cost: two to four calls.

    Raises:
        Denied: It is somebody else's, or a permission is missing; the sentence names it.
    """
    s3 = aws.client("s3")
    made = not _exists(aws, bucket)
    if made:
        region = s3.meta.region_name
        place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        with aws_errors(f"make the bucket {bucket}"):
            s3.create_bucket(Bucket=bucket, **place)
        faultpoint("s3.bucket_made")
    with aws_errors(f"see that the bucket {bucket} keeps versions"):
        if s3.get_bucket_versioning(Bucket=bucket).get("Status") != "Enabled":
            s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return made


def _exists(aws: Aws, bucket: str) -> bool:
    with aws_errors(f"look for the bucket {bucket}"):
        try:
            aws.client("s3").head_bucket(Bucket=bucket)
        except ClientError as error:
            if status_of(error) == 404:
                return False
            raise
    return True
