"""What the operations of workflows and runs do alike: repeated requests, pages, and things that have to be there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
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
    keep: Callable[[Body], bool] = lambda _body: True,
    limit: str = "maxResults",
) -> Params:
    """Return the page that `startingToken` and `maxResults` (or the member `limit`) ask for; a status is looked up."""
    token = asked.get("startingToken")
    if token is not None and not (token.isascii() and token.isdigit() and len(token) <= 18):
        raise invalid("The startingToken is not one that this operation returned.")
    found, after = state.page(
        kind, parent, limit=asked.get(limit, PAGE), token=token, status=asked.get("status"), keep=keep
    )
    return {"items": found, "nextToken": after}


def same(asked: Params, *names: str) -> Callable[[Body], bool]:
    """Return a filter that keeps bodies whose members of these names are those asked for, where they are asked for."""
    wanted = {name: asked[name] for name in names if name in asked}
    return lambda body: all(body.get(name) == value for name, value in wanted.items())


def tagged(state: Snapshot, body: Body) -> Body:
    """Return a body with the tags that it has now."""
    return body | {"tags": tags_of(state, body["arn"])}


def _plain(value: Any) -> Any:
    return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else value
