"""What every read store promises about read sets, tried on a folder and on HealthOmics (emulated)."""

from __future__ import annotations

import gzip
import hashlib
import time
from pathlib import Path

import pytest
from read_stores import ENDED, FASTQ, FolderLab, HealthOmicsLab, Lab

from labrelay.model.errors import Conflict, NotFound, RefusedInput, UsageError
from labrelay.model.files import FileRef
from labrelay.model.reads import ReadSource
from labrelay.stores.ports import ExportJob


def test_a_pair_becomes_an_active_read_set_with_r1_before_r2(lab: Lab) -> None:
    source = lab.pair("S1")
    job = lab.imported([source], "token")
    assert (job.status, job.failed) == ("COMPLETED", ())
    assert [(done.id, done.status, done.source) for done in job.done] == [(source.id, "ACTIVE", source)]
    first, second = lab.reads.locations(source.id)
    assert ("source1" in first, "source2" in second) == (True, True)
    found = lab.reads.describe(source.id)
    assert found is not None
    assert (found.source, found.status) == (source, "ACTIVE")
    assert lab.reads.activate([source.id]) == ()


def test_one_file_has_one_location(lab: Lab) -> None:
    pair = lab.pair("S1")
    source = pair.model_copy(update={"files": pair.files[:1]})
    lab.imported([source], "token")
    assert len(lab.reads.locations(source.id)) == 1


def test_asking_again_is_the_same_job(lab: Lab) -> None:
    source = lab.pair("S1")
    job_id = lab.reads.import_reads([source], "token")
    assert lab.reads.import_reads([source], "token") == job_id
    job = lab.finish(job_id)
    assert lab.reads.import_reads([source], "token") == job_id
    assert lab.finish(job_id) == job


def test_another_token_for_the_same_reads_makes_no_second_read_set(lab: Lab) -> None:
    source = lab.pair("S1")
    first = lab.imported([source], "token")
    where = lab.reads.locations(source.id)
    second = lab.imported([source], "another")
    assert second.id != first.id
    assert second.done == first.done
    assert lab.reads.locations(source.id) == where


def test_one_bad_source_does_not_sink_the_others_and_only_it_is_tried_again(lab: Lab) -> None:
    good, bad = lab.pair("good"), lab.pair("bad")
    content = lab.lose(bad.files[1])
    job = lab.imported([bad, good], "token")
    assert job.status == "COMPLETED_WITH_FAILURES"
    assert [done.id for done in job.done] == [good.id]
    [(failed, reason)] = job.failed
    assert failed == bad.id
    assert "raw/bad_R2.fastq.gz" in reason
    with pytest.raises(NotFound):
        lab.reads.locations(bad.id)

    lab.objects.put_bytes(bad.files[1].key, content)
    where = lab.reads.locations(good.id)
    again = lab.imported([bad, good], "token")
    assert (again.id, again.status, again.failed) == (job.id, "COMPLETED", ())
    assert [done.id for done in again.done] == [bad.id, good.id]
    assert lab.reads.locations(good.id) == where


def test_a_job_whose_sources_all_fail_has_failed(lab: Lab) -> None:
    source = lab.source("S1", b"1", b"2", b"3")
    unknown = lab.source("S2", b"1", file_type="POD5")
    job = lab.imported([source, unknown], "token")
    assert (job.status, job.done) == ("FAILED", ())
    assert "a read set is not made of 3 FASTQ files" in job.failed[0][1]
    assert "1 POD5 file" in job.failed[1][1]


def test_a_token_stands_for_what_was_asked(lab: Lab) -> None:
    lab.reads.import_reads([lab.pair("S1")], "token")
    with pytest.raises(Conflict, match="other sources"):
        lab.reads.import_reads([lab.pair("S2")], "token")
    with pytest.raises(UsageError):
        lab.reads.import_reads([], "empty")
    with pytest.raises(UsageError):
        lab.reads.import_reads([lab.pair("S1"), lab.pair("S1")], "twice")


