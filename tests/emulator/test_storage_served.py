"""Storage through the emulator's port with plain boto3 and an S3 on disk: what a lab's own client does."""

from __future__ import annotations

import base64
import hashlib
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError
from emulated import Emulated
from emulated_storage import REFERENCE, ROLE, described, fastq

SOON = {"Delay": 1, "MaxAttempts": 60}


@pytest.fixture(scope="module")
def omics(own_emulator: Emulated) -> Any:
    return own_emulator.client("omics")


@pytest.fixture(scope="module")
def s3(own_emulator: Emulated) -> Any:
    client = own_emulator.client("s3")
    client.create_bucket(Bucket="lab-storage")
    return client


@pytest.fixture(scope="module")
def store(omics: Any) -> str:
    return str(omics.create_sequence_store(name="served reads")["id"])


def put(s3: Any, key: str, content: bytes) -> str:
    s3.put_object(Bucket="lab-storage", Key=key, Body=content)
    return f"s3://lab-storage/{key}"


def test_a_pair_is_imported_read_exported_and_deleted(omics: Any, s3: Any, store: str) -> None:
    pair = {"source1": put(s3, "A R1.fastq.gz", fastq()), "source2": put(s3, "A R2.fastq.gz", fastq(mate=2))}
    sources = [described(sourceFiles=pair, sampleId="Größe 1/2", tags={"project": "flu"})]
    job = omics.start_read_set_import_job(sequenceStoreId=store, roleArn=ROLE, sources=sources)["id"]
    omics.get_waiter("read_set_import_job_completed").wait(sequenceStoreId=store, id=job, WaiterConfig=SOON)
    source = omics.get_read_set_import_job(sequenceStoreId=store, id=job)["sources"][0]
    where = {"sequenceStoreId": store, "id": source["readSetId"]}
    found = omics.get_read_set_metadata(**where)
    assert omics.get_read_set(**where, file="SOURCE2", partNumber=1)["payload"].read() == fastq(mate=2)
    bucket, _, key = found["files"]["source1"]["s3Access"]["s3Uri"].removeprefix("s3://").partition("/")
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == fastq()
    tags = {tag["Key"]: tag["Value"] for tag in s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]}
    assert tags["omics:sampleId"] == "Größe 1/2"
    assert omics.list_tags_for_resource(resourceArn=found["arn"])["tags"] == {"project": "flu"}

    export = omics.start_read_set_export_job(
        sequenceStoreId=store, roleArn=ROLE, destination="s3://lab-storage/out/", sources=[{"readSetId": where["id"]}]
    )["id"]
    omics.get_waiter("read_set_export_job_completed").wait(sequenceStoreId=store, id=export, WaiterConfig=SOON)
    exported = s3.get_object(Bucket="lab-storage", Key=f"out/{where['id']}/A R1.fastq.gz")
    assert exported["Body"].read() == fastq()

    assert not omics.batch_delete_read_set(sequenceStoreId=store, ids=[where["id"]]).get("errors")
    with pytest.raises(ClientError) as refused:
        omics.get_read_set(**where, partNumber=1)
    assert refused.value.response["Error"]["Code"] == "ResourceNotFoundException"


def test_a_reference_is_imported_and_read_and_there_is_one_store(omics: Any, s3: Any) -> None:
    store = omics.create_reference_store(name="served references")["id"]
    with pytest.raises(omics.exceptions.ServiceQuotaExceededException):
        omics.create_reference_store(name="another")
    sources = [{"sourceFile": put(s3, "r.fa", REFERENCE.encode()), "name": "tiny"}]
    job = omics.start_reference_import_job(referenceStoreId=store, roleArn=ROLE, sources=sources)["id"]
    omics.get_waiter("reference_import_job_completed").wait(referenceStoreId=store, id=job, WaiterConfig=SOON)
    key = omics.get_reference_import_job(referenceStoreId=store, id=job)["sources"][0]["referenceId"]
    assert omics.get_reference(referenceStoreId=store, id=key, partNumber=1)["payload"].read() == REFERENCE.encode()
    found = omics.get_paginator("list_references").paginate(referenceStoreId=store).build_full_result()["references"]
    assert [reference["md5"] for reference in found] == [hashlib.md5(REFERENCE.encode()).hexdigest()]
    with pytest.raises(omics.exceptions.RangeNotSatisfiableException):
        omics.get_reference(referenceStoreId=store, id=key, partNumber=2)


def test_parts_are_uploaded_as_streams(omics: Any, store: str) -> None:
    about = {"sourceFileType": "FASTQ", "subjectId": "patient", "sampleId": "NA1", "name": "direct"}
    begun = omics.create_multipart_read_set_upload(sequenceStoreId=store, **about)
    assert begun["referenceArn"] == ""
    where = {"sequenceStoreId": store, "uploadId": begun["uploadId"]}
    content, parts = fastq(2000), []
    for number, start in enumerate(range(0, len(content), 2000), start=1):
        piece = content[start : start + 2000]
        place = {"partSource": "SOURCE1", "partNumber": number}
        checksum = omics.upload_read_set_part(**where, **place, payload=piece)["checksum"]
        assert checksum == base64.b64encode(hashlib.sha256(piece).digest()).decode()
        parts.append({**place, "checksum": checksum})
    listed = omics.get_paginator("list_read_set_upload_parts").paginate(
        **where, partSource="SOURCE1", PaginationConfig={"PageSize": 2}
    )
    assert [part["partNumber"] for part in listed.build_full_result()["parts"]] == [p["partNumber"] for p in parts]
    key = omics.complete_multipart_read_set_upload(**where, parts=parts)["readSetId"]
    wait_for(omics, store, key)
    assert omics.get_read_set(sequenceStoreId=store, id=key, partNumber=1)["payload"].read() == content


def wait_for(omics: Any, store: str, key: str) -> None:
    """Wait for an upload by what AWS offers: looking at the read set; there is no waiter for it."""
    for _ in range(120):
        if omics.get_read_set_metadata(sequenceStoreId=store, id=key)["status"] != "PROCESSING_UPLOAD":
            return
        time.sleep(0.25)
    raise AssertionError("the upload is still being processed")
