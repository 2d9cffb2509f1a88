"""A message that meets a bug holds up no other, and is not tried for ever."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from sqlalchemy import select

from labrelay.records import outbox
from labrelay.records.delivery import Undeliverable
from labrelay.records.outbox import Message
from labrelay.records.schema import OutboxRow
from labrelay.steps import deliver as delivering
from labrelay.steps.deliver import deliver
from labrelay.steps.home import Home


def test_a_batch_that_takes_longer_than_its_lease_is_told_once(
    make_home: Callable[[], Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    elsewhere: list[int] = []

    def tell(home: Home, message: Message) -> bool:
        told.append(message.entity_id)
        time.sleep(0.6)
        elsewhere.extend(other.id for other in outbox.claim(home.records))  # as another worker would now
        return False

    home = make_home()
    monkeypatch.setattr(outbox, "LEASE_SECONDS", 1)
    monkeypatch.setitem(delivering.CHANNELS, "notify-mail", tell)
    with home.records.write() as session:
        for entity in ("a", "b", "c", "d"):
            outbox.post(session, "notify-mail", entity, "failed", entity)
    done = deliver(home)
    assert (told, elsewhere) == (["a", "b", "c", "d"], [])
    assert (done.confirmed, done.waiting) == (4, 0)


def test_a_bug_in_one_message_holds_up_no_other(make_home: Callable[[], Home], monkeypatch: pytest.MonkeyPatch) -> None:
    def tell(_home: Home, message: Message) -> bool:
        if message.entity_id == "bad":
            raise ZeroDivisionError
        return False

    home = make_home()
    monkeypatch.setitem(delivering.CHANNELS, "eln", tell)
    with home.records.write() as session:
        for entity in ("bad", "good"):
            outbox.post(session, "eln", entity, "result", entity)
    done = deliver(home)
    assert (done.confirmed, done.waiting) == (1, 1)
    with home.records.read() as session:
        (waits,) = session.scalars(select(OutboxRow).where(OutboxRow.state == "pending"))
    assert (waits.entity_id, waits.tries) == ("bad", 1)
    assert "ZeroDivisionError" in (waits.error or "")


def posted(home: Home, channel: str, *entities: str) -> None:
    with home.records.write() as session:
        for entity in entities:
            outbox.post(session, channel, entity, "result", f"{channel}:{entity}")


def due_now(home: Home) -> None:
    """An hour later: what stood in one order of time still does."""
    with home.records.write() as session:
        for row in session.scalars(select(OutboxRow)):
            row.not_before = row.not_before.replace("20", "19", 1)


def test_a_notebook_that_asks_to_wait_is_asked_once_and_holds_up_no_mail(
    make_home: Callable[[], Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, str]] = []

    def busy(_home: Home, message: Message) -> bool:
        told.append((message.channel, message.entity_id))
        raise Undeliverable("it answered 429", retry=True, retry_after=5000)

    def mail(_home: Home, message: Message) -> bool:
        told.append((message.channel, message.entity_id))
        return False

    home = make_home()
    monkeypatch.setitem(delivering.CHANNELS, "eln", busy)
    monkeypatch.setitem(delivering.CHANNELS, "notify-mail", mail)
    posted(home, "eln", *(f"e{n:02}" for n in range(30)))
    posted(home, "notify-mail", "m")
    done = deliver(home)
    assert told == [("eln", "e00"), ("notify-mail", "m")]
    assert (done.confirmed, done.waiting, deliver(home).waiting) == (1, 30, 30)
    with home.records.read() as session:
        rows = session.scalars(select(OutboxRow).where(OutboxRow.channel == "eln").order_by(OutboxRow.id)).all()
    assert len({row.not_before for row in rows}) == 1
    assert [row.tries for row in rows] == [1] + [0] * 29
    assert len(told) == 2


def test_some_that_fail_again_and_again_do_not_keep_back_the_others(
    make_home: Callable[[], Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    down = True

    def tell(_home: Home, message: Message) -> bool:
        if message.entity_id.startswith("bad"):
            raise Undeliverable("it did not answer", retry=True, down=down)
        told.append(message.entity_id)
        return False

    home = make_home()
    monkeypatch.setitem(delivering.CHANNELS, "eln", tell)
    posted(home, "eln", "bad1", "good1")
    assert (deliver(home).waiting, told) == (2, [])
    due_now(home)
    assert (deliver(home).waiting, told) == (1, ["good1"])
    down = False
    posted(home, "eln", "bad2", "bad3", "bad4", "good2")
    deliver(home)
    deliver(home)
    assert told == ["good1", "good2"]
