"""What a bucket's Object Lock keeps, and what is said of one that has none."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from labrelay.records import anchors
from labrelay.records.audit import Head
from labrelay.stores.aws import Aws
from labrelay.stores.ports import ObjectStore
from labrelay.stores.s3 import S3ObjectStore

HEAD = Head(seq=12, hash="a" * 64, at="2026-11-28T10:00:00.000000+00:00", chain="b" * 64)


def test_an_anchor_is_written_once_in_every_store_and_read_back(store: ObjectStore) -> None:
    ref, new = anchors.put(store, HEAD)
    assert (ref.key, new) == ("audit/anchors/000000000012-aaaaaaaaaaaaaaaa.json", True)
    assert anchors.put(store, HEAD) == (ref, False)
    anchors.put(store, HEAD._replace(hash="c" * 64))  # the same number in another trail is another anchor
    assert [key for key, _content in anchors.kept(store)] == [
        "audit/anchors/000000000012-aaaaaaaaaaaaaaaa.json",
        "audit/anchors/000000000012-cccccccccccccccc.json",
    ]
    assert anchors.protection(store) is None


@pytest.fixture
def locking(s3_server: Aws) -> S3ObjectStore:
    s3 = s3_server.client("s3")
    s3.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    return S3ObjectStore(s3_server, "locked", "lab")


def test_a_bucket_that_locks_by_default_locks_anchors_and_one_without_a_default_does_not(
    locking: S3ObjectStore, s3_server: Aws
) -> None:
    assert anchors.protection(locking) is None
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}
    s3 = s3_server.client("s3")
    s3.put_object_lock_configuration(
        Bucket="locked", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )
    assert anchors.protection(locking) == "COMPLIANCE for 1 day"
    ref, _new = anchors.put(locking, HEAD)
    with pytest.raises(ClientError, match=r"AccessDenied|lock|retention"):
        s3.delete_object(Bucket="locked", Key=f"lab/{ref.key}", VersionId=ref.version)
    assert locking.head(ref.key) == ref
