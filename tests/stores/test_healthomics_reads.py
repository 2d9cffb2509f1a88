"""What HealthOmics adds to the contract: calls counted, kills between intent and answer, exports, deletions."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError
from emulated import Emulated
from read_stores import ROLE, HealthOmicsLab

from labrelay.model.errors import NotFound, StorageFailed, UsageError
from labrelay.model.reads import ReadSource
from labrelay.stores import healthomics_exports, healthomics_readsets
from labrelay.stores.aws import Aws
from labrelay.stores.healthomics_exports import exported
from labrelay.stores.healthomics_jobs import JobFile, Round, outcome
from labrelay.stores.healthomics_reads import HealthOmicsReadStore
from labrelay.stores.healthomics_setup import ensure_stores
from labrelay.stores.healthomics_state import place_of
from labrelay.stores.ports import ExportJob

IMPORT = """
import sys
from pathlib import Path
from labrelay.model.reads import ReadSource
from labrelay.stores.aws import Aws
from labrelay.stores.healthomics_reads import HealthOmicsReadStore
from labrelay.stores.healthomics_setup import Stores
from labrelay.stores.s3 import S3ObjectStore
endpoint, bucket, prefix, root, sequence, reference, role, *sources = sys.argv[1:]
aws = Aws(region="us-east-1", endpoint_url=endpoint)
store = HealthOmicsReadStore(aws, S3ObjectStore(aws, bucket, prefix), Path(root), Stores(sequence, reference), role)
job = store.import_reads([ReadSource.model_validate_json(text) for text in sources], "token")
while store.job(job).status == "IN_PROGRESS":
    pass
