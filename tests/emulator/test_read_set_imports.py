"""Read sets are imported from S3: judged source by source, once, whatever is repeated or killed."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from emulated_storage import BASES, ROLE, Storage, alignments, described, fastq, open_service, s3_client

from labrelay.emulator.objects import ObjectUnavailable
from labrelay.emulator.operation import Failure

KILLED = """
import sys
from pathlib import Path
from emulated_storage import open_service
from labrelay.emulator.service import WORKERS
service = open_service(Path(sys.argv[1]), sys.argv[2])
WORKERS["read set imports"](service)
"""


def test_a_pair_becomes_one_read_set_with_counts_and_the_hash_of_its_text(storage: Storage) -> None:
    first, second = fastq(7, mate=1), fastq(7, mate=2)
    sources = {"source1": storage.put("run/A_R1.fastq.gz", first), "source2": storage.put("run/A_R2.fastq.gz", second)}
    found = storage.read_set(storage.import_read_set(sourceFiles=sources, name="A", generatedFrom="run 7"))
    assert found["status"] == "ACTIVE"
    assert found["sequenceInformation"] == {
        "totalReadCount": 14,
        "totalBaseCount": 56,
        "generatedFrom": "run 7",
        "alignment": "UNALIGNED",
    }
    assert found["etag"] == {
        "algorithm": "FASTQ_MD5up",
        "source1": hashlib.md5(gzip.decompress(first)).hexdigest(),
        "source2": hashlib.md5(gzip.decompress(second)).hexdigest(),
    }
    assert found["files"]["source2"]["contentLength"] == len(second)
    assert found["files"]["source2"]["s3Access"]["s3Uri"].endswith(f"/readSet/{found['id']}/A_R2.fastq.gz")


def test_the_files_are_objects_of_the_stores_bucket_with_tags(storage: Storage) -> None:
    key = storage.import_read_set()
    uri = storage.read_set(key)["files"]["source1"]["s3Access"]["s3Uri"]
    bucket, _, name = uri.removeprefix("s3://").partition("/")
    assert storage.service.s3.get_object(Bucket=bucket, Key=name)["Body"].read() == fastq()
    tags = storage.service.s3.get_object_tagging(Bucket=bucket, Key=name)["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {
        "omics:subjectId": "patient",
        "omics:sampleId": "NA1",
        "omics:readSetStatus": "ACTIVE",
    }


def test_two_sources_of_one_name_are_told_apart(storage: Storage) -> None:
    sources = {"source1": storage.put("r1/x.fastq.gz", fastq()), "source2": storage.put("r2/x.fastq.gz", fastq(mate=2))}
    files = storage.read_set(storage.import_read_set(sourceFiles=sources))["files"]
    names = [files[slot]["s3Access"]["s3Uri"].rpartition("/")[2] for slot in ("source1", "source2")]
    assert names == ["x_source1.fastq.gz", "x_source2.fastq.gz"]


def test_good_sources_are_taken_when_others_fail(storage: Storage) -> None:
    good = {"source1": storage.put("good.fastq.gz", fastq())}
    job = storage.start_import(
        described(sourceFiles=good),
        described(sourceFiles={"source1": storage.put("plain.fastq", b"@r\nA\n+\nI\n")}),
        described(sourceFiles={"source1": "s3://lab/missing.fastq.gz"}),
        described(sourceFiles={**good, "source2": storage.put("few.fastq.gz", fastq(3, mate=2))}),
        described(sourceFiles={"source1": storage.put("cut.fastq.gz", fastq()[:-9])}),
    )
    storage.work()
    found = storage.job(job)
    assert found["status"] == "COMPLETED_WITH_FAILURES"
    assert [source["status"] for source in found["sources"]] == ["FINISHED", *["FAILED"] * 4]
    messages = [source["statusMessage"] for source in found["sources"]]
    assert "not compressed with gzip" in messages[1]
    assert "no object s3://lab/missing.fastq.gz" in messages[2]
    assert "10 reads" in messages[3]
    assert "cut.fastq.gz" in messages[4]
    assert len(storage.call("ListReadSets", sequenceStoreId=storage.store)["readSets"]) == 1
    folders = [path.name for path in (storage.service.folder / "reads" / storage.store / "readSet").iterdir()]
    assert folders == [found["sources"][0]["readSetId"]]


def test_a_job_whose_sources_all_fail_failed(storage: Storage) -> None:
    job = storage.start_import(described(sourceFiles={"source1": "s3://nowhere/x.fastq.gz"}))
    storage.work()
    assert storage.job(job)["status"] == "FAILED"
    assert "completionTime" in storage.job(job)


def test_events_tell_of_the_job_and_of_the_read_set(storage: Storage) -> None:
    key = storage.import_read_set()
    told = [(kind, detail["status"]) for kind, _, detail in storage.events if kind.startswith("Read Set")]
    assert told == [
        ("Read Set Import Job Status Change", "IN_PROGRESS"),
        ("Read Set Status Change", "ACTIVE"),
        ("Read Set Import Job Status Change", "COMPLETED"),
    ]
    detail = next(detail for kind, _, detail in storage.events if kind == "Read Set Status Change")
    assert detail["id"] == key
    assert detail["omicsVersion"] == "1.0.0"


@pytest.mark.parametrize(("kind", "index"), [("bam", "bai"), ("cram", "crai")])
def test_sorted_alignments_have_an_index_and_their_records_are_hashed(
    storage: Storage, tmp_path: Path, kind: str, index: str
) -> None:
    reference = storage.import_reference()["referenceId"]
    arn = storage.service.arn("referenceStore", storage.references, "reference", reference)
    source = {"source1": storage.put(f"a.{kind}", alignments(tmp_path / "made", kind).read_bytes())}
    found = storage.read_set(storage.import_read_set(sourceFiles=source, sourceFileType=kind.upper(), referenceArn=arn))
    assert found["sequenceInformation"] == {"totalReadCount": 5, "totalBaseCount": 250, "alignment": "ALIGNED"}
    assert found["files"]["index"]["s3Access"]["s3Uri"].endswith(f"/a.{kind}.{index}")
    records = "".join(
        f"q{n}\t0\tchr1\t{10 * n + 1}\t60\t50M\t*\t0\t0\t{''.join(BASES[10 * n : 10 * n + 50])}\t{'I' * 50}\n"
        for n in range(5)
    )
    assert found["etag"]["algorithm"] == f"{kind.upper()}_MD5up"
    assert found["etag"]["source1"] == hashlib.md5(records.encode()).hexdigest()


def test_what_is_in_a_file_counts_more_than_its_name(storage: Storage, tmp_path: Path) -> None:
    reference = storage.import_reference()["referenceId"]
    arn = storage.service.arn("referenceStore", storage.references, "reference", reference)
    made = alignments(tmp_path / "made", "cram").read_bytes()
    source = {"source1": storage.put("delivered", made)}
    key = storage.import_read_set(sourceFiles=source, sourceFileType="CRAM", referenceArn=arn)
    assert storage.read_set(key)["files"]["index"]["s3Access"]["s3Uri"].endswith("/delivered.crai")
    job = storage.start_import(described(sourceFiles=source, sourceFileType="BAM", referenceArn=arn))
    storage.work()
    assert "is CRAM, but is announced as BAM" in storage.job(job)["sources"][0]["statusMessage"]


def test_alignments_that_are_not_sorted_have_no_index(storage: Storage, tmp_path: Path) -> None:
    source = {"source1": storage.put("u.bam", alignments(tmp_path / "made", order="unsorted").read_bytes())}
    job = storage.start_import(described(sourceFiles=source, sourceFileType="UBAM"))
    storage.work()
    found = storage.job(job)["sources"][0]
    assert "index" not in storage.read_set(found["readSetId"])["files"]


def test_a_cram_whose_contigs_are_not_in_the_reference_fails(storage: Storage, tmp_path: Path) -> None:
    other = storage.import_reference(b">another\nACGT\n")["referenceId"]
    arn = storage.service.arn("referenceStore", storage.references, "reference", other)
    source = {"source1": storage.put("a.cram", alignments(tmp_path / "made", "cram").read_bytes())}
    job = storage.start_import(described(sourceFiles=source, sourceFileType="CRAM", referenceArn=arn))
    storage.work()
    assert "lacks 1 of its contigs" in storage.job(job)["sources"][0]["statusMessage"]


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ({"sourceFileType": "BAM"}, "ValidationException"),
        ({"sourceFileType": "CRAM"}, "ValidationException"),
        (
            {"referenceArn": "arn:aws:omics:us-east-1:123456789012:referenceStore/1/reference/2"},
            "ResourceNotFoundException",
        ),
        (
            {"sourceFileType": "UBAM", "sourceFiles": {"source1": "s3://lab/a.bam", "source2": "s3://lab/b.bam"}},
            "ValidationException",
        ),
        ({"sourceFileType": "VCF"}, "ValidationException"),
    ],
)
def test_what_could_never_be_imported_is_refused_at_once(storage: Storage, source: dict[str, str], code: str) -> None:
    with pytest.raises(Failure) as refused:
        storage.start_import(described(**{"sourceFiles": {"source1": "s3://lab/a.bam"}, **source}))
    assert refused.value.code == code
    assert "importJobs" in storage.call("ListReadSetImportJobs", sequenceStoreId=storage.store)
    assert not storage.call("ListReadSetImportJobs", sequenceStoreId=storage.store)["importJobs"]


def test_more_than_a_hundred_sources_are_refused(storage: Storage) -> None:
    with pytest.raises(Failure, match="less than or equal to 100"):
        storage.start_import(*[described(sourceFiles={"source1": "s3://lab/a.fastq.gz"})] * 101)


def test_the_same_request_a_thousand_times_is_one_job(storage: Storage) -> None:
    source = described(sourceFiles={"source1": storage.put("a.fastq.gz", fastq())})
    ids: list[str] = []

    def ask() -> None:
        ids.extend(storage.start_import(source, clientToken="run 7") for _ in range(250))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 1000
    assert len(set(ids)) == 1
    assert len(storage.call("ListReadSetImportJobs", sequenceStoreId=storage.store)["importJobs"]) == 1
    storage.work()
    assert storage.start_import(source, clientToken="run 7") == ids[0]
    storage.work()
    assert len(storage.call("ListReadSets", sequenceStoreId=storage.store)["readSets"]) == 1


def test_a_token_with_another_request_is_a_conflict(storage: Storage) -> None:
    source = described(sourceFiles={"source1": "s3://lab/a.fastq.gz"})
    storage.start_import(source, clientToken="run 7")
    with pytest.raises(Failure) as refused:
        storage.start_import({**source, "sampleId": "NA2"}, clientToken="run 7")
    assert refused.value.code == "ConflictException"


def test_a_sixth_open_job_is_over_the_quota(storage: Storage) -> None:
    source = described(sourceFiles={"source1": storage.put("a.fastq.gz", fastq())})
    for _ in range(5):
        storage.start_import(source)
    with pytest.raises(Failure) as refused:
        storage.start_import(source)
    assert refused.value.code == "ServiceQuotaExceededException"
    storage.work()
    storage.start_import(source)


@pytest.mark.parametrize(
    "point",
    [
        "emulator.readSetImportJob.begun:1",
        "emulator.fetched:2",
        "emulator.read_set.fetched:1",
        "emulator.read_set.shown:2",
        "emulator.readSetImportJob.done:1",
        "emulator.readSetImportJob.done:3",
    ],
)
def test_a_server_killed_in_an_import_goes_on_and_makes_nothing_twice(storage: Storage, point: str) -> None:
    sources = [
        described(sampleId=f"NA{n}", sourceFiles={"source1": storage.put(f"{n}.fastq.gz", fastq(prefix=f"r{n}-"))})
        for n in range(3)
    ]
    job = storage.start_import(*sources)
    paths = os.pathsep.join([str(Path(__file__).parents[1] / "factory"), str(Path(__file__).parents[2])])
    died = subprocess.run(
        [sys.executable, "-c", KILLED, str(storage.service.folder), storage.url],
        env={**os.environ, "LABRELAY_FAULT": f"{point}:kill", "PYTHONPATH": paths},
        capture_output=True,
    )
    assert died.returncode == -9, died.stderr.decode()
    assert storage.job(job)["status"] == "IN_PROGRESS"
    storage.service = open_service(storage.service.folder, storage.url)
    storage.work()
    found = storage.job(job)
    assert found["status"] == "COMPLETED"
    made = storage.call("ListReadSets", sequenceStoreId=storage.store)["readSets"]
    assert sorted(read_set["sampleId"] for read_set in made) == ["NA0", "NA1", "NA2"]
    assert {source["readSetId"] for source in found["sources"]} == {read_set["id"] for read_set in made}
    assert len(storage.objects()) == 3
    folder = storage.service.folder / "reads" / storage.store / "readSet"
    assert sorted(path.name for path in folder.glob("*/*")) == ["0.fastq.gz", "1.fastq.gz", "2.fastq.gz"]


def test_an_s3_that_is_away_fails_nothing(storage: Storage) -> None:
    job = storage.start_import(described(sourceFiles={"source1": storage.put("a.fastq.gz", fastq())}))
    there, storage.service.s3 = storage.service.s3, s3_client("http://127.0.0.1:9")
    with pytest.raises(ObjectUnavailable, match="could not be read"):
        storage.work()
    assert storage.job(job)["status"] == "IN_PROGRESS"
    storage.service.s3 = there
    storage.work()
    assert storage.job(job)["status"] == "COMPLETED"


def test_jobs_are_listed_by_state_and_page(storage: Storage) -> None:
    storage.start_import(described(sourceFiles={"source1": "s3://lab/gone.fastq.gz"}))
    storage.work()
    waiting = [storage.start_import(described(sourceFiles={"source1": "s3://lab/x.fastq.gz"})) for _ in range(3)]
    asked = {"sequenceStoreId": storage.store, "filter": {"status": "SUBMITTED"}, "maxResults": 2}
    first = storage.call("ListReadSetImportJobs", **asked)
    second = storage.call("ListReadSetImportJobs", **asked, nextToken=first["nextToken"])
    assert [job["id"] for job in first["importJobs"] + second["importJobs"]] == waiting
    assert "nextToken" not in second
    assert first["importJobs"][0]["roleArn"] == ROLE
