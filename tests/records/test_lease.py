"""One worker at a time, and a worker that slept past its lease writes nothing more."""

import os
import socket

import pytest

from labrelay.model.errors import Busy
from labrelay.records import lease
from labrelay.records.database import Database
from labrelay.records.schema import LeaseRow


def test_a_held_lease_is_refused_with_who_has_it(db: Database) -> None:
    held = lease.acquire(db, "the ingest of X")
    with pytest.raises(Busy, match=f"{os.getpid()}"):
        lease.acquire(db, "the ingest of X")
    lease.release(db, held)
    assert lease.acquire(db, "the ingest of X").fence == held.fence + 1


def test_two_names_do_not_meet(db: Database) -> None:
    lease.acquire(db, "one")
    lease.acquire(db, "other")


def test_who_has_a_lease_is_told_as_a_process_to_wait_for_and_the_time_only_where_nobody_can_see_its_end(
    db: Database,
) -> None:
    lease.acquire(db, "the ingest of X")
    here = f"the ingest of X is being worked on by another labrelay process ({os.getpid()} on {socket.gethostname()}): "
    with pytest.raises(Busy) as told:
        lease.acquire(db, "the ingest of X")
    assert str(told.value) == here + "run the command again when it has ended"
    with db.write() as session:
        row = session.get_one(LeaseRow, "the ingest of X")
        row.holder, row.until = "elsewhere/1/2:77:abc", "2999-01-01T10:20:30.000000+00:00"
    with pytest.raises(Busy, match=r"\(77 on elsewhere\).* ended, or after 2999-01-01 10:20 UTC if it was lost"):
        lease.acquire(db, "the ingest of X")


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
