"""Read sets are uploaded in parts, which are put together and judged."""

from __future__ import annotations

import base64
import gzip
import hashlib
from pathlib import Path
from typing import Any

import pytest
from emulated_storage import Storage, alignments, fastq, open_service, s3_client

from labrelay.emulator import uploads
from labrelay.emulator.objects import ObjectUnavailable
from labrelay.emulator.operation import Failure
from labrelay.emulator.service import WORKERS


def begin(storage: Storage, **more: Any) -> str:
    asked = {"sourceFileType": "FASTQ", "subjectId": "patient", "sampleId": "NA1", "name": "up 1", **more}
    return str(
        storage.call_unchecked("CreateMultipartReadSetUpload", sequenceStoreId=storage.store, **asked)["uploadId"]
    )


def send(storage: Storage, upload: str, number: int, content: bytes, source: str = "SOURCE1") -> dict[str, Any]:
    where = {"sequenceStoreId": storage.store, "uploadId": upload, "partSource": source, "partNumber": number}
    checksum = storage.call("UploadReadSetPart", **where, payload=content)["checksum"]
    return {"partNumber": number, "partSource": source, "checksum": checksum}


def complete(storage: Storage, upload: str, parts: list[dict[str, Any]]) -> str:
    asked = {"sequenceStoreId": storage.store, "uploadId": upload, "parts": parts}
    return str(storage.call("CompleteMultipartReadSetUpload", **asked)["readSetId"])


def refusal(storage: Storage, operation: str, **asked: Any) -> Failure:
    with pytest.raises(Failure) as failure:
        storage.call(operation, sequenceStoreId=storage.store, **asked)
    return failure.value


def parts_folder(storage: Storage) -> list[Path]:
    return list((storage.service.folder / "uploads").glob("*"))


def test_parts_become_a_read_set(storage: Storage) -> None:
    upload = begin(storage, generatedFrom="run 1", tags={"a": "b"})
    first, second = fastq(50), fastq(50, mate=2)
    parts = [send(storage, upload, 2, first[60:]), send(storage, upload, 1, first[:60])]
    assert parts[1]["checksum"] == base64.b64encode(hashlib.sha256(first[:60]).digest()).decode()
    key = complete(storage, upload, [*parts, send(storage, upload, 1, second, "SOURCE2")])
    assert storage.read_set(key)["status"] == "PROCESSING_UPLOAD"
    assert refusal(storage, "GetReadSet", id=key, partNumber=1).code == "ConflictException"
    storage.work()
    found = storage.read_set(key)
    assert (found["status"], found["creationType"], found["name"]) == ("ACTIVE", "UPLOAD", "up 1")
    assert found["sequenceInformation"]["totalReadCount"] == 100
    assert found["etag"]["source1"] == hashlib.md5(gzip.decompress(first)).hexdigest()
    names = [found["files"][slot]["s3Access"]["s3Uri"].rpartition("/")[2] for slot in ("source1", "source2")]
    assert names == ["up_1_source1.fastq.gz", "up_1_source2.fastq.gz"]
    assert storage.call("ListTagsForResource", resourceArn=found["arn"])["tags"] == {"a": "b"}
    payload = storage.call("GetReadSet", sequenceStoreId=storage.store, id=key, partNumber=1)["payload"]
    assert payload.path.read_bytes() == first
    assert parts_folder(storage) == []
    assert len(storage.objects()) == 2


def test_open_uploads_are_listed_with_every_required_member(storage: Storage) -> None:
    uploads = [begin(storage), begin(storage, generatedFrom="run 2")]
    asked = {"sequenceStoreId": storage.store, "maxResults": 1}
    first = storage.call_unchecked("ListMultipartReadSetUploads", **asked)
    second = storage.call_unchecked("ListMultipartReadSetUploads", **asked, nextToken=first["nextToken"])
    found = first["uploads"] + second["uploads"]
    assert [upload["uploadId"] for upload in found] == uploads
    assert [upload["generatedFrom"] for upload in found] == ["", "run 2"]
    assert found[0]["referenceArn"] == ""


def test_a_part_sent_again_replaces_the_first(storage: Storage) -> None:
    upload = begin(storage)
    old = send(storage, upload, 1, b"something else")
    new = send(storage, upload, 1, fastq())
    refused = refusal(storage, "CompleteMultipartReadSetUpload", uploadId=upload, parts=[old])
    assert refused.code == "ValidationException"
    key = complete(storage, upload, [new])
    storage.work()
    assert storage.read_set(key)["status"] == "ACTIVE"


