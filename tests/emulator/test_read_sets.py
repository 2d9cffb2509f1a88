"""Read sets: listed, read in parts, archived and activated, exported, deleted; and found by URI."""

from __future__ import annotations

from pathlib import Path

import pytest
from emulated_storage import ROLE, Storage, fastq

from labrelay.emulator import stored_files
from labrelay.emulator.archives import archive
from labrelay.emulator.objects import ObjectUnavailable, Reason, fetch, list_uris, open_uri
from labrelay.emulator.operation import Failure


def read(storage: Storage, key: str, part: int = 1, **asked: object) -> bytes:
    payload = storage.call("GetReadSet", sequenceStoreId=storage.store, id=key, partNumber=part, **asked)["payload"]
    return payload.path.read_bytes()[payload.start : payload.start + payload.length]


def refusal(storage: Storage, operation: str, **asked: object) -> str:
    with pytest.raises(Failure) as failure:
        storage.call(operation, sequenceStoreId=storage.store, **asked)
    return failure.value.code


def activate(storage: Storage, *keys: str) -> str:
    sources = [{"readSetId": key} for key in keys]
    return str(storage.call("StartReadSetActivationJob", sequenceStoreId=storage.store, sources=sources)["id"])


def omics_uri(storage: Storage, key: str, file: str = "") -> str:
    return f"omics://123456789012.storage.us-east-1.amazonaws.com/{storage.store}/readSet/{key}{file}"


def reason(storage: Storage, uri: str) -> Reason:
    with pytest.raises(ObjectUnavailable) as unavailable:
        open_uri(storage.service, uri)
    return unavailable.value.reason


def test_a_file_is_read_in_parts(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_files, "PART_BYTES", 50)
    key = storage.import_read_set()
    entry = storage.read_set(key)["files"]["source1"]
    parts = [read(storage, key, part) for part in range(1, entry["totalParts"] + 1)]
    assert b"".join(parts) == fastq()
    assert len(parts) > 1
    past = entry["totalParts"] + 1
    assert refusal(storage, "GetReadSet", id=key, partNumber=past) == "RangeNotSatisfiableException"
    assert refusal(storage, "GetReadSet", id=key, partNumber=1, file="SOURCE2") == "ResourceNotFoundException"
    assert refusal(storage, "GetReadSet", id="9999999999", partNumber=1) == "ResourceNotFoundException"


@pytest.mark.parametrize(
    "wanted",
    [
        {"sampleId": "NA2"},
        {"subjectId": "other"},
        {"name": "second"},
        {"generatedFrom": "run 2"},
        {"sampleId": "NA2", "status": "ACTIVE", "creationType": "IMPORT"},
    ],
)
def test_read_sets_are_found_by_what_was_said_of_them(storage: Storage, wanted: dict[str, str]) -> None:
    storage.import_read_set(name="first", generatedFrom="run 1")
    second = storage.import_read_set(name="second", generatedFrom="run 2", sampleId="NA2", subjectId="other")
    found = storage.call("ListReadSets", sequenceStoreId=storage.store, filter=wanted)["readSets"]
    assert [read_set["id"] for read_set in found] == [second]
    nothing = {**wanted, "creationType": "UPLOAD"}
    assert storage.call("ListReadSets", sequenceStoreId=storage.store, filter=nothing)["readSets"] == []


def test_a_deleted_read_set_is_gone_everywhere(storage: Storage) -> None:
    key, kept = storage.import_read_set(), storage.import_read_set()
    answer = storage.call("BatchDeleteReadSet", sequenceStoreId=storage.store, ids=[key, "9999999999"])
    assert [(error["id"], error["code"]) for error in answer["errors"]] == [("9999999999", "ResourceNotFoundException")]
    assert storage.read_set(key)["status"] == "DELETING"
    assert refusal(storage, "GetReadSet", id=key, partNumber=1) == "ResourceNotFoundException"
    storage.work()
    assert refusal(storage, "GetReadSetMetadata", id=key) == "ResourceNotFoundException"
    assert all(f"/readSet/{kept}/" in name for name in storage.objects())
    assert [path.name for path in (storage.service.folder / "reads" / storage.store / "readSet").iterdir()] == [kept]
    told = [detail["status"] for _, _, detail in storage.events if detail.get("id") == key]
    assert told == ["ACTIVE", "DELETING", "DELETED"]


def test_an_archived_read_set_cannot_be_read_until_it_is_activated(storage: Storage) -> None:
    key = storage.import_read_set()
    before = storage.read_set(key)
    archive(storage.service, storage.store, key)
    s3_uri = before["files"]["source1"]["s3Access"]["s3Uri"]
    assert storage.read_set(key)["status"] == "ARCHIVED"
    assert refusal(storage, "GetReadSet", id=key, partNumber=1) == "ConflictException"
    assert reason(storage, omics_uri(storage, key)) is Reason.ARCHIVED
    assert reason(storage, s3_uri) is Reason.ARCHIVED
    assert storage.objects() == []
    job = activate(storage, key)
    assert storage.read_set(key)["status"] == "ACTIVATING"
    storage.work()
    found = storage.call("GetReadSetActivationJob", sequenceStoreId=storage.store, id=job)
    assert (found["status"], found["sources"][0]["status"]) == ("COMPLETED", "FINISHED")
    assert storage.read_set(key) == before
    assert open_uri(storage.service, s3_uri).size == len(fastq())
    assert read(storage, key) == fastq()


