"""Thresholds judge numbers, and a missing number is never taken for a good one."""

import pytest

from labrelay.model.qc import Threshold, Verdict, judge_all, worst

DEPTH = Threshold(metric="mean_depth", fail_below=10, warn_below=50)


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(9.99, Verdict.FAIL), (10, Verdict.WARN), (49, Verdict.WARN), (50, Verdict.PASS), (None, Verdict.FAIL)],
)
def test_bounds_are_inclusive_and_missing_fails(value: float | None, verdict: Verdict) -> None:
    assert DEPTH.judge(value) is verdict


def test_the_worst_verdict_counts() -> None:
    assert worst([Verdict.PASS, Verdict.WARN, Verdict.PASS]) is Verdict.WARN
    assert worst([]) is Verdict.NONE


def test_each_threshold_judges_its_own_metric() -> None:
    high = Threshold(metric="n_percent", warn_above=1, fail_above=5)
    assert judge_all({"mean_depth": 60, "n_percent": 6}, [DEPTH, high]) == {
        "mean_depth": Verdict.PASS,
        "n_percent": Verdict.FAIL,
    }
