"""Control limits are those of the handbook, come from earlier values only, and know when they know too little."""

from __future__ import annotations

import math

import pytest

from labrelay.model.control import begins, chart, judge, limits

# NIST/SEMATECH e-Handbook, 6.3.2.2: flow rates of ten batches; centre 50.81, limits 45.8159 and 55.8041.
FLOW = [49.6, 47.6, 49.9, 51.3, 47.8, 51.2, 52.6, 52.4, 53.6, 52.1]


def test_limits_are_those_of_the_handbooks_example() -> None:
    found = limits(FLOW)
    assert found is not None
    assert (found.centre, found.low, found.high) == pytest.approx((50.81, 45.8159, 55.8041), abs=0.002)
    assert found.points == 10


def test_fewer_than_eight_known_values_give_no_limits() -> None:
    assert limits([1.0, 2.0] * 3 + [1.0, None]) is None
    assert not judge([1.0] * 7, 1e9).signal
    assert judge([1.0] * 8, 1e9).outside


def test_a_missing_value_counts_for_nothing_and_is_not_judged() -> None:
    holes = [FLOW[0], None, *FLOW[1:6], None, math.nan, *FLOW[6:]]
    assert limits(holes) == limits(FLOW)
    judged = judge(FLOW, None)
    assert (judged.value, judged.signal) == (None, False)
    assert judge(FLOW, math.inf).value is None


def test_the_value_that_is_judged_does_not_widen_its_own_limits() -> None:
    judged = judge(FLOW, 90.0)
    assert judged.limits == limits(FLOW)
    assert judged.outside
    assert not judge(FLOW, 55.8).outside
    assert judge(FLOW, 45.8).outside


def test_only_the_newest_hundred_values_count() -> None:
    found = limits([1e6] * 50 + FLOW * 10)
    assert found is not None
    assert (found.points, round(found.centre, 2)) == (100, 50.81)


def test_missing_values_do_not_push_known_ones_out_of_the_hundred() -> None:
    values = [*FLOW, *[None] * 100, 90.0]
    found = limits(values[:-1])
    assert found is not None
    assert (found.points, chart(values)[-1].outside) == (10, True)


def test_news_is_told_by_the_same_limits_as_the_chart_when_there_are_more_than_a_hundred_values() -> None:
    # The value before is judged by its own hundred, of which this oldest one is the first.
    values = [-60.0, *[0.0, 1.0] * 46, 0.3, *[0.6] * 8]
    assert len(values) == 102
    judged = chart(values)
    assert [each.shift for each in judged[-2:]] == [True, True]
    assert not begins(values[:-1], judged[-1])


def test_eight_in_a_row_on_one_side_are_a_shift_and_the_first_of_them_is_the_news() -> None:
    values = FLOW + [51.5, 51.6] * 6
    judged = chart(values)
    shifts = [place for place, each in enumerate(judged) if each.shift]
    assert shifts
    assert all(judged[place].limits.centre < 51.5 for place in shifts)  # type: ignore[union-attr]
    news = [place for place, each in enumerate(judged) if begins(values[:place], each)]
    assert news == shifts[:1]
    assert not any(each.outside for each in judged)


def test_a_series_that_never_varies_signals_any_other_value_but_not_rounding() -> None:
    assert not judge([0.1] * 20, 0.1 + 1e-16).signal
    assert judge([0.0] * 20, 1.0).outside
