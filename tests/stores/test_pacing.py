"""Calls are spaced by operation, in the order of asking, and what has no limit is not held up."""

from __future__ import annotations

import pytest

from labrelay.stores.pacing import RATES, Pacing, TokenBucket


class Clock:
    def __init__(self) -> None:
        self.now, self.slept = 0.0, 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds


def test_a_slow_operation_has_one_call_every_ten_seconds() -> None:
    clock = Clock()
    pacing = Pacing({"StartRun": 0.1}, clock, clock.sleep)
    for _ in range(4):
        pacing.wait("StartRun")
    assert clock.slept == pytest.approx(30)


def test_a_fast_operation_may_use_a_second_at_once_and_then_waits() -> None:
    clock = Clock()
    pacing = Pacing({"GetRun": 10}, clock, clock.sleep)
    for _ in range(10):
        pacing.wait("GetRun")
    assert clock.slept == 0
    for _ in range(20):
        pacing.wait("GetRun")
    assert clock.slept == pytest.approx(2)


def test_waiting_makes_room_again_but_never_more_than_a_second() -> None:
    clock = Clock()
    bucket = TokenBucket(2, clock)
    assert [bucket.take() for _ in range(3)] == pytest.approx([0, 0, 0.5])
    clock.now = 1000
    assert [bucket.take() for _ in range(3)] == pytest.approx([0, 0, 0.5])


def test_threads_that_ask_at_once_get_places_one_after_the_other() -> None:
    bucket = TokenBucket(1, lambda: 0.0)
    assert [bucket.take() for _ in range(4)] == pytest.approx([0, 1, 2, 3])


def test_an_operation_without_a_limit_and_another_operation_are_not_held_up() -> None:
    clock = Clock()
    pacing = Pacing({"StartRun": 0.1, "GetRun": 10}, clock, clock.sleep)
    pacing.wait("StartRun")
    pacing.wait("GetRun")
    for _ in range(100):
        pacing.wait("PutObject")
    assert clock.slept == 0


def test_a_rate_that_lets_nothing_through_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        TokenBucket(0)


def test_the_rates_name_operations_of_the_service() -> None:
    from botocore.session import Session

    assert set(RATES) <= set(Session().get_service_model("omics").operation_names)
