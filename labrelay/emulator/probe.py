"""Whether seaweedfs gives back the bytes of an earlier start, which it does only some time after it first answers."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

# Not listed among the buckets, see `proxy.list_buckets`.
BUCKET = "labrelay-emulator-probe"
KEY = "probe"


def gives_bytes(s3: Any) -> bool:
    """Return whether the probe that an earlier look wrote can be read; write it if there is none.

    A seaweedfs that was killed answers as soon as its filer runs, and fails each read with an internal error until its
    volumes have announced themselves, all in one message.
    """
    try:
        s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read()
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code")
        if code in ("NoSuchBucket", "NoSuchKey"):
            _write(s3)
        return False
    except BotoCoreError:
        return False
    return True


def _write(s3: Any) -> None:
    # What fails now is tried again at the next look.
    with suppress(ClientError, BotoCoreError):
        s3.create_bucket(Bucket=BUCKET)
    with suppress(ClientError, BotoCoreError):
        s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"here")
