"""What operations do alike: answer a repeated token again, find a thing or say that it is not there, list pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from labrelay.emulator.operation import Params, conflict, invalid, not_found
from labrelay.emulator.service import Service
from labrelay.emulator.state import Body, Snapshot, Transaction
from labrelay.model.canonical import digest

FIRST_STORAGE_ID = 1_000_000_001  # ids of storage have ten digits or more
DEFAULT_PAGE = 100
TEXT_LIMIT = 127  # JobStatusMessage and SequenceStoreStatusMessage


def idempotent(
    service: Service,
    operation: str,
    asked: Params,
    make: Callable[[Transaction], Params],
    member: str = "clientToken",
) -> Params:
    """Return what `make` answers; a repeated request with the same token gets the first answer and makes nothing.

    Args:
        service: Whose state; `make` runs in one write transaction with the memory of the token.
        operation: Its name; tokens of two operations are apart.
        asked: The request's parameters.
        make: Does it; what it raises leaves no trace.
        member: The member that holds the token; a request without one is always new.

    Raises:
        Failure: `ConflictException`, the token came with another request before.
    """
    token = asked.get(member)
    with service.state.write() as state:
        if token is None:
            return make(state)
        request = digest({name: value for name, value in asked.items() if name != member})
        before = state.answered(operation, token)
        if before is None:
            answer = make(state)
            state.remember(operation, token, request, answer)
            return answer
    if before[0] != request:
        raise conflict(f"The {member} {token} was used for another request of {operation}.")
    return before[1]


def storage_id(state: Transaction) -> str:
    """Return a new id for a store, a read set, a reference, a job or an upload."""
    return str(state.next_number("storage", FIRST_STORAGE_ID))


def found(state: Snapshot, kind: str, key: str, parent: str = "") -> Body:
    """Return a thing's body.

    Raises:
        Failure: `ResourceNotFoundException`.
    """
    body = state.get(kind, key, parent)
    if body is None:
        raise not_found(kind, key)
    return body


def chosen(body: Body, members: Iterable[str]) -> Params:
    """Return these members of a body, as far as it has them."""
    return {name: body[name] for name in members if name in body}


def listed(state: Snapshot, asked: Params, result: str, kind: str, parent: str = "", **fields: str) -> Params:
    """Return one page of a listing of storage.

    Args:
        state: Read from.
        asked: `maxResults`, `nextToken` and `filter`, whose members are those of bodies and must be equal, but for
            `createdAfter`, `createdBefore`, `updatedAfter` and `updatedBefore`.
        result: The answer's member that holds the bodies.
        kind, parent: What is listed.
        fields: Where a member of the filter is not called as that of the body: `generatedFrom="sequenceInformation.…"`.
    """
    token = asked.get("nextToken")
    if token is not None and not (token.isascii() and token.isdigit()):
        raise invalid("The nextToken is not one that this operation returned.")
    wanted = asked.get("filter", {})
    bodies, after = state.page(
        kind,
        parent,
        limit=asked.get("maxResults", DEFAULT_PAGE),
        token=token,
        status=wanted.get("status"),
        keep=lambda body: all(_fits(body, name, value, fields) for name, value in wanted.items()),
    )
    return {result: bodies, "nextToken": after}


def short(text: str, limit: int = TEXT_LIMIT) -> str:
    """Return a text as a status message may be: one line of printable characters, cut at the limit."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return (line if len(line) <= limit else f"{line[: limit - 1]}…") or "No reason is known."


def _fits(body: Body, name: str, value: str, fields: dict[str, str]) -> bool:
    if name in ("createdAfter", "createdBefore", "updatedAfter", "updatedBefore"):
        made: str = body["creationTime"]
        moment: str = body.get("updateTime", made) if name.startswith("updated") else made
        return moment >= value if name.endswith("After") else moment <= value
    there: Any = body
    for part in fields.get(name, name).split("."):
        there = there.get(part, {})
    return bool(there == value)
