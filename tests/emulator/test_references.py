"""References: imported as they are, indexed, read in parts, guarded while read sets use them."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pysam
import pytest
from emulated_storage import REFERENCE, ROLE, Storage

from labrelay.emulator import stored_files
from labrelay.emulator.operation import Failure


def read(storage: Storage, key: str, **asked: object) -> bytes:
    part = storage.call("GetReference", referenceStoreId=storage.references, id=key, **{"partNumber": 1, **asked})[
        "payload"
    ]
    return part.path.read_bytes()[part.start : part.start + part.length]


def test_a_reference_is_kept_as_it_came_with_an_index(storage: Storage) -> None:
    key = storage.import_reference()["referenceId"]
    found = storage.call("GetReferenceMetadata", referenceStoreId=storage.references, id=key)
    assert found["md5"] == hashlib.md5(REFERENCE.encode()).hexdigest()
    assert found["files"]["source"]["contentLength"] == len(REFERENCE)
    assert (found["status"], found["creationType"]) == ("ACTIVE", "IMPORT")
    assert read(storage, key) == REFERENCE.encode()
    assert read(storage, key, file="INDEX") == b"chr1\t1000\t19\t60\t61\n"


def test_a_range_is_inside_the_part(storage: Storage) -> None:
    key = storage.import_reference()["referenceId"]
    assert read(storage, key, range="1-4") == b"chr1"
    assert read(storage, key, range="-1") == b"\n"
    for asked in ({"range": "5000-"}, {"partNumber": 2}):
        with pytest.raises(Failure) as failure:
            read(storage, key, **asked)
        assert failure.value.code == "RangeNotSatisfiableException"


def test_a_large_file_is_read_in_parts(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_files, "PART_BYTES", 400)
    key = storage.import_reference()["referenceId"]
    entry = storage.call("GetReferenceMetadata", referenceStoreId=storage.references, id=key)["files"]["source"]
    assert (entry["totalParts"], entry["partSize"]) == (3, 400)
    parts = [read(storage, key, partNumber=number) for number in (1, 2, 3)]
    assert [len(part) for part in parts] == [400, 400, len(REFERENCE) - 800]
    assert b"".join(parts) == REFERENCE.encode()


def test_bgzip_is_taken_and_plain_gzip_is_not(storage: Storage, tmp_path: Path) -> None:
    plain, packed = tmp_path / "r.fa", tmp_path / "r.fa.gz"
    plain.write_text(REFERENCE)
    pysam.tabix_compress(str(plain), str(packed))
    assert storage.import_reference(packed.read_bytes(), "r.fa.gz")["status"] == "FINISHED"
    failed = storage.import_reference(gzip.compress(REFERENCE.encode()), "plain.fa.gz")
    assert failed["job"] == "FAILED"
    assert "cannot be indexed" in failed["statusMessage"]


@pytest.mark.parametrize(
    ("content", "key", "says"),
    [
        (b"", "empty.fa", "empty.fa"),
        (b"not a sequence\n", "text.fa", "text.fa"),
        (b">a\nACGT\nAC\nACGT\n", "uneven.fa", "uneven.fa"),
        (REFERENCE.encode(), "reference.gb", "does not end as a FASTA"),
    ],
)
def test_what_is_no_fasta_fails_and_leaves_nothing(storage: Storage, content: bytes, key: str, says: str) -> None:
    failed = storage.import_reference(content, key)
    assert failed["status"] == "FAILED"
    assert says in failed["statusMessage"]
    assert storage.call("ListReferences", referenceStoreId=storage.references)["references"] == []
    assert not list((storage.service.folder / "reads").glob("*/reference/*/*"))


def test_references_are_found_by_name_and_md5(storage: Storage) -> None:
    key = storage.import_reference()["referenceId"]
    other = storage.import_reference(b">other\nACGT\n")["referenceId"]
    md5 = hashlib.md5(REFERENCE.encode()).hexdigest()
    for wanted, ids in (({"md5": md5}, [key]), ({"name": "tiny reference"}, [key, other]), ({"name": "x-y"}, [])):
        found = storage.call("ListReferences", referenceStoreId=storage.references, filter=wanted)["references"]
        assert [reference["id"] for reference in found] == ids


def test_a_reference_that_a_read_set_uses_is_not_deleted(storage: Storage) -> None:
    key = storage.import_reference()["referenceId"]
    arn = storage.service.arn("referenceStore", storage.references, "reference", key)
    read_set = storage.import_read_set(referenceArn=arn)
    with pytest.raises(Failure) as failure:
        storage.call("DeleteReference", referenceStoreId=storage.references, id=key)
    assert failure.value.code == "ConflictException"
    storage.call("BatchDeleteReadSet", sequenceStoreId=storage.store, ids=[read_set])
    storage.work()
    storage.call("DeleteReference", referenceStoreId=storage.references, id=key)
    storage.work()
    with pytest.raises(Failure, match="does not exist"):
        storage.call("GetReferenceMetadata", referenceStoreId=storage.references, id=key)
    assert not list((storage.service.folder / "reads").glob("*/reference/*"))


def test_a_repeated_import_is_one_job(storage: Storage) -> None:
    source = {"sourceFile": storage.put("r.fa", REFERENCE.encode()), "name": "tiny reference"}
    asked = {"referenceStoreId": storage.references, "roleArn": ROLE, "sources": [source], "clientToken": "t"}
    ids = {storage.call("StartReferenceImportJob", **asked)["id"] for _ in range(3)}
    storage.work()
    assert len(ids) == 1
    assert len(storage.call("ListReferences", referenceStoreId=storage.references)["references"]) == 1
    jobs = storage.call("ListReferenceImportJobs", referenceStoreId=storage.references, filter={"status": "COMPLETED"})
    assert [job["id"] for job in jobs["importJobs"]] == list(ids)
