"""How one operation of a service is written: a function from its parameters to its result, found by its name.

    @operation("GetRunGroup")
    def get_run_group(service: Service, asked: Params) -> Params:
        with service.state.read() as state:
            return found(state, "runGroup", asked["id"])

Parameters and results use the member names of botocore's service model. By the time a function is called, the
parameters are parsed and valid (types, required members, lengths, ranges, patterns, enums), so a function checks only
what the model cannot say: that things exist, that states allow it, and quotas. Streams are files: a streaming input
arrives as the path of a complete temporary file, which the function may rename away; a streaming output is returned as
a `Slice`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labrelay.emulator.dialects import DIALECTS, OMICS

if TYPE_CHECKING:
    from labrelay.emulator.service import Service

Params = dict[str, Any]
Handler = Callable[["Service", Params], Params]

HANDLERS: dict[str, dict[str, Handler]] = {service: {} for service in DIALECTS}
OPERATIONS = HANDLERS[OMICS]


# What any service of AWS may answer besides the errors of its own model, with its HTTP status.
COMMON_ERRORS = {
    "RequestTimeTooSkewed": 403,
    "InvalidSignatureException": 403,
    "ExpiredTokenException": 403,
    "UnrecognizedClientException": 403,
    "ServiceUnavailable": 503,
}


class Failure(Exception):
    """A modelled error: its code, such as `ResourceNotFoundException`, gives the HTTP status by the service model."""

    def __init__(self, code: str, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(f"{code}: {message}")


@dataclass(frozen=True)
class Slice:
    """A part of a file that is streamed as an answer's body.

    Attributes:
        path: The file.
        start: The first byte.
        length: Bytes from there.
    """

    path: Path
    start: int
    length: int


def operation(name: str, service: str = OMICS) -> Callable[[Handler], Handler]:
    """Register the function that answers the operation of this name."""

    def register(handler: Handler) -> Handler:
        if name in HANDLERS[service]:
            raise ValueError(f"{name} of {service} is answered twice")
        HANDLERS[service][name] = handler
        return handler

    return register


def not_found(what: str, name: str) -> Failure:
    """Return the failure for a thing that is not there."""
    return Failure("ResourceNotFoundException", f"The {what} {name} does not exist.")


def invalid(message: str) -> Failure:
    """Return the failure for parameters that the model allows and the service does not."""
    return Failure("ValidationException", message)


def conflict(message: str) -> Failure:
    """Return the failure for something that the current state does not allow."""
    return Failure("ConflictException", message)