"""


class Counts:
    """How often operations were called since this was made."""

    def __init__(self, emulator: Emulated) -> None:
        self._emulator = emulator
        self._before = emulator.counts()

    def __call__(self, *names: str) -> dict[str, int]:
        now = self._emulator.counts()
        changed = {name: count - self._before.get(name, 0) for name, count in now.items()}
        return {name: changed.get(name, 0) for name in names}


def read_set_jobs(cloud: HealthOmicsLab) -> list[dict[str, Any]]:
    pages = cloud.aws.client("omics").get_paginator("list_read_set_import_jobs")
    found = pages.paginate(sequenceStoreId=cloud.stores.sequence_store_id)
    return [job for page in found for job in page["importJobs"]]


def read_sets(cloud: HealthOmicsLab, ours: str) -> list[dict[str, Any]]:
    listed = cloud.aws.client("omics").list_read_sets(
        sequenceStoreId=cloud.stores.sequence_store_id, filter={"generatedFrom": ours}
    )
    found: list[dict[str, Any]] = listed["readSets"]
    return found


def test_calls_do_not_grow_with_the_reads_of_a_job(cloud: HealthOmicsLab, emulator: Emulated) -> None:
    sources = [cloud.pair(f"S{number}") for number in range(12)]
    counts = Counts(emulator)
    job = cloud.imported(sources, "token")
    assert len(job.done) == 12
    for source in sources:
        assert len(cloud.reads.locations(source.id)) == 2
    called = counts("StartReadSetImportJob", "ListReadSets", "GetReadSetMetadata", "GetSequenceStore")
    assert called == {"StartReadSetImportJob": 1, "ListReadSets": 0, "GetReadSetMetadata": 0, "GetSequenceStore": 1}
    counts = Counts(emulator)
    assert cloud.reads.job(job.id) == job
    assert set(counts("GetReadSetImportJob", "StartReadSetImportJob").values()) == {0}


def test_one_event_replayed_a_hundred_times_makes_one_job(cloud: HealthOmicsLab, emulator: Emulated) -> None:
    sources = [cloud.pair("S1")]
    before, counts = len(read_set_jobs(cloud)), Counts(emulator)
    job_ids = {cloud.reads.import_reads(sources, "token") for _ in range(50)}
    cloud.finish(job_ids.pop())
    job_ids |= {cloud.reads.import_reads(sources, "token") for _ in range(50)}
    assert (len(job_ids), len(read_set_jobs(cloud)) - before) == (1, 1)
    assert counts("StartReadSetImportJob") == {"StartReadSetImportJob": 1}
    assert len(read_sets(cloud, sources[0].id)) == 1


def test_the_service_is_told_what_the_reads_are(cloud: HealthOmicsLab) -> None:
    with_subject, without = cloud.pair("S1", subject="mouse 7"), cloud.pair("S2")
    cloud.imported([with_subject, without], "token")
    [first], [second] = read_sets(cloud, with_subject.id), read_sets(cloud, without.id)
    assert (first["sampleId"], first["subjectId"], first["name"]) == ("smp_S1", "mouse 7", "S1")
    assert second["subjectId"] == "smp_S2"
    tags = cloud.aws.client("omics").list_tags_for_resource(resourceArn=first["arn"])["tags"]
    assert tags["labrelay:read-set"] == with_subject.id


def test_a_hundred_and_one_sources_are_no_job(cloud: HealthOmicsLab) -> None:
    source = cloud.pair("S1")
    many = [source.model_copy(update={"sample_id": f"smp_{number}"}) for number in range(101)]
    with pytest.raises(UsageError, match="1 to 100"):
        cloud.reads.import_reads(many, "token")


def test_more_jobs_than_the_account_may_have_at_once_wait(
    cloud: HealthOmicsLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    omics, left = cloud.aws.client("omics"), iter(range(3))
    start = omics.start_read_set_import_job

    def full_at_first(**asked: Any) -> Any:
        if next(left, None) is not None:
            answer = {"Error": {"Code": "ServiceQuotaExceededException", "Message": "5 jobs are open"}}
            raise ClientError({**answer, "ResponseMetadata": {"HTTPStatusCode": 402}}, "StartReadSetImportJob")
        return start(**asked)

    monkeypatch.setattr(omics, "start_read_set_import_job", full_at_first)
    source = cloud.pair("S1")
    job_id = cloud.reads.import_reads([source], "token")
    assert cloud.reads.job(job_id).status == "IN_PROGRESS"
    assert cloud.finish(job_id).status == "COMPLETED"
    assert len(read_sets(cloud, source.id)) == 1


def test_what_the_service_would_refuse_for_all_is_refused_for_one(cloud: HealthOmicsLab) -> None:
    good = cloud.pair("good")
    bam = cloud.source("bam", b"BAM", file_type="BAM")
    unnamed = cloud.pair("odd").model_copy(update={"sample_id": "smp\n1"})
    job = cloud.imported([bam, good, unnamed], "token")
    assert (job.status, [done.id for done in job.done]) == ("COMPLETED_WITH_FAILURES", [good.id])
    assert [failed for failed, _why in job.failed] == [bam.id, unnamed.id]
    assert "needs the reference" in job.failed[0][1]


@pytest.mark.parametrize(
    "point",
    [
        "omics.import_intended:1",
        "omics.import_started:1",
        "omics.import_noted:1",
        "omics.read_sets_noted:1",
        "durable.named:3",
    ],
)
def test_a_killed_import_is_finished_by_asking_again(cloud: HealthOmicsLab, emulator: Emulated, point: str) -> None:
    sources = [cloud.pair("S1"), cloud.pair("S2")]
    place = (emulator.endpoint, "reads-lab", cloud.prefix, str(cloud.reads.state.root))
    stores = (cloud.stores.sequence_store_id, cloud.stores.reference_store_id)
    before = len(read_set_jobs(cloud))
    child = subprocess.run(
        [sys.executable, "-c", IMPORT, *place, *stores, ROLE, *(source.model_dump_json() for source in sources)],
        env={**os.environ, "LABRELAY_FAULT": f"{point}:kill"},
        check=False,
        timeout=60,
    )
    assert child.returncode == -signal.SIGKILL
    job = cloud.imported(sources, "token")
    assert (job.status, len(job.done)) == ("COMPLETED", 2)
    assert len(read_set_jobs(cloud)) - before == 1
    assert [len(read_sets(cloud, source.id)) for source in sources] == [1, 1]
    cloud.reads.reap(older_than=0)
    assert list(cloud.reads.state.path.rglob(".tmp-*")) == []


def test_a_read_set_that_was_deleted_there_is_forgotten_here_and_imported_again(cloud: HealthOmicsLab) -> None:
    source = cloud.pair("S1")
    cloud.imported([source], "token")
    omics, store = cloud.aws.client("omics"), cloud.stores.sequence_store_id
    [there] = read_sets(cloud, source.id)
    omics.batch_delete_read_set(sequenceStoreId=store, ids=[there["id"]])
    while read_sets(cloud, source.id):
        pass
    assert cloud.reads.describe(source.id) is None
    with pytest.raises(NotFound):
        cloud.reads.locations(source.id)
    assert cloud.imported([source], "token").status == "COMPLETED"
    [again] = read_sets(cloud, source.id)
    assert again["id"] != there["id"]


def test_a_job_that_the_service_has_lost_is_settled_by_what_is_there(cloud: HealthOmicsLab) -> None:
    there, missing = cloud.pair("S1"), cloud.pair("S2")
    assert cloud.imported([there], "first").status == "COMPLETED"
    job_id = cloud.imported([there, missing], "second").id
    lost = cloud.reads.state.read_job(job_id)
    assert lost is not None
    cloud.reads.state.write_job(
        lost.model_copy(
            update={
                "status": "IN_PROGRESS",
                "done": {},
                "failed": {},
                "rounds": (
                    lost.rounds[-1].model_copy(update={"sources": (there.id, missing.id), "service_id": "9999999999"}),
                ),
            }
        )
    )
    for each in read_sets(cloud, missing.id):
        cloud.aws.client("omics").batch_delete_read_set(
            sequenceStoreId=cloud.stores.sequence_store_id, ids=[each["id"]]
        )
    while read_sets(cloud, missing.id):
        pass
    cloud.reads.state.forget(missing.id)
    found = cloud.reads.job(job_id)
    assert [read_set.id for read_set in found.done] == [there.id]
    assert [reason for _, reason in found.failed] == [
        "HealthOmics did not take it: it has lost the job; ask for it again"
    ]
    assert cloud.imported([there, missing], "second").status == "COMPLETED"
    assert len(read_sets(cloud, there.id)) == 1


def test_files_have_s3_uris_that_can_be_read(cloud: HealthOmicsLab) -> None:
    source = cloud.pair("S1")
    cloud.imported([source], "token")
    uris = cloud.reads.s3_uris(source.id)
    assert len(uris) == 2
    for uri, ref in zip(uris, source.files, strict=True):
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        assert (
            cloud.aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read() == cloud.objects.open(ref).read()
        )


def test_an_export_that_goes_on_is_joined_and_one_that_ended_is_done_anew(
    cloud: HealthOmicsLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = cloud.pair("S1")
    cloud.imported([source], "token")
    to = f"s3://reads-lab/{cloud.prefix}/exported"
    # Whatever the token gives counts as of before: a server's Date may be seconds behind the time it writes in a body.
    monkeypatch.setattr(healthomics_exports, "NEW_SECONDS", -60.0)
    stubbed = cloud.aws.client("omics")
    monkeypatch.setattr(stubbed, "get_read_set_export_job", lambda **_asked: {"status": "IN_PROGRESS"})
    [first] = cloud.reads.export([source.id], to)
    [joined] = cloud.reads.export([source.id], to)
    assert joined.id == first.id
    monkeypatch.undo()
    while cloud.reads.export_job(first).status != "COMPLETED":
        pass
    monkeypatch.setattr(healthomics_exports, "NEW_SECONDS", -60.0)
    monkeypatch.setattr(healthomics_exports, "MOST_JOBS", 1)
    with pytest.raises(StorageFailed, match="were exported 1 times"):
        cloud.reads.export([source.id], to)
    monkeypatch.undo()
    monkeypatch.setattr(healthomics_exports, "age_of", lambda answer: 60.0 if answer["id"] == first.id else 0.0)
    [again] = cloud.reads.export([source.id], to)
    assert again.id != first.id


def test_what_an_export_could_not_do_is_told_by_our_ids() -> None:
    names = {"7": "rds_a", "8": "rds_b", "9": "rds_c"}
    job = ExportJob(id="1", destination="s3://b/p/", read_sets=tuple(names.values()), names=names)
    said = [
        {"id": "7", "status": "FINISHED"},
        {"id": "8", "status": "FAILED", "statusMessage": "it is ARCHIVED\x1b[31m"},
    ]
    assert exported(job, {"status": "IN_PROGRESS", "readSets": said}).failed == ()
    done = exported(job, {"status": "COMPLETED_WITH_FAILURES", "readSets": said, "statusMessage": "some failed"})
    assert done.failed == (
        ("rds_b", "HealthOmics did not export it: it is ARCHIVED\\x1b[31m"),
        ("rds_c", "HealthOmics did not export it: some failed"),
    )
    assert exported(job, {"status": "COMPLETED"}).failed == ()


@pytest.fixture
def archived(cloud: HealthOmicsLab, emulator: Emulated) -> list[ReadSource]:
    """Import three pairs of which HealthOmics has archived two: nobody used them for long."""
    unused, used = [cloud.pair("S1"), cloud.pair("S2")], cloud.pair("S3")
    cloud.imported(unused, "token")
    rule = emulator.folder / "storage.toml"
    rule.write_text("[archive]\nafter_seconds = 0\n")
    until = time.monotonic() + 30
    asked = {"filter": {"status": "ACTIVE"}, "sequenceStoreId": cloud.stores.sequence_store_id}
    try:
        while cloud.aws.client("omics").list_read_sets(**asked)["readSets"]:
            assert time.monotonic() < until
            # Asking for anything wakes what archives.
            cloud.reads.import_reads([cloud.pair("S4")], uuid.uuid4().hex)
            time.sleep(0.2)
    finally:
        rule.unlink()
    cloud.imported([used], "token of the used")
    return [*unused, used]


def test_archived_read_sets_are_asked_for_and_waited_for(
    cloud: HealthOmicsLab, archived: list[ReadSource], emulator: Emulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = cloud.reads.describe(archived[0].id)
    assert found is not None
    assert found.status == "ARCHIVED"
    ids = [source.id for source in archived]
    counts = Counts(emulator)
    assert cloud.reads.activate(ids) == tuple(ids[:2])
    # A few are asked for one by one: a list may be of a million.
    asked = ("StartReadSetActivationJob", "ListReadSets", "GetReadSetMetadata")
    assert counts(*asked) == dict(zip(asked, (1, 0, 3), strict=True))
    monkeypatch.setattr(healthomics_readsets, "FEW", 2)
    until = time.monotonic() + 30
    while cloud.reads.activate(ids):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert counts("StartReadSetActivationJob") == {"StartReadSetActivationJob": 1}
    assert counts("ListReadSets")["ListReadSets"] >= 2
    found = cloud.reads.describe(archived[0].id)
    assert found is not None
    assert found.status == "ACTIVE"


def test_a_read_set_of_other_files_is_told_not_guessed(cloud: HealthOmicsLab) -> None:
    source = cloud.pair("S1")
    cloud.imported([source], "token")
    for ref in source.files:
        cloud.lose(ref)
    with pytest.raises(StorageFailed, match="import its reads again"):
        cloud.other_machine().reads.locations(source.id)


def test_a_sequence_store_that_is_gone_is_a_sentence(cloud: HealthOmicsLab) -> None:
    source = cloud.pair("S1")
    cloud.reads._store = cloud.reads._store.__class__(cloud.aws, "9999999999", ROLE)
    with pytest.raises(NotFound, match="start the import of 1 read sets"):
        cloud.reads.import_reads([source], "token")


def test_stores_are_made_once(cloud: HealthOmicsLab) -> None:
    first = ensure_stores(cloud.aws, "another lab")
    again = ensure_stores(cloud.aws, "another lab")
    assert first.sequence_store_made
    assert (again.sequence_store_made, again.reference_store_made) == (False, False)
    assert again.sequence_store_id == first.sequence_store_id
    assert again.reference_store_id == cloud.stores.reference_store_id
    with pytest.raises(UsageError, match="no name"):
        ensure_stores(cloud.aws, " ")


def test_what_is_known_of_one_sequence_store_says_nothing_of_another(cloud: HealthOmicsLab) -> None:
    source = cloud.pair("S1")
    first = cloud.imported([source], "token")
    here = cloud.reads.locations(source.id)
    other = ensure_stores(cloud.aws, "the other lab")
    moved = HealthOmicsReadStore(cloud.aws, cloud.objects, cloud.reads.state.root, other, ROLE)
    with pytest.raises(NotFound, match=f"no read set {source.id} in {other.sequence_store_id}"):
        moved.locations(source.id)
    with pytest.raises(NotFound, match="no import job"):
        moved.job(first.id)
    cloud.reads = moved
    assert cloud.imported([source], "token").status == "COMPLETED"
    assert f"/{other.sequence_store_id}/" in moved.locations(source.id)[0]
    back = HealthOmicsReadStore(cloud.aws, cloud.objects, moved.state.root, cloud.stores, ROLE)
    assert back.locations(source.id) == here


def test_another_region_account_or_endpoint_is_another_place() -> None:
    aws = Aws(region="us-east-1", endpoint_url="http://127.0.0.1:9000")
    other_role = ROLE.replace("123456789012", "210987654321")
    places = {
        place_of(aws, ROLE, "1000000001"),
        place_of(Aws(region="eu-central-1", endpoint_url="http://127.0.0.1:9000"), ROLE, "1000000001"),
        place_of(Aws(region="us-east-1", endpoint_url="http://127.0.0.1:9001"), ROLE, "1000000001"),
        place_of(aws, other_role, "1000000001"),
        place_of(aws, ROLE, "1000000002"),
    }
    assert len(places) == 5
    assert all("/" not in place and len(place) < 200 for place in places)


def job_file(cloud: HealthOmicsLab, *rounds: tuple[int, ...]) -> JobFile:
    sources = tuple(cloud.pair(f"S{number}") for number in range(3))
    made = tuple(Round(sources=tuple(sources[number].id for number in each), service_id="1") for each in rounds)
    return JobFile(id="imp_1", token="token", sources=sources, rounds=made)


@pytest.mark.parametrize("status", ["SUBMITTED", "IN_PROGRESS", "CANCELLING"])
def test_a_job_that_has_not_ended_says_nothing_of_its_sources(cloud: HealthOmicsLab, status: str) -> None:
    job = job_file(cloud, (0, 1, 2))
    sources = [{"generatedFrom": job.sources[0].id, "status": "FINISHED", "readSetId": "7"}]
    assert outcome(job, {"status": status, "sources": sources}) == job


def test_each_source_counts_by_itself_and_silence_is_a_failure(cloud: HealthOmicsLab) -> None:
    job = job_file(cloud, (0, 1, 2))
    first, second, third = (source.id for source in job.sources)
    sources = [
        {"generatedFrom": second, "status": "FAILED", "statusMessage": "truncated\x1b[31m"},
        {"generatedFrom": first, "status": "FINISHED", "readSetId": "7"},
    ]
    ended = outcome(job, {"status": "FAILED", "statusMessage": "odd", "sources": sources})
    assert (ended.status, ended.done) == ("COMPLETED_WITH_FAILURES", {first: "7"})
    assert ended.failed[second].endswith("truncated\\x1b[31m")
    assert ended.failed[third].endswith("odd")


def test_a_later_round_has_a_token_of_its_own_and_clears_what_failed(cloud: HealthOmicsLab) -> None:
    job = job_file(cloud, (0, 1, 2), (1,))
    first, second, third = (source.id for source in job.sources)
    job = job.model_copy(update={"done": {first: "7", third: "8"}, "failed": {second: "truncated"}})
    assert job.client_token(0, "1") != job.client_token(1, "1") != job.client_token(1, "2")
    ended = outcome(
        job, {"status": "COMPLETED", "sources": [{"generatedFrom": second, "status": "FINISHED", "readSetId": "9"}]}
    )
    assert (ended.status, ended.failed, len(ended.done)) == ("COMPLETED", {}, 3)
