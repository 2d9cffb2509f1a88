"""Heads of the audit trail kept outside of the database, as small objects that are written once.

Who can change the database can also compute its chain anew. A head that was stored before says what the trail was then:
a cut end, an older copy of the database, or another trail in its place does not have that row. The name carries number
and hash, so two trails never ask for one name, and what an anchor says follows from its row: writing it again is free.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Protocol, runtime_checkable

from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.model.canonical import JSONValue, canonical_json
from labrelay.model.files import FileRef
from labrelay.records.audit import Head
from labrelay.records.audit_verify import FORMAT, LARGEST_ANCHOR, anchor_of
from labrelay.records.schema import AuditRow
from labrelay.stores.ports import ObjectStore

FOLDER = "audit/anchors"
READERS = 16  # at once, where each read is a call over a network


@runtime_checkable
class _Retains(Protocol):
    """A store that can refuse to change or delete an object for a time."""

    def retention(self) -> str | None:
        """Return how long and how strictly, in words; None when it refuses nothing."""


def key_of(head: Head) -> str:
    """Return where the anchor of a head lies; the names sort by number."""
    return f"{FOLDER}/{head.seq:012d}-{head.hash[:16]}.json"


def content_of(head: Head) -> bytes:
    """Return what the anchor of a head says, as docs/audit.md describes it."""
    told: dict[str, JSONValue] = {
        "format": FORMAT,
        "chain": head.chain,
        "seq": head.seq,
        "hash": head.hash,
        "at": head.at,
    }
    return (canonical_json(told) + "\n").encode()


def put(store: ObjectStore, head: Head) -> tuple[FileRef, bool]:
    """Store the anchor of a head; return it and whether it is new. Cost: a look-up when it was there, else one write.

    Raises:
        Conflict: Another content has its name: somebody put it there.
        StorageFailed: The store did not take it.
    """
    there = store.head(key_of(head))
    return store.put_bytes(key_of(head), content_of(head)), there is None


def kept(store: ObjectStore) -> Iterator[tuple[str, bytes]]:
    """Yield key and content of all anchors. Cost: a listing, and a small read an anchor."""

    def read(ref: FileRef) -> tuple[str, bytes]:
        with store.open(ref) as opened:
            return ref.key, opened.read(LARGEST_ANCHOR)

    refs = store.list(FOLDER)
    with ThreadPoolExecutor(READERS, thread_name_prefix="anchors") as pool:
        while window := tuple(islice(refs, READERS * 4)):
            yield from pool.map(read, window)


def newest_is_met(session: Session, folder: Path) -> bool | None:
    """Tell whether the trail has the row that was anchored last; None without anchors. Cost: a listing, one look-up.

    Args:
        session: Of the records.
        folder: A store that is a folder.
    """
    names = [path.name for path in (folder / FOLDER).glob("*.json")]
    if not names:
        return None
    newest = max(names)
    anchor = anchor_of(newest, (folder / FOLDER / newest).read_bytes()[:LARGEST_ANCHOR])
    if anchor is None:
        return False
    return session.scalar(select(AuditRow.hash).where(AuditRow.seq == anchor.seq)) == anchor.hash


def protection(store: ObjectStore) -> str | None:
    """Return what keeps anchors from being changed or deleted in this store, in words; None when nothing does.

    Raises:
        LabrelayError: The store does not say.
    """
    return store.retention() if isinstance(store, _Retains) else None
