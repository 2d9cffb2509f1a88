"""One worker at a time, and a worker that slept past its lease writes nothing more."""

import os

import pytest

from labrelay.model.errors import Busy
from labrelay.records import lease
from labrelay.records.database import Database


def test_a_held_lease_is_refused_with_who_has_it(db: Database) -> None:
    held = lease.acquire(db, "the ingest of X")
    with pytest.raises(Busy, match=f"{os.getpid()}"):
        lease.acquire(db, "the ingest of X")
    lease.release(db, held)
    assert lease.acquire(db, "the ingest of X").fence == held.fence + 1


def test_two_names_do_not_meet(db: Database) -> None:
    lease.acquire(db, "one")
    lease.acquire(db, "other")


def test_a_sleeper_past_its_lease_cannot_write(db: Database) -> None:
    sleeper = lease.acquire(db, "x", seconds=-1)
    awake = lease.acquire(db, "x")
    assert awake.fence == sleeper.fence + 1
    with pytest.raises(Busy, match="taken over"), db.write() as session:
        lease.confirm(session, sleeper)
    with db.write() as session:
        lease.confirm(session, awake)


def test_the_lease_of_a_dead_process_is_taken_over_at_once(db: Database) -> None:
    pid = os.fork()
    if pid == 0:
        lease.acquire(Database(db.url), "x", seconds=600)
        os._exit(0)
    os.waitpid(pid, 0)
    assert lease.acquire(db, "x").fence == 2
