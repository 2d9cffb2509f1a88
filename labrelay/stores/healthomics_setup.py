"""The sequence store and the reference store of a lab, made once and found again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from labrelay.model.canonical import digest
from labrelay.model.errors import Busy, Conflict, NotFound, StorageFailed, UsageError
from labrelay.model.faults import faultpoint
from labrelay.stores.aws import Aws, aws_errors

GONE = frozenset({"DELETING", "FAILED"})
MOST_TOKENS = 50


@dataclass(frozen=True)
class Known:
    """The stores that a home has used so far."""

    sequence_store_id: str | None = None
    reference_store_id: str | None = None


NOTHING = Known()


@dataclass(frozen=True)
class Stores:
    """The stores of a lab, and whether each was made now."""

    sequence_store_id: str
    reference_store_id: str
    sequence_store_made: bool = False
    reference_store_made: bool = False


def ensure_stores(aws: Aws, name: str, known: Known = NOTHING) -> Stores:
    """Return the sequence store of this name and the account's reference store; what is not there is made.

    An account has one reference store a region, so that one is taken whatever it is called. Cost: two lists, a call for
    each store that is known, and two for each that is made.

    Args:
        aws: The way there.
        name: 1 to 127 characters that print.
        known: Stores that are taken, whatever they are called, unless they were deleted.

    Raises:
        Denied: A permission is missing; the sentence names it.
        UsageError: The name is no name.
    """
    if not name.strip() or len(name) > 127 or not name.isprintable():
        raise UsageError(f"{name!r} is no name for a store; use 1 to 127 plain characters.")
    omics = aws.client("omics")
    sequence, sequence_made = _ensure(_sequence_store(omics, name), known.sequence_store_id)
    faultpoint("omics.sequence_store")
    reference, reference_made = _ensure(_reference_store(omics, name), known.reference_store_id)
    return Stores(sequence, reference, sequence_made, reference_made)


@dataclass(frozen=True)
class _Kind:
    """A sequence store or reference store, and the calls that are about it.

    Attributes:
        what: `sequence store` or `reference store`.
        name: The lab's name for it.
        one: An account has only one, so that its name does not matter.
        pages, member: The pages of the listing, and where the stores are in each.
        look: Asks about one by its id.
        make: Makes one for a token.
    """

    what: str
    name: str
    one: bool
    pages: Callable[[], Iterable[Mapping[str, Any]]]
    member: str
    look: Callable[[str], Mapping[str, Any]]
    make: Callable[[str], Mapping[str, Any]]


def _sequence_store(omics: Any, name: str) -> _Kind:
    return _Kind(
        what="sequence store",
        name=name,
        one=False,
        pages=lambda: omics.get_paginator("list_sequence_stores").paginate(),
        member="sequenceStores",
        look=lambda store_id: omics.get_sequence_store(id=store_id),
        make=lambda token: omics.create_sequence_store(name=name, clientToken=token),
    )


def _reference_store(omics: Any, name: str) -> _Kind:
    return _Kind(
        what="reference store",
        name=name,
        one=True,
        pages=lambda: omics.get_paginator("list_reference_stores").paginate(),
        member="referenceStores",
        look=lambda store_id: omics.get_reference_store(id=store_id),
        make=lambda token: omics.create_reference_store(name=name, clientToken=token),
    )


def _ensure(kind: _Kind, known: str | None) -> tuple[str, bool]:
    if known is not None and _is_there(kind, known):
        return known, False
    if (found := _find(kind)) is not None:
        return found, False
    try:
        return _made(kind), True
    except (Busy, Conflict):
        # The quota of one reference store is used up when another machine made it since we looked.
        if (found := _find(kind)) is None:
            raise
        return found, False


def _find(kind: _Kind) -> str | None:
    with aws_errors(f"look for the {kind.what}"):
        stores = [store for page in kind.pages() for store in page[kind.member] if store.get("status") not in GONE]
    fitting = [store for store in stores if kind.one or store.get("name") == kind.name]
    # Two of one name: the older, which is the same on every machine.
    oldest = min(fitting, key=lambda store: (store["creationTime"], store["id"]), default=None)
    return None if oldest is None else str(oldest["id"])


def _made(kind: _Kind) -> str:
    """Return the id of a new store: two machines that ask at once get one, by the token made from the name.

    A token of the past gives a store that was deleted since, or none; then the next one is tried, the same on every
    machine.
    """
    for number in range(MOST_TOKENS):
        token = digest([kind.what, kind.name, number])[:64]
        try:
            with aws_errors(f"make the {kind.what} {kind.name}"):
                made = str(kind.make(token)["id"])
        except NotFound:
            continue
        if _is_there(kind, made):
            return made
    raise StorageFailed(
        f"AWS gave {MOST_TOKENS} times a {kind.what} {kind.name} that was deleted; make it in the console, then repeat."
    )


def _is_there(kind: _Kind, store_id: str) -> bool:
    try:
        with aws_errors(f"look at the {kind.what} {store_id}"):
            return kind.look(store_id).get("status") not in GONE
    except NotFound:
        return False