def test_the_same_reads_of_two_samples_are_two_read_sets(lab: Lab) -> None:
    first = lab.pair("S1")
    second = first.model_copy(update={"sample_id": "smp_other"})
    job = lab.imported([first, second], "token")
    assert len({done.id for done in job.done}) == 2
    assert len({lab.reads.locations(done.id) for done in job.done}) == 2


def test_unknown_ids_are_sentences(lab: Lab) -> None:
    assert lab.reads.describe("rds_0123456789abcdef") is None
    with pytest.raises(NotFound, match="no import job"):
        lab.reads.job("imp_0123456789abcdef")
    with pytest.raises(NotFound, match="import its reads first"):
        lab.reads.locations("rds_0123456789abcdef")
    for wrong in ("../../etc", "rds_../x", "imp_1"):
        with pytest.raises(UsageError, match="is no id"):
            lab.reads.describe(wrong)


def test_another_machine_finds_what_was_imported(lab: Lab) -> None:
    source = lab.pair("S1", subject="mouse 7")
    lab.imported([source], "token")
    other = lab.other_machine()
    assert other.reads.locations(source.id) == lab.reads.locations(source.id)
    found = other.reads.describe(source.id)
    assert found is not None
    assert found.source == source


def test_another_machine_that_asks_for_the_same_has_the_same_job(lab: Lab) -> None:
    source = lab.pair("S1")
    job_id = lab.reads.import_reads([source], "token")
    other = lab.other_machine()
    assert other.reads.import_reads([source], "token") == job_id
    assert other.finish(job_id).done[0].id == lab.finish(job_id).done[0].id
    assert other.reads.locations(source.id) == lab.reads.locations(source.id)


def local_pair(folder: Path, sample: str) -> tuple[list[Path], ReadSource]:
    """Write a pair that lies in no object store, and return what a read store is told of it."""
    paths, refs = [], []
    for mate in (1, 2):
        path = folder / f"{sample}_R{mate}.fastq.gz"
        path.write_bytes(gzip.compress(FASTQ % (sum(sample.encode()), mate), mtime=0))
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        refs.append(FileRef(storage="upload", key=path.name, version=sha256, sha256=sha256, size=path.stat().st_size))
        paths.append(path)
    name = f"{sample}-{folder.name}"
    return paths, ReadSource(sample_id=name, subject="mouse 7", name=sample, file_type="FASTQ", files=tuple(refs))


def ended(lab: Lab, jobs: tuple[ExportJob, ...]) -> list[ExportJob]:
    until, found = time.monotonic() + 60, list(jobs)
    while any(job.status not in ENDED for job in found):
        assert time.monotonic() < until, found
        found = [lab.reads.export_job(job) for job in found]
    return found


def place(lab: Lab, folder: Path) -> str:
    """Return where this store can export to."""
    return f"s3://reads-lab/{lab.prefix}/out" if isinstance(lab, HealthOmicsLab) else str(folder / "out")


def exported(lab: Lab, folder: Path) -> dict[str, bytes]:
    """Return what lies there, by the path below it."""
    if isinstance(lab, FolderLab):
        files = (path for path in (folder / "out").rglob("*") if path.is_file())
        return {str(path.relative_to(folder / "out")): path.read_bytes() for path in files}
    assert isinstance(lab, HealthOmicsLab)
    s3, prefix = lab.aws.client("s3"), f"{lab.prefix}/out/"
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket="reads-lab", Prefix=prefix).get("Contents", [])]
    return {key.removeprefix(prefix): s3.get_object(Bucket="reads-lab", Key=key)["Body"].read() for key in keys}


def test_local_files_become_a_read_set_once_and_any_machine_finds_it(lab: Lab, tmp_path: Path) -> None:
    paths, source = local_pair(tmp_path, "S1")
    made = lab.reads.upload(paths, source)
    assert (made.id, made.status, made.source) == (source.id, "ACTIVE", source)
    where = lab.reads.locations(source.id)
    assert len(where) == 2
    assert lab.reads.upload(paths, source).id == made.id
    other = lab.other_machine()
    assert other.reads.locations(source.id) == where
    found = other.reads.describe(source.id)
    assert found is not None
    assert found.source == source


