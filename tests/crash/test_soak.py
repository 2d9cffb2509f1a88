"""Processes are killed at any moment, and killed again while they recover: nothing is lost and nothing done twice."""

from __future__ import annotations

import os
import sys
from collections import Counter

import pytest

from .trials import Bench, Trial

TRIALS = int(os.environ.get("LABRELAY_SOAK_TRIALS", "100"))
SEED = int(os.environ.get("LABRELAY_SOAK_SEED", "20261123"))
CONTROL_TRIALS = 12


def figures(trials: list[Trial], points: Counter[str]) -> str:
    """Return the figures of a soak, as docs/reliability.md prints them."""
    hit = Counter(k.point for t in trials for k, died in zip(t.kills, t.died, strict=True) if died and k.point)
    kills, seconds = sum(sum(t.died) for t in trials), sum(t.seconds for t in trials)
    twice = sum(sum(t.died) > 1 for t in trials)
    rare = ", ".join(f"{name} {hit[name]}" for name in sorted(points, key=lambda n: hit[n])[:3])
    return (
        f"{len(trials)} trials from seed {SEED}, {kills} kills, {twice} "
        f"killed again during recovery; {len(points)} named points, least hit: {rare}; "
        f"{sum(bool(t.wrong) for t in trials)} trials with a lost, doubled or wrong thing; {seconds:.0f} s of work"
    )


def test_soak_no_kill_loses_or_doubles_anything(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    trials = bench.run_all(range(SEED, SEED + TRIALS))
    with capsys.disabled():
        sys.stdout.write(f"\n{figures(trials, bench.points)}\n")
    assert len(trials) == TRIALS
    assert [str(trial) for trial in trials if trial.wrong] == []
    assert sum(sum(trial.died) for trial in trials) >= TRIALS * 0.6, "too few of the kills met a living process"


def test_control_an_engine_that_ignores_tokens_is_seen_to_start_twice(bench: Bench) -> None:
    found = []
    for point in ("engine.started", "submit.started"):
        folder = bench.fresh(f"control-{point}")
        code = bench.steps(folder, {"LABRELAY_FAULT": f"{point}:1:kill"}, honours_tokens=False)
        assert code == -9
        found += bench.settle(folder, honours_tokens=False)
    twice = [line for line in found if line.startswith("I2:") and "was started 2 times" in line]
    assert len(twice) == 2, found
