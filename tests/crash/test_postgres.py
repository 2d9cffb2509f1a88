"""Two workers on one PostgreSQL, and kills at any moment: the promises of the file hold for the team's database."""

from __future__ import annotations

from pathlib import Path

import pytest

from labrelay.records import postgres

from .test_soak import SEED
from .test_workers import ASLEEP_AT, LEASE_SECONDS
from .trials import SAID, Bench, share

TRIALS = 16


def test_a_sleeper_that_wakes_after_another_has_done_its_work_changes_nothing(bench_on_postgres: Bench) -> None:
    bench = bench_on_postgres
    points = ASLEEP_AT[::2]
    found = share(points, lambda p: bench.beside(bench.fresh(f"asleep-{p}"), p, LEASE_SECONDS), bench.root)
    assert found == []


def test_a_sleeper_in_mid_transaction_is_thrown_out_by_the_server_and_says_so(
    bench_on_postgres: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite it would be waited for: here the server ends its transaction, so that nobody has to know of it."""
    monkeypatch.setattr(postgres, "IDLE_SECONDS", 1)
    folder = bench_on_postgres.fresh("asleep-in-a-transaction")
    assert bench_on_postgres.beside(folder, "records.commit", LEASE_SECONDS) == []
    said = (folder / "sleeper.log").read_text()
    assert "what was under way is either there whole or not at all" in said, said


def test_no_kill_loses_or_doubles_anything(bench_on_postgres: Bench) -> None:
    trials = bench_on_postgres.run_all(range(SEED, SEED + TRIALS))
    assert [str(trial) for trial in trials if trial.wrong] == []
    assert sum(sum(trial.died) for trial in trials) >= TRIALS * 0.6, "too few of the kills met a living process"


def test_a_database_that_is_gone_is_said_in_one_sentence_and_the_repetition_does_the_work(
    bench_on_postgres: Bench, tmp_path: Path
) -> None:
    bench = bench_on_postgres
    folder = bench.fresh("gone")
    settings = folder / "home" / "labrelay.toml"
    right = settings.read_text()
    settings.write_text(right.replace("host=", f"host={tmp_path}/"))
    assert bench.steps(folder, {}) == SAID
    assert "see that its server runs and repeat the command" in (folder / "log").read_text()
    settings.write_text(right)
    assert bench.settle(folder) == []