def test_files_that_make_no_read_set_are_not_uploaded(lab: Lab, tmp_path: Path) -> None:
    paths, source = local_pair(tmp_path, "S1")
    with pytest.raises(RefusedInput, match="1 files were given for 2"):
        lab.reads.upload(paths[:1], source)
    bam = source.model_copy(update={"file_type": "UBAM"})
    with pytest.raises(RefusedInput, match="2 UBAM files"):
        lab.reads.upload(paths, bam)
    assert lab.reads.describe(source.id) is None


def test_read_sets_are_exported_whole_each_to_a_place_of_its_own_and_again(lab: Lab, tmp_path: Path) -> None:
    first, second = lab.pair("S1"), lab.pair("S2")
    lab.imported([first, second], "token")
    to, before = place(lab, tmp_path), exported(lab, tmp_path)
    assert before == {}
    for _ in range(2):
        [job] = ended(lab, lab.reads.export([first.id, second.id], to))
        assert (job.status, job.failed, job.read_sets) == ("COMPLETED", (), (first.id, second.id))
        files = exported(lab, tmp_path)
        assert len({name.partition("/")[0] for name in files}) == 2
        expected = [lab.objects.open(ref).read() for source in (first, second) for ref in source.files]
        assert sorted(files.values()) == sorted(expected)


def test_an_export_to_where_the_store_cannot_write_is_the_callers_mistake(lab: Lab, tmp_path: Path) -> None:
    source = lab.pair("S1")
    lab.imported([source], "token")
    wrong = str(tmp_path / "out") if isinstance(lab, HealthOmicsLab) else "s3://bucket/prefix"
    with pytest.raises(UsageError, match=r"no folder to copy to|is not s3://BUCKET/PREFIX"):
        lab.reads.export([source.id], wrong)
    with pytest.raises(NotFound, match="no read set rds_0000000000000000"):
        lab.reads.export(["rds_0000000000000000"], place(lab, tmp_path))


def test_only_what_lies_in_s3_has_s3_uris(lab: Lab) -> None:
    source = lab.pair("S1")
    lab.imported([source], "token")
    uris = lab.reads.s3_uris(source.id)
    assert [uri.startswith("s3://") for uri in uris] == ([True, True] if isinstance(lab, HealthOmicsLab) else [])


def test_the_parts_of_a_barcodes_reads_are_one_read_set_of_one_file_whatever_machine_looks(
    lab: Lab, tmp_path: Path
) -> None:
    records = [b"@r%d\nACGT\n+\nIIII\n" % number for number in range(3)]
    records[1] = records[1].rstrip(b"\n")  # the last line of a chunk without its end
    source = lab.source("chunks", *(gzip.compress(record, mtime=0) for record in records), parts=True)
    job = lab.imported([source], "token-parts")
    assert (job.failed, [read_set.id for read_set in job.done]) == ((), [source.id])
    assert len(lab.reads.locations(source.id)) == 1
    whole = b"@r0\nACGT\n+\nIIII\n@r1\nACGT\n+\nIIII\n@r2\nACGT\n+\nIIII\n"
    [joined] = [ref for ref in lab.objects.list("joined/") if ref.key.endswith(".gz")]
    with lab.objects.open(joined) as opened:
        assert gzip.decompress(opened.read()) == whole
    other = lab.other_machine()
    found = other.reads.describe(source.id)
    assert found is not None
    assert found.source == source
    [export] = other.reads.export([source.id], str(tmp_path / "out")) if isinstance(lab, FolderLab) else [None]
    assert export is None or [gzip.decompress(p.read_bytes()) for p in (tmp_path / "out").rglob("*.gz")] == [whole]
    mixed = lab.source("mixed", gzip.compress(records[0]), parts=True)
    plain = lab.objects.put_bytes("raw/plain.fastq", records[0])
    job = lab.imported([mixed.model_copy(update={"files": (*mixed.files, plain)})], "token-mixed")
    assert "parts to be joined are FASTQ files, all packed by gzip or none" in job.failed[0][1]