def test_a_part_that_is_too_large_is_refused_and_not_kept(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PART_BYTES", 10)
    upload = begin(storage)
    where = {"uploadId": upload, "partSource": "SOURCE1", "partNumber": 1}
    for content in (b"eleven byte", b""):
        assert refusal(storage, "UploadReadSetPart", **where, payload=content).code == "ValidationException"
    assert [list(folder.iterdir()) for folder in parts_folder(storage)] == [[]]
    send(storage, upload, 1, b"ten bytes.")


def test_completing_names_every_part_that_is_wrong(storage: Storage) -> None:
    upload = begin(storage)
    good = send(storage, upload, 1, fastq())
    send(storage, upload, 3, b"three")
    wrong = [{**good, "checksum": "AAAA"}, {**good, "partNumber": 3}, {**good, "partNumber": 4}]
    message = refusal(storage, "CompleteMultipartReadSetUpload", uploadId=upload, parts=wrong).message
    assert "part 1 of SOURCE1 has the checksum" in message
    assert "part 3 of SOURCE1 has the checksum" in message
    assert "part 4 of SOURCE1 was not uploaded" in message
    assert "without gaps" in message
    lonely = [{**good, "partSource": "SOURCE2"}]
    assert (
        "no part of SOURCE1"
        in refusal(storage, "CompleteMultipartReadSetUpload", uploadId=upload, parts=lonely).message
    )


def test_completing_again_is_the_same_read_set(storage: Storage) -> None:
    upload = begin(storage)
    parts = [send(storage, upload, 1, fastq())]
    key = complete(storage, upload, parts)
    assert complete(storage, upload, parts) == key
    storage.work()
    assert complete(storage, upload, parts) == key
    assert len(storage.call("ListReadSets", sequenceStoreId=storage.store)["readSets"]) == 1


def test_parts_are_listed_by_number_and_page(storage: Storage) -> None:
    upload = begin(storage)
    for number in (3, 1, 10, 2):
        send(storage, upload, number, b"x" * number)
    send(storage, upload, 1, b"other", "SOURCE2")
    asked = {"sequenceStoreId": storage.store, "uploadId": upload, "partSource": "SOURCE1", "maxResults": 3}
    first = storage.call("ListReadSetUploadParts", **asked)
    second = storage.call("ListReadSetUploadParts", **asked, nextToken=first["nextToken"])
    found = first["parts"] + second["parts"]
    assert [(part["partNumber"], part["partSize"]) for part in found] == [(1, 1), (2, 2), (3, 3), (10, 10)]
    assert "nextToken" not in second


def test_an_aborted_upload_is_gone_with_its_parts(storage: Storage) -> None:
    upload = begin(storage)
    send(storage, upload, 1, fastq())
    storage.call("AbortMultipartReadSetUpload", sequenceStoreId=storage.store, uploadId=upload)
    assert parts_folder(storage) == []
    assert storage.call_unchecked("ListMultipartReadSetUploads", sequenceStoreId=storage.store)["uploads"] == []
    for operation, asked in (
        ("AbortMultipartReadSetUpload", {}),
        ("CompleteMultipartReadSetUpload", {"parts": [{"partNumber": 1, "partSource": "SOURCE1", "checksum": "x"}]}),
        ("UploadReadSetPart", {"partNumber": 1, "partSource": "SOURCE1", "payload": b"x"}),
    ):
        assert refusal(storage, operation, uploadId=upload, **asked).code == "ResourceNotFoundException"


def test_what_is_no_fastq_fails_and_its_parts_are_kept_in_the_fallback_location(storage: Storage) -> None:
    storage.call("UpdateSequenceStore", id=storage.store, fallbackLocation="s3://lab/fallback/")
    upload = begin(storage)
    key = complete(storage, upload, [send(storage, upload, 1, b"no FASTQ")])
    storage.work()
    found = storage.read_set(key)
    assert found["status"] == "UPLOAD_FAILED"
    assert "not compressed with gzip" in found["statusMessage"]
    kept = storage.service.s3.get_object(Bucket="lab", Key=f"fallback/{upload}/SOURCE1-1")["Body"].read()
    assert kept == b"no FASTQ"
    assert storage.objects() == []
    storage.call("BatchDeleteReadSet", sequenceStoreId=storage.store, ids=[key])
    storage.work()
    storage.call("DeleteSequenceStore", id=storage.store)


def test_alignments_are_uploaded_under_their_name(storage: Storage, tmp_path: Path) -> None:
    upload = begin(storage, sourceFileType="UBAM", name="x")
    content = alignments(tmp_path / "made").read_bytes()
    refused = refusal(
        storage, "UploadReadSetPart", uploadId=upload, partNumber=1, partSource="SOURCE2", payload=content
    )
    assert refused.code == "ValidationException"
    key = complete(storage, upload, [send(storage, upload, 1, content)])
    storage.work()
    assert storage.read_set(key)["files"]["source1"]["s3Access"]["s3Uri"].endswith("/x.bam")
    assert refusal(
        storage, "CreateMultipartReadSetUpload", sourceFileType="BAM", name="x", subjectId="s", sampleId="s"
    ).message.startswith("A read set of type BAM needs a referenceArn")


def test_a_completed_upload_is_processed_after_a_restart(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = begin(storage)
    key = complete(storage, upload, [send(storage, upload, 1, fastq())])
    monkeypatch.setenv("LABRELAY_FAULT", "emulator.upload.judged:1:raise")
    with pytest.raises(RuntimeError):
        WORKERS["upload processing"](storage.service)
    monkeypatch.delenv("LABRELAY_FAULT")
    assert storage.read_set(key)["status"] == "PROCESSING_UPLOAD"
    storage.service = open_service(storage.service.folder, storage.url)
    storage.work()
    assert storage.read_set(key)["status"] == "ACTIVE"
    assert len(storage.objects()) == 1


def test_an_s3_that_is_away_fails_no_upload(storage: Storage) -> None:
    upload = begin(storage)
    key = complete(storage, upload, [send(storage, upload, 1, fastq())])
    there, storage.service.s3 = storage.service.s3, s3_client("http://127.0.0.1:9")
    with pytest.raises(ObjectUnavailable, match="could not be written"):
        storage.work()
    assert storage.read_set(key)["status"] == "PROCESSING_UPLOAD"
    storage.service.s3 = there
    storage.work()
    assert storage.read_set(key)["status"] == "ACTIVE"


def test_an_open_upload_survives_the_background_work_and_holds_its_store(storage: Storage) -> None:
    upload = begin(storage)
    part = send(storage, upload, 1, fastq())
    storage.work()
    with pytest.raises(Failure, match="not empty"):
        storage.call("DeleteSequenceStore", id=storage.store)
    complete(storage, upload, [part])
    storage.work()
    assert len(storage.objects()) == 1
