"""Leases with a fencing number: one worker at a time, and a worker that slept past its lease cannot write any more."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from uuid import uuid4

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from labrelay.model.errors import Busy
from labrelay.model.problem import Frozen
from labrelay.records.database import Database, later, now
from labrelay.records.schema import LeaseRow

SECONDS = 60


class Lease(Frozen):
    """A held lease; `fence` goes with every write that it protects."""

    name: str
    holder: str
    fence: int


def acquire(db: Database, name: str, seconds: int = SECONDS) -> Lease:
    """Take the lease, or say who has it.

    A holder on this machine whose process is gone is not waited for: its lease is taken over at once.

    Raises:
        Busy: Somebody else holds it and it has not run out.
    """
    holder = new_holder()
    with db.write() as session:
        row = session.get(LeaseRow, name)
        if row is not None and row.until > now() and is_alive(row.holder):
            raise Busy(f"{name} is being worked on by {_told(row)}")
        fence = 1 if row is None else row.fence + 1
        if row is None:
            session.add(LeaseRow(name=name, holder=holder, fence=fence, until=later(seconds)))
        else:
            row.holder, row.fence, row.until = holder, fence, later(seconds)
    return Lease(name=name, holder=holder, fence=fence)


def _told(row: LeaseRow) -> str:
    """Return who holds a lease and when to try again: it is given back as soon as the work is done."""
    place, pid, _nonce = row.holder.rsplit(":", 2)
    who = f"another labrelay process ({pid} on {place.split('/', 1)[0]})"
    # Of one on another machine nobody can see that it is gone; then its lease runs out.
    late = "" if place == machine() else f", or after {row.until[:16].replace('T', ' ')} UTC if it was lost"
    return f"{who}: run the command again when it has ended{late}"


def confirm(session: Session, lease: Lease, seconds: int = SECONDS) -> None:
    """Prolong the lease in the caller's transaction, so that what it writes is refused when the lease is not its own.

    Raises:
        Busy: Another holder has taken over since (its number is higher); the caller's transaction must not commit.
    """
    mine = (LeaseRow.name == lease.name) & (LeaseRow.holder == lease.holder) & (LeaseRow.fence == lease.fence)
    done = session.execute(update(LeaseRow).where(mine).values(until=later(seconds)))
    if getattr(done, "rowcount", 0) != 1:
        raise Busy(f"{lease.name} was taken over by another worker; this one has stopped and written nothing more")


def release(db: Database, lease: Lease) -> None:
    """Give the lease back; the fencing number stays, so that it goes on rising."""
    with db.write() as session:
        mine = (LeaseRow.name == lease.name) & (LeaseRow.holder == lease.holder)
        session.execute(update(LeaseRow).where(mine).values(until=now()))


@contextmanager
def held(db: Database, name: str, seconds: int = SECONDS) -> Iterator[Lease]:
    """Hold the lease for the length of a `with` block."""
    lease = acquire(db, name, seconds)
    try:
        yield lease
    finally:
        release(db, lease)


def free_dead(session: Session) -> int:
    """End the leases of this machine's processes that are gone, and return how many; the fencing numbers stay."""
    held_now = session.scalars(select(LeaseRow).where(LeaseRow.until > now())).all()
    dead = [row for row in held_now if not is_alive(row.holder)]
    for row in dead:
        row.until = now()
    return len(dead)


@cache
def machine() -> str:
    """Return a name for where process numbers mean the same: host, start of the system, and namespace of processes.

    Containers may share a host's name, and each counts its processes from 1.
    """
    boot = Path("/proc/sys/kernel/random/boot_id")
    started = boot.read_text().split("-", 1)[0] if boot.exists() else "0"
    try:
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        namespace = 0
    return f"{socket.gethostname()}/{started}/{namespace}"


def new_holder() -> str:
    """Return a name for one holding by this process: machine, pid, and digits that no other holding has."""
    return f"{machine()}:{os.getpid()}:{uuid4().hex[:8]}"


def is_alive(holder: str) -> bool:
    """Tell whether a holder's process lives; one elsewhere counts as alive, since nobody here can know."""
    host, pid, _nonce = holder.rsplit(":", 2)
    if host != machine():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
