"""Many who tell at once share a commit, and none of them pays for another's mistake."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from doorway import Doorway
from sqlalchemy import event

from labrelay.api.inlet import Inlet
from labrelay.model.errors import Busy, Conflict
from labrelay.records import inbox
from labrelay.records.inbox import InboxMessage, Posted


def told(number: int, text: str = "x") -> InboxMessage:
    return InboxMessage(source="token:storm", message_id=str(number), payload={"text": text})


def together(inlet: Inlet, messages: list[InboxMessage]) -> list[Posted | Exception]:
    """Post all messages while the first is held in its commit; return what came of each."""
    held, entered = threading.Event(), threading.Event()
    commit = inlet._commit

    def slow(batch: object) -> object:
        entered.set()
        held.wait(10)
        return commit(batch)  # type: ignore[arg-type]

    inlet._commit = slow  # type: ignore[assignment, method-assign]

    def post(message: InboxMessage) -> Posted | Exception:
        try:
            return inlet.post(message)
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(messages)) as pool:
        first = pool.submit(post, messages[0])
        entered.wait(10)
        rest = [pool.submit(post, message) for message in messages[1:]]
        while len(inlet._waiting) < len(rest):
            threading.Event().wait(0.005)
        held.set()
        return [first.result(), *(each.result() for each in rest)]


def test_those_who_wait_for_a_commit_share_the_next_one(door: Doorway) -> None:
    commits: list[object] = []
    event.listen(door.home.records.engine, "commit", commits.append)
    outcomes = together(Inlet(door.home.records), [told(number) for number in range(20)])
    assert all(isinstance(outcome, Posted) and outcome.new for outcome in outcomes)
    assert len({outcome.number for outcome in outcomes if isinstance(outcome, Posted)}) == 20
    assert len(commits) == 2
    assert door.rows() == 20


def test_a_conflict_among_them_is_its_senders_alone(door: Doorway) -> None:
    outcomes = together(Inlet(door.home.records), [told(1), told(2), told(1, "other"), told(1), told(3)])
    kinds = [type(outcome).__name__ for outcome in outcomes]
    assert kinds == ["Posted", "Posted", "Conflict", "Posted", "Posted"]
    assert isinstance(outcomes[2], Conflict)
    assert outcomes[3] == Posted(number=outcomes[0].number, new=False)  # type: ignore[union-attr]
    assert door.rows() == 3


def test_one_that_cannot_be_written_stops_no_other(door: Doorway, monkeypatch: pytest.MonkeyPatch) -> None:
    post = inbox.post

    def refuse(session: object, message: InboxMessage) -> Posted:
        if message.message_id == "2":
            raise ValueError("cannot be stored")
        return post(session, message)  # type: ignore[arg-type]

    monkeypatch.setattr(inbox, "post", refuse)
    outcomes = together(Inlet(door.home.records), [told(number) for number in range(5)])
    assert [isinstance(outcome, Posted) for outcome in outcomes] == [True, True, False, True, True]
    assert door.rows() == 4


def test_a_busy_store_is_said_to_each_who_waits_and_nothing_is_there(door: Doorway) -> None:
    inlet = Inlet(door.home.records)
    door.home.records.hurry(1)
    with door.home.records.engine.connect().execution_options(labrelay_write=True) as other, other.begin():
        began = time.monotonic()
        outcomes = together(inlet, [told(number) for number in range(20)])
    assert all(isinstance(outcome, Busy) for outcome in outcomes)
    assert time.monotonic() - began < 10  # two waits of a second, not twenty
    assert door.rows() == 0
    assert inlet.post(told(0)).new
