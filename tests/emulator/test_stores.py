"""Sequence stores and the reference store."""

from __future__ import annotations

from pathlib import Path

import pytest
from emulated_storage import Storage, open_service

from labrelay.emulator.operation import Failure
from labrelay.emulator.sequence_stores import MOST_STORES
from labrelay.emulator.wire import call


def refused(storage: Storage, operation: str, **asked: object) -> str:
    with pytest.raises(Failure) as failure:
        storage.call(operation, **asked)
    return failure.value.code


def test_a_store_has_a_bucket_whose_name_s3_allows(storage: Storage) -> None:
    access = storage.call("GetSequenceStore", id=storage.store)["s3Access"]
    bucket = access["s3Uri"].split("/")[2]
    assert bucket.startswith(f"123456789012-{storage.store}-")
    assert bucket.endswith("-s3alias")
    assert len(bucket) <= 63
    storage.service.s3.head_bucket(Bucket=bucket)
    assert access["s3Uri"] == f"s3://{bucket}/123456789012/sequenceStore/{storage.store}/"


def test_a_repeated_creation_is_the_same_store_and_another_is_a_conflict(storage: Storage) -> None:
    first = storage.call("CreateSequenceStore", name="more", clientToken="once")
    assert storage.call("CreateSequenceStore", name="more", clientToken="once") == first
    assert refused(storage, "CreateSequenceStore", name="other", clientToken="once") == "ConflictException"
    assert len(storage.call("ListSequenceStores")["sequenceStores"]) == 2


def test_a_store_whose_bucket_a_killed_server_did_not_make_gets_it_when_asked_again(storage: Storage) -> None:
    made = storage.call("CreateSequenceStore", name="more", clientToken="once")
    bucket = made["s3Access"]["s3Uri"].split("/")[2]
    storage.service.s3.delete_bucket(Bucket=bucket)
    storage.call("CreateSequenceStore", name="more", clientToken="once")
    storage.service.s3.head_bucket(Bucket=bucket)


def test_an_account_has_twenty_sequence_stores_and_one_reference_store(storage: Storage) -> None:
    for n in range(MOST_STORES - 1):
        storage.call("CreateSequenceStore", name=f"store {n}")
    assert refused(storage, "CreateSequenceStore", name="one more") == "ServiceQuotaExceededException"
    assert refused(storage, "CreateReferenceStore", name="one more") == "ServiceQuotaExceededException"


def test_stores_are_found_by_name_state_and_time(storage: Storage) -> None:
    other = storage.call("CreateSequenceStore", name="other")
    for wanted in ({"name": "other"}, {"status": "ACTIVE", "createdAfter": other["creationTime"]}):
        assert [s["id"] for s in storage.call("ListSequenceStores", filter=wanted)["sequenceStores"]] == [other["id"]]
    assert storage.call("ListSequenceStores", filter={"status": "FAILED"})["sequenceStores"] == []
    assert storage.call("ListReferenceStores", filter={"name": "nobody"})["referenceStores"] == []


def test_a_store_that_is_not_empty_is_not_deleted(storage: Storage) -> None:
    key = storage.import_read_set()
    storage.import_reference()
    assert refused(storage, "DeleteSequenceStore", id=storage.store) == "ConflictException"
    assert refused(storage, "DeleteReferenceStore", id=storage.references) == "ConflictException"
    storage.call("BatchDeleteReadSet", sequenceStoreId=storage.store, ids=[key])
    storage.work()
    storage.call("DeleteSequenceStore", id=storage.store)
    assert refused(storage, "GetSequenceStore", id=storage.store) == "ResourceNotFoundException"


def test_at_most_five_tags_are_propagated_and_a_change_reaches_the_objects(storage: Storage) -> None:
    keys = [f"key{n}" for n in range(6)]
    assert (
        refused(storage, "UpdateSequenceStore", id=storage.store, propagatedSetLevelTags=keys) == "ValidationException"
    )
    key = storage.import_read_set(tags={"project": "flu", "private": "no"})
    updated = storage.call("UpdateSequenceStore", id=storage.store, propagatedSetLevelTags=["project"])
    assert updated["status"] == "UPDATING"
    storage.work()
    assert storage.call("GetSequenceStore", id=storage.store)["status"] == "ACTIVE"
    bucket, _, name = (
        storage.read_set(key)["files"]["source1"]["s3Access"]["s3Uri"].removeprefix("s3://").partition("/")
    )
    tags = {t["Key"]: t["Value"] for t in storage.service.s3.get_object_tagging(Bucket=bucket, Key=name)["TagSet"]}
    assert tags["project"] == "flu"
    assert "private" not in tags


def test_a_changed_store_keeps_what_was_not_named(storage: Storage) -> None:
    storage.call("UpdateSequenceStore", id=storage.store, description="of the lab", fallbackLocation="s3://lab/parts/")
    found = storage.call("UpdateSequenceStore", id=storage.store, name="renamed")
    assert (found["name"], found["description"]) == ("renamed", "of the lab")
    assert found["fallbackLocation"] == "s3://lab/parts/"
    assert found["status"] == "ACTIVE"


def test_tags_given_at_creation_are_listed(storage: Storage) -> None:
    made = storage.call("CreateSequenceStore", name="tagged", tags={"team": "virology"})
    assert storage.call("ListTagsForResource", resourceArn=made["arn"])["tags"] == {"team": "virology"}


def test_what_was_made_is_there_after_a_restart(storage: Storage, tmp_path: Path) -> None:
    again = open_service(tmp_path / "data", storage.url)
    assert call(again, "GetSequenceStore", {"id": storage.store})["name"] == "reads"


def test_an_access_policy_is_kept_with_its_store(storage: Storage) -> None:
    arn = storage.call("GetSequenceStore", id=storage.store)["s3Access"]["s3AccessPointArn"]
    assert refused(storage, "GetS3AccessPolicy", s3AccessPointArn=arn) == "ResourceNotFoundException"
    put = storage.call("PutS3AccessPolicy", s3AccessPointArn=arn, s3AccessPolicy='{"Statement": []}')
    assert put == {"s3AccessPointArn": arn, "storeId": storage.store, "storeType": "SEQUENCE_STORE"}
    assert storage.call("GetS3AccessPolicy", s3AccessPointArn=arn)["s3AccessPolicy"] == '{"Statement": []}'
    assert (
        refused(storage, "PutS3AccessPolicy", s3AccessPointArn=arn, s3AccessPolicy="no json") == "ValidationException"
    )
    large = f'{{"Statement": "{"x" * 16_000}"}}'
    assert refused(storage, "PutS3AccessPolicy", s3AccessPointArn=arn, s3AccessPolicy=large) == "ValidationException"
    storage.call("DeleteS3AccessPolicy", s3AccessPointArn=arn)
    assert refused(storage, "DeleteS3AccessPolicy", s3AccessPointArn=arn) == "ResourceNotFoundException"
