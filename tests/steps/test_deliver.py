"""A message that meets a bug holds up no other, and is not tried for ever."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from sqlalchemy import select

from labrelay.records import outbox
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
