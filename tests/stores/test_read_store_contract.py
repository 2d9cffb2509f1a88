"""What every read store promises about read sets, tried on a folder and on HealthOmics (emulated)."""

from __future__ import annotations

import pytest
from read_stores import Lab

from labrelay.model.errors import Conflict, NotFound, UsageError


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
