"""The sequence store and the reference store of a lab, made once and found again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from labrelay.model.canonical import digest
from labrelay.model.errors import Busy, UsageError
from labrelay.model.faults import faultpoint
from labrelay.stores.aws import Aws, aws_errors

GONE = frozenset({"DELETING", "FAILED"})


@dataclass(frozen=True)
class Stores:
    """The stores of a lab, and whether each was made now."""

    sequence_store_id: str
    reference_store_id: str
    sequence_store_made: bool = False
    reference_store_made: bool = False


def ensure_stores(aws: Aws, name: str) -> Stores:
    """Return the sequence store of this name and the account's reference store; what is not there is made.

    An account has one reference store a region, so that one is taken whatever it is called. Cost: two lists, and a call
    for each store that is made.

    Args:
        aws: The way there.
        name: 1 to 127 characters that print.

    Raises:
        Denied: A permission is missing; the sentence names it.
        UsageError: The name is no name.
    """
    if not name.strip() or len(name) > 127 or not name.isprintable():
        raise UsageError(f"{name!r} is no name for a store; use 1 to 127 plain characters.")
    omics = aws.client("omics")
    sequence, sequence_made = _ensure(_Kind("sequence store", omics, "sequenceStores", name), _make_sequence_store)
    faultpoint("omics.sequence_store")
    reference, reference_made = _ensure(_Kind("reference store", omics, "referenceStores", None, name), _make_reference)
    return Stores(sequence, reference, sequence_made, reference_made)


@dataclass(frozen=True)
class _Kind:
    what: str
    omics: Any
    member: str
    wanted: str | None  # None: any
    new_name: str = ""


def _ensure(kind: _Kind, make: Callable[[_Kind], str]) -> tuple[str, bool]:
    if (found := _find(kind)) is not None:
        return found, False
    try:
        with aws_errors(f"make the {kind.what} {kind.wanted or kind.new_name}"):
            return make(kind), True
    except Busy:
        # The quota of one reference store is used up when another machine made it since we looked.
        if (found := _find(kind)) is None:
            raise
        return found, False


def _find(kind: _Kind) -> str | None:
    list_stores = "list_sequence_stores" if kind.member == "sequenceStores" else "list_reference_stores"
    with aws_errors(f"look for the {kind.what}"):
        pages = kind.omics.get_paginator(list_stores).paginate()
        stores = [store for page in pages for store in page[kind.member] if store.get("status") not in GONE]
    fitting = [store for store in stores if kind.wanted is None or store.get("name") == kind.wanted]
    # Two of one name: the older, which is the same on every machine.
    oldest = min(fitting, key=lambda store: (store["creationTime"], store["id"]), default=None)
    return None if oldest is None else str(oldest["id"])


def _make_sequence_store(kind: _Kind) -> str:
    token = digest(["sequence store", kind.wanted])[:64]
    return str(kind.omics.create_sequence_store(name=kind.wanted, clientToken=token)["id"])


def _make_reference(kind: _Kind) -> str:
    token = digest(["reference store", kind.new_name])[:64]
    return str(kind.omics.create_reference_store(name=kind.new_name, clientToken=token)["id"])
