"""The same request twice is one thing: what HealthOmics does with `requestId`.

HealthOmics promises no more than that a repeated token starts no duplicate. Here the same request gets the same answer,
and another request with a used token is refused, so that a client that mixes up its tokens learns it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from labrelay.emulator.operation import Params, conflict
from labrelay.emulator.service import Service
from labrelay.emulator.state import Transaction
from labrelay.model.canonical import digest


def once(service: Service, operation: str, asked: Params, make: Callable[[Transaction], Params]) -> Params:
    """Return the answer that was given to this request before, or make and remember it in one transaction.

    Args:
        service: Whose state.
        operation: Tokens of different operations have nothing to do with each other.
        asked: The parameters with `requestId`.
        make: Writes what is asked for, and returns the answer.

    Raises:
        Failure: ConflictException, when the token came with another request.
    """
    token = str(asked["requestId"])
    wanted = digest({name: _plain(value) for name, value in asked.items() if name != "requestId"})
    with service.state.write() as state:
        earlier = state.answered(operation, token)
        if earlier is None:
            answer = make(state)
            state.remember(operation, token, wanted, answer)
            return answer
    if earlier[0] != wanted:
        raise conflict(f"The requestId {token} was used for another {operation} request; choose a new one.")
    return earlier[1]


def _plain(value: Any) -> Any:
    return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else value
