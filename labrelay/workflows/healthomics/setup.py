"""The run group and the run cache of a lab on HealthOmics, made once and found again by name."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator
from typing import Any

from labrelay.model.errors import NotFound
from labrelay.stores.aws import Aws, aws_errors


def ensure_run_group(aws: Aws, name: str, known: str | None = None) -> tuple[str, bool]:
    """Return the id of the run group of this name and whether it was made now; its limits are left to the account's.

    Args:
        aws: The way there.
        name: The lab's.
        known: One that is taken, whatever it is called, unless it was deleted.

    Raises:
        LabrelayError: AWS refused; the sentence names the permission that is missing.
    """
    omics, what = aws.client("omics"), f"the run group {name}"
    if known is not None and _is_there(f"the run group {known}", lambda: omics.get_run_group(id=known)):
        return known, False
    with aws_errors(f"find {what}"):
        found = _named(omics.get_paginator("list_run_groups"), name)
    if found is not None:
        return found, False

    def make(token: str) -> str:
        return str(omics.create_run_group(name=name, requestId=token)["id"])

    return _make(what, make, lambda made: omics.get_run_group(id=made), _token("run group", name)), True


def ensure_run_cache(aws: Aws, name: str, location: str, known: str | None = None) -> tuple[str, bool]:
    """Return the id of the run cache of this name and whether it was made now, with its files below `location`.

    Args:
        aws: The way there.
        name: The lab's.
        location: `s3://bucket/prefix/`.
        known: One that is taken, whatever it is called, unless it was deleted.

    Raises:
        LabrelayError: AWS refused; the sentence names the permission that is missing.
    """
    omics, what = aws.client("omics"), f"the run cache {name}"
    if known is not None and _is_there(f"the run cache {known}", lambda: omics.get_run_cache(id=known)):
        return known, False
    with aws_errors(f"find {what}"):
        found = _named(omics.get_paginator("list_run_caches"), name)
    if found is not None:
        return found, False

    def make(token: str) -> str:
        return str(omics.create_run_cache(name=name, cacheS3Location=location, requestId=token)["id"])

    return _make(what, make, lambda made: omics.get_run_cache(id=made), _token("run cache", name, location)), True


def _make(what: str, make: Callable[[str], str], look: Callable[[str], object], token: str) -> str:
    """Return the id of what was made: two machines that ask at once get one thing, by the token made from the name.

    The service may answer such a token with a thing that was deleted since; then a new one is made.
    """
    with aws_errors(f"make {what}"):
        made = make(token)
    if not _is_there(what, lambda: look(made)):
        with aws_errors(f"make {what}"):
            made = make(secrets.token_hex(16))
    return made


def _is_there(what: str, look: Callable[[], object]) -> bool:
    try:
        with aws_errors(f"look at {what}"):
            look()
    except NotFound:
        return False
    return True


def _named(paginator: Any, name: str) -> str | None:
    pages: Iterator[dict[str, Any]] = paginator.paginate()
    items = (item for page in pages for item in page["items"])
    return next((str(item["id"]) for item in items if item.get("name") == name), None)


def _token(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
