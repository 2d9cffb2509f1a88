"""Names, ids and ARNs of Batch as its API reference says them, and the one way in which Batch refuses.

A child of an array job is called `<id of the parent>:<index>`; in the state its parent is the array job.
"""

from __future__ import annotations

import json
import re
import uuid
from functools import partial

from labrelay.emulator.dialects import BATCH
from labrelay.emulator.operation import Failure, Params, operation
from labrelay.emulator.service import Service

# Kinds of things in the state.
ENVIRONMENT, QUEUE, DEFINITION, JOB = "batchEnvironment", "batchQueue", "batchDefinition", "batchJob"

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")

batch_operation = partial(operation, service=BATCH)


def refused(message: str) -> Failure:
    """Return the failure for what the caller did: Batch has one code for all of it."""
    return Failure("ClientException", message)


def check_name(name: str, member: str) -> str:
    """Return a name that is one: 1 to 128 letters, digits, hyphens and underscores, a letter or digit first.

    Raises:
        Failure: `ClientException`.
    """
    if not NAME.fullmatch(name):
        text = "has 1 to 128 letters, digits, hyphens and underscores, and begins with a letter or digit"
        raise refused(f"{member} {text}; '{name[:150]}' does not.")
    return name


def arn(service: Service, kind: str, name: str) -> str:
    """Return an ARN of Batch, such as `arn(service, "job-queue", "main")`."""
    return f"arn:aws:batch:{service.region}:{service.account}:{kind}/{name}"


def plain_name(service: Service, kind: str, given: str) -> str:
    """Return the name that a name or an ARN of this account and region says."""
    return given.removeprefix(arn(service, kind, ""))


def new_id() -> str:
    """Return the id of a new job."""
    return str(uuid.uuid4())


def parent_of(job: str) -> str:
    """Return the array job that a job is a child of; empty for any other job."""
    parent, colon, _index = job.rpartition(":")
    return parent if colon else ""


def check_size(asked: Params, what: str, kib: int) -> None:
    """Refuse a request that is larger than Batch takes, as it words it.

    Raises:
        Failure: `ClientException`.
    """
    size = len(json.dumps(asked, ensure_ascii=False).encode())
    if size >= kib * 1024:
        raise refused(f"{what} size must be less than {kib} KiB, got {-(-size // 1024)} KiB.")


def numbered_page(asked: int | None, most: int, member: str = "maxResults") -> int:
    """Return how many results a page has.

    Raises:
        Failure: `ClientException`, it is not 1 to `most`.
    """
    if asked is None:
        return most
    if not 1 <= asked <= most:
        raise refused(f"{member} is 1 to {most}, not {asked}.")
    return asked


def place(token: str | None) -> str | None:
    """Return where a page begins, as `State.page` takes it.

    Raises:
        Failure: `ClientException`, the token is none of ours.
    """
    if token is not None and not (token.isascii() and token.isdigit()):
        raise refused("The nextToken is not one that this operation returned.")
    return token
