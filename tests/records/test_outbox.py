"""Messages are told at least once, in order per entity, and a lost worker does not lose them."""

import os

from sqlalchemy import update

from labrelay.records import outbox
from labrelay.records.database import Database
from labrelay.records.schema import OutboxRow


def post(db: Database, *names: str) -> None:
    with db.write() as session:
        for name in names:
            outbox.post(session, "eln", name.split("-")[0], "result", name, text=name)


def kinds(messages: list[outbox.Message]) -> list[str]:
    return [message.payload["text"] for message in messages]


def test_a_message_posted_twice_is_one_message(db: Database) -> None:
    post(db, "a-1", "a-1")
    assert kinds(outbox.claim(db)) == ["a-1"]


def test_one_entitys_messages_come_in_order_and_one_at_a_time(db: Database) -> None:
    post(db, "a-1", "b-1", "a-2")
    first = outbox.claim(db)
    assert kinds(first) == ["a-1", "b-1"]
    assert outbox.claim(db) == []
    outbox.confirm(db, first[0])
    assert kinds(outbox.claim(db)) == ["a-2"]


def test_a_message_of_a_worker_that_died_is_claimed_again(db: Database) -> None:
    post(db, "a-1")
    outbox.claim(db)
    with db.write() as session:
        session.execute(update(OutboxRow).values(lease_until="2000-01-01"))
    assert [message.tries for message in outbox.claim(db)] == [2]


def test_a_message_whose_worker_was_killed_on_this_machine_is_claimed_again_at_once(db: Database) -> None:
    post(db, "a-1")
    pid = os.fork()
    if pid == 0:
        outbox.claim(Database(db.url))
        os._exit(0)
    os.waitpid(pid, 0)
    assert [message.tries for message in outbox.claim(db)] == [2]
    assert outbox.claim(db) == [], "this one's worker lives"


def test_a_worker_that_slept_past_its_lease_cannot_settle_what_another_has_claimed(db: Database) -> None:
    post(db, "a-1")
    slept = outbox.claim(db)[0]
    with db.write() as session:
        session.execute(update(OutboxRow).values(lease_until="2000-01-01"))
    awake = outbox.claim(db)[0]
    outbox.fail(db, slept, "too late", retry=False)
    with db.read() as session:
        assert outbox.waiting(session) == {"sending": 1}
    outbox.confirm(db, awake)
    with db.read() as session:
        assert outbox.waiting(session) == {}


def test_a_message_that_another_worker_has_claimed_is_not_prolonged(db: Database) -> None:
    post(db, "a-1", "b-1")
    mine = outbox.claim(db)
    with db.write() as session:
        session.execute(update(OutboxRow).where(OutboxRow.id == mine[0].id).values(lease_until="2000-01-01"))
    (theirs,) = outbox.claim(db)
    assert theirs.id == mine[0].id
    assert [outbox.prolong(db, message) for message in mine] == [False, True]
    assert outbox.prolong(db, theirs)


def test_a_failed_message_waits_before_the_next_try(db: Database) -> None:
    post(db, "a-1")
    outbox.fail(db, outbox.claim(db)[0], "the notebook is down", retry=True)
    assert outbox.claim(db) == []
    with db.read() as session:
        assert outbox.waiting(session) == {"pending": 1}


def test_a_message_that_can_never_be_told_is_dead_and_does_not_block_the_next(db: Database) -> None:
    post(db, "a-1", "a-2")
    outbox.fail(db, outbox.claim(db)[0], "no such entry", retry=False)
    assert kinds(outbox.claim(db)) == ["a-2"]
    with db.read() as session:
        assert outbox.waiting(session) == {"dead": 1, "sending": 1}
