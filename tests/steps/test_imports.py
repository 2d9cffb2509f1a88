"""Imports that are asked for again while earlier jobs go on import nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from labrelay.model.experiment import Experiment, Sample
from labrelay.model.instrument import InstrumentRun
from labrelay.model.reads import ReadSet, ReadSource
from labrelay.records import experiments, intake
from labrelay.steps import imports
from labrelay.steps import sweep as sweep_step
from labrelay.steps.home import Home
from labrelay.stores.ports import ImportJob

EXPERIMENT = Experiment(name="exp")
SAMPLES = [Sample(experiment_id=EXPERIMENT.id, name=name) for name in "ABCDE"]


class Reads:
    """A read store that is as slow and as broken as it is told to be; a job is what its token says."""

    name = "slow"

    def __init__(self) -> None:
        self.jobs: dict[str, Sequence[ReadSource]] = {}
        self.going: set[str] = set()
        self.broken: set[str] = set()

    def import_reads(self, sources: Sequence[ReadSource], token: str) -> str:
        self.jobs[token] = sources
        return token

    def job(self, job_id: str) -> ImportJob:
        sources = self.jobs[job_id]
        if self.going & {source.sample_id for source in sources}:
            return ImportJob(id=job_id, status="IN_PROGRESS", done=(), failed=())
        done = [source for source in sources if source.sample_id not in self.broken]
        failed = tuple((source.id, "bad") for source in sources if source.sample_id in self.broken)
        sets = tuple(
            ReadSet(id=source.id, source=source, status="ACTIVE", created="2026-11-24T00:00:00Z") for source in done
        )
        return ImportJob(
            id=job_id, status="COMPLETED_WITH_FAILURES" if failed else "COMPLETED", done=sets, failed=failed
        )


@pytest.fixture
def home(make_home: Callable[..., Home]) -> Home:
    return make_home()


def stored(home: Home) -> InstrumentRun:
    """Take in a run with the reads of every sample."""
    run = InstrumentRun(run_id="r", folder_name="r", platform="illumina")
    with home.records.write() as session:
        experiments.announce(session, EXPERIMENT, SAMPLES, correct=False)
        intake.see(session, run, "r")
        for sample in SAMPLES:
            ref = home.objects.put_bytes(f"raw/{sample.name}.fastq", f"@{sample.name}\nA\n+\nI\n".encode())
            intake.add_files(session, [(ref, "reads", None)])
            dataset = intake.add_dataset(session, run.id, sample.name, "assigned", sample.id, "id")
            intake.link_files(session, dataset.id, [(ref.id, None, None)])
    return run


def test_a_sweep_does_not_wait_for_jobs_and_says_nothing_of_those_that_go_on(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, reads = stored(home), Reads()
    monkeypatch.setattr(home, "reads", reads)
    monkeypatch.setattr(sweep_step, "LEFT_ALONE", timedelta(0))
    monkeypatch.setattr(imports.time, "sleep", lambda _seconds: pytest.fail("a sweep slept"))
    reads.going = {SAMPLES[0].id}
    imports.import_reads(home, run.id, minutes=0)
    swept = sweep_step.sweep(home)
    assert (swept.imported, swept.problems, len(reads.jobs)) == (0, [], 1)
    reads.going = set()
    assert sweep_step.sweep(home).imported == len(SAMPLES)


def test_what_an_open_job_imports_is_in_no_other_job(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "BATCH", 2)
    run, reads = stored(home), Reads()
    patient = home.settings.model_copy(update={"import_minutes": 0})
    monkeypatch.setattr(home, "settings", patient)
    monkeypatch.setattr(home, "reads", reads)
    reads.broken, reads.going = {SAMPLES[0].id}, {SAMPLES[2].id}
    first = imports.import_reads(home, run.id)
    assert (first.imported, first.already) == (2, 0)
    assert {reason for _, reason in first.failed} == {"bad", imports.STILL_GOING}
    again = imports.import_reads(home, run.id)
    assert (again.imported, again.already) == (0, 2)
    asked = [[source.sample_id for source in sources] for sources in reads.jobs.values()]
    assert asked == [[sample.id for sample in SAMPLES[start : start + 2]] for start in (0, 2, 4)]
    reads.broken, reads.going = set(), set()
    assert imports.import_reads(home, run.id).imported == 3
    assert (imports.import_reads(home, run.id).already, len(reads.jobs)) == (5, 3)


def test_what_lies_in_another_read_store_is_imported_into_this_one(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    run, first, second = stored(home), Reads(), Reads()
    second.name = "another"
    monkeypatch.setattr(home, "reads", first)
    assert imports.import_reads(home, run.id).imported == len(SAMPLES)
    monkeypatch.setattr(home, "reads", second)
    done = imports.import_reads(home, run.id)
    assert (done.imported, done.already) == (len(SAMPLES), 0)
    assert sum(len(sources) for sources in second.jobs.values()) == len(SAMPLES)
    assert imports.import_reads(home, run.id).already == len(SAMPLES)
