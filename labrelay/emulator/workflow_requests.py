"""What the operations of workflows and runs do alike: repeated requests, pages, and things that have to be there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from labrelay.emulator.asking import idempotent
from labrelay.emulator.operation import Params, invalid
from labrelay.emulator.service import Service
from labrelay.emulator.state import Body, Snapshot, Transaction
from labrelay.emulator.tags import tags_of

PAGE = 100


def once(service: Service, operation: str, asked: Params, make: Callable[[Transaction], Params]) -> Params:
    """Answer a request with a `requestId`: the same request again gets the first answer and makes nothing.

    Args:
        service: Whose state.
        operation: Tokens of different operations have nothing to do with each other.
        asked: The parameters; bytes among them are compared by digest.
        make: Writes what is asked for, and returns the answer.
    """
    plain = {name: _plain(value) for name, value in asked.items()}
    return idempotent(service, operation, plain, make, "requestId")


def items(
    state: Snapshot,
    asked: Params,
    kind: str,
    parent: str | None = "",
    *,
    equal: Sequence[str] = (),
    keep: Callable[[Body], bool] = lambda _body: True,
    limit: str = "maxResults",
) -> Params:
    """Return the page of a listing that a request asks for; by status it is looked up.

    Args:
        state: Read from.
        asked: With `startingToken`, the member `limit`, `status`, and the members of `equal`.
        kind, parent: What is listed.
        equal: Members that a body has to have as the request says, if it says something.
        keep: Which bodies are listed otherwise.
        limit: The member that says how many.
    """
    wanted = {name: asked[name] for name in equal if name in asked}
    token = asked.get("startingToken")
    if token is not None and not (token.isascii() and token.isdigit() and len(token) <= 18):
        raise invalid("The startingToken is not one that this operation returned.")
    found, after = state.page(
        kind, parent, limit=asked.get(limit, PAGE), token=token, status=asked.get("status"), equal=wanted, keep=keep
    )
    return {"items": found, "nextToken": after}


def tagged(state: Snapshot, body: Body) -> Body:
    """Return a body with the tags that it has now."""
    return body | {"tags": tags_of(state, body["arn"])}


def _plain(value: Any) -> Any:
    return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else value
