"""The services whose operations are answered here, and how each words what all have in common."""

from __future__ import annotations

from dataclasses import dataclass

OMICS, BATCH, DATAZONE = "omics", "batch", "datazone"


@dataclass(frozen=True)
class Dialect:
    """How a service refuses.

    Attributes:
        service: Its name in botocore and in signatures.
        invalid: The code for parameters that the model does not allow.
        broken: The code for a failure of the service's own.
        throttled: Code, HTTP status and text for too many calls.
        titled: Whether an error's body repeats the code, which the header says anyhow.
        prefix: Stands before the names of its operations where calls are counted.
    """

    service: str
    invalid: str
    broken: str
    throttled: tuple[str, int, str]
    titled: bool = True
    prefix: str = ""


DIALECTS = {
    OMICS: Dialect(
        OMICS, "ValidationException", "InternalServerException", ("ThrottlingException", 429, "Rate exceeded")
    ),
    BATCH: Dialect(
        BATCH,
        "ClientException",
        "ServerException",
        ("TooManyRequestsException", 429, "Too Many Requests"),
        titled=False,
        prefix="batch:",
    ),
    DATAZONE: Dialect(
        DATAZONE,
        "ValidationException",
        "InternalServerException",
        ("ThrottlingException", 429, "Rate exceeded"),
        prefix="datazone:",
    ),
}
