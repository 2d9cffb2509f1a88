"""What a bucket keeps: anchors under Object Lock, and checksums that a look at a stored file may ask for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
from botocore.exceptions import ClientError

from labrelay.records import anchors
from labrelay.records.audit import Head
from labrelay.steps.home import Home
from labrelay.steps.looking import Looker, State
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


def test_a_look_asks_s3_for_its_checksum_and_reads_only_when_that_is_wanted(s3_store: S3ObjectStore) -> None:
    ref = s3_store.put_bytes("runs/a.txt", b"as it was stored")
    home = cast(Home, SimpleNamespace(results=s3_store, objects=s3_store, reads=None))
    found = [Looker(home, deep=deep).at("a", ref) for deep in (False, True)]
    assert [(look.state, look.by) for look in found] == [(State.OK, "checksum"), (State.OK, "bytes")]
    s3 = s3_store._client
    s3.put_object(Bucket="lab", Key=f"{s3_store.base}runs/a.txt", Body=b"as it was stored")
    assert Looker(home, deep=False).at("a", ref).why == "the same bytes, but another version of the object"
    s3.put_object(Bucket="lab", Key=f"{s3_store.base}runs/a.txt", Body=b"something else")
    assert Looker(home, deep=True).at("a", ref).state is State.CHANGED
    s3.delete_object(Bucket="lab", Key=f"{s3_store.base}runs/a.txt")
    assert Looker(home, deep=False).at("a", ref).state is State.MISSING
    elsewhere = ref.model_copy(update={"storage": "upload"})
    assert Looker(home, deep=False).at("a", elsewhere).state is State.ELSEWHERE
