"""The reducer gives one answer for every order of arrival."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from labrelay.model.states import RANK, TERMINAL, RunState, StateEvent, reduce_state

START = datetime(2026, 1, 1, tzinfo=UTC)


def event(state: RunState, minute: int) -> StateEvent:
    return StateEvent(state=state, at=START + timedelta(minutes=minute))


def settle(events: list[StateEvent]) -> StateEvent:
    state = None
    for one in events:
        state = reduce_state(state, one)
    assert state is not None
    return state


events = st.lists(st.builds(event, st.sampled_from(list(RunState)), st.integers(0, 5)), min_size=1, max_size=5)


@given(events)
def test_every_order_of_arrival_ends_in_the_same_state(history: list[StateEvent]) -> None:
    assert len({settle(list(order)) for order in permutations(history)}) == 1


@given(events)
def test_events_told_five_times_change_nothing(history: list[StateEvent]) -> None:
    assert settle(history * 5) == settle(history)


@given(events, st.sampled_from(sorted(TERMINAL)))
def test_no_late_word_unlocks_a_terminal_state(history: list[StateEvent], end: RunState) -> None:
    ended = settle([*history, event(end, 0)])
    assert ended.state.terminal
    assert reduce_state(ended, event(RunState.RUNNING, 99)) == ended


def test_stopping_is_not_an_end() -> None:
    assert not RunState.CANCELING.terminal
    assert not RunState.UNKNOWN.terminal


def test_every_state_has_its_own_rank() -> None:
    assert len(set(RANK.values())) == len(RunState)