def test_what_is_active_can_be_activated_and_what_is_not_there_cannot(storage: Storage) -> None:
    job = activate(storage, storage.import_read_set())
    storage.work()
    assert storage.call("ListReadSetActivationJobs", sequenceStoreId=storage.store)["activationJobs"][0]["id"] == job
    sources = [{"readSetId": "9999999999"}]
    assert refusal(storage, "StartReadSetActivationJob", sources=sources) == "ResourceNotFoundException"
    assert refusal(storage, "StartReadSetActivationJob", sources=sources * 21) == "ValidationException"


def test_what_nobody_used_for_the_set_time_is_archived(storage: Storage) -> None:
    key = storage.import_read_set()
    storage.work()
    assert storage.read_set(key)["status"] == "ACTIVE"
    (storage.service.folder / "storage.toml").write_text("[archive]\nafter_seconds = 3600\n")
    storage.work()
    assert storage.read_set(key)["status"] == "ACTIVE"
    (storage.service.folder / "storage.toml").write_text("[archive]\nafter_seconds = 0\n")
    storage.work()
    assert storage.read_set(key)["status"] == "ARCHIVED"


def test_read_sets_are_exported_under_their_ids(storage: Storage) -> None:
    active, archived = storage.import_read_set(), storage.import_read_set()
    archive(storage.service, storage.store, archived)
    asked = {"sequenceStoreId": storage.store, "roleArn": ROLE, "destination": "s3://lab/out/"}
    job = storage.call("StartReadSetExportJob", **asked, sources=[{"readSetId": key} for key in (active, archived)])[
        "id"
    ]
    storage.work()
    found = storage.call("GetReadSetExportJob", sequenceStoreId=storage.store, id=job)
    assert found["status"] == "COMPLETED_WITH_FAILURES"
    assert [(item["id"], item["status"]) for item in found["readSets"]] == [(active, "FINISHED"), (archived, "FAILED")]
    assert list(list_uris(storage.service, "s3://lab/out/")) == [f"s3://lab/out/{active}/tiny.fastq.gz"]
    assert storage.service.s3.get_object(Bucket="lab", Key=f"out/{active}/tiny.fastq.gz")["Body"].read() == fastq()


def test_an_export_to_a_bucket_that_is_not_there_failed(storage: Storage) -> None:
    asked = {"sequenceStoreId": storage.store, "roleArn": ROLE, "destination": "s3://nowhere/"}
    sources = [{"readSetId": storage.import_read_set()}]
    job = storage.call("StartReadSetExportJob", **asked, sources=sources)["id"]
    storage.work()
    jobs = storage.call("ListReadSetExportJobs", sequenceStoreId=storage.store, filter={"status": "FAILED"})
    assert [found["id"] for found in jobs["exportJobs"]] == [job]


def test_read_sets_and_references_are_fetched_by_uri(storage: Storage, tmp_path: Path) -> None:
    pair = {"source1": storage.put("A_R1.fastq.gz", fastq()), "source2": storage.put("A_R2.fastq.gz", fastq(mate=2))}
    key = storage.import_read_set(sourceFiles=pair)
    reference = storage.import_reference()["referenceId"]
    base = f"omics://123456789012.storage.us-east-1.amazonaws.com/{storage.references}/reference/{reference}"
    for uri, name in (
        (omics_uri(storage, key), "A_R1.fastq.gz"),
        (omics_uri(storage, key, "/SOURCE2"), "A_R2.fastq.gz"),
        (base, "ref.fa"),
        (f"{base}/index", "ref.fa.fai"),
        ("s3://lab/A_R1.fastq.gz", "A_R1.fastq.gz"),
    ):
        found = fetch(storage.service, uri, tmp_path / "in" / name)
        assert found.name == name
        assert found.size == (tmp_path / "in" / name).stat().st_size > 0
        assert found.etag == open_uri(storage.service, uri).etag
    assert (tmp_path / "in" / "A_R2.fastq.gz").read_bytes() == fastq(mate=2)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3://lab/missing", Reason.NOT_FOUND),
        ("s3://no-such-bucket/missing", Reason.NOT_FOUND),
        ("file:///etc/passwd", Reason.INVALID),
        ("omics://123456789012.storage.us-east-1.amazonaws.com/1000000002/readSet/9999999999", Reason.NOT_FOUND),
        ("omics://999999999999.storage.us-east-1.amazonaws.com/1000000002/readSet/9999999999", Reason.DENIED),
        ("omics://123456789012.storage.us-east-1.amazonaws.com/1000000002/readSet/../../x", Reason.INVALID),
    ],
)
def test_a_uri_that_leads_nowhere_says_why(storage: Storage, uri: str, expected: Reason) -> None:
    assert reason(storage, uri) is expected


def test_an_object_that_changes_while_it_is_read_is_not_taken(storage: Storage, tmp_path: Path) -> None:
    uri = storage.put("growing.txt", b"first")
    found = open_uri(storage.service, uri)
    storage.put("growing.txt", b"first and second")
    with pytest.raises(ObjectUnavailable) as unavailable:
        list(found.chunks())
    assert unavailable.value.reason is Reason.CHANGED
