"""Two workers on one home: one that sleeps past its lease and wakes up late does no harm, wherever it slept."""

from __future__ import annotations

import pytest

from labrelay.model.errors import Busy
from labrelay.records import lease

from .trials import SAID, Bench, share

LEASE_SECONDS = 0.3
# A sleeper inside a transaction or a file lock is waited for instead (30 and 60 s), then the others say Busy.
HOLDS_A_LOCK = ("records.commit", "reads.job_written", "reads.file_linked", "reads.metadata_written", "reads.imported")
ASLEEP_AT = (
    "store.staged",
    "store.linked",
    "ingest.group_stored",
    "ingest.group_recorded",
    "ingest.manifest_written",
    "ingest.recorded",
    "import.intended",
    "import.done",
    "bundle.written",
    "submit.intended",
    "submit.started",
    "collect.polled",
    "collect.states_written",
    "record.output_stored",
    "record.documents_written",
    "deliver.told",
)


def test_a_sleeper_that_wakes_after_another_has_done_its_work_changes_nothing(bench: Bench) -> None:
    assert set(ASLEEP_AT) <= set(bench.points) - set(HOLDS_A_LOCK)
    found = share(ASLEEP_AT, lambda p: bench.beside(bench.fresh(f"asleep-{p}"), p, LEASE_SECONDS), bench.root)
    assert found == []


def test_the_late_write_of_a_sleeping_ingest_is_refused_in_words(bench: Bench) -> None:
    folder = bench.fresh("asleep")
    assert bench.beside(folder, "ingest.group_stored", LEASE_SECONDS) == []
    assert "was taken over by another worker; this one has stopped" in (folder / "sleeper.log").read_text()


def test_control_without_fencing_the_sleeper_would_write(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "confirm", lambda *_: None)
    folder = bench.fresh("asleep-unfenced")
    bench.beside(folder, "ingest.group_stored", LEASE_SECONDS)
    assert "was taken over" not in (folder / "sleeper.log").read_text()


def test_a_lease_in_use_is_prolonged_while_one_large_file_is_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[lease.Lease] = []
    monkeypatch.setattr(lease, "SECONDS", 0)
    confirm = lease.confirm
    monkeypatch.setattr(lease, "confirm", lambda session, held: (calls.append(held), confirm(session, held, 60))[1])
    folder = bench.fresh("prolonged")
    bench._process(folder)
    files = 7 + 1
    assert len(calls) > files, "one a group and the manifest are not enough"


def test_the_lease_of_a_living_process_is_respected(bench: Bench) -> None:
    folder = bench.fresh("held")
    home = bench.open(folder)
    with lease.held(home.records, f"the ingest of {bench.lab.run.name}"):
        with pytest.raises(Busy):
            lease.acquire(home.records, f"the ingest of {bench.lab.run.name}")
        assert bench.steps(folder, {}) == SAID
        assert "is being worked on by" in (folder / "log").read_text()
    home.close()
    assert bench.settle(folder) == []
