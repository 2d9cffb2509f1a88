"""The run group and the run cache of a lab on HealthOmics, made once and found again by name."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from typing import Any

from labrelay.model.errors import NotFound
from labrelay.stores.aws import Aws, aws_errors


def ensure_run_group(aws: Aws, name: str) -> tuple[str, bool]:
    """Return the id of the run group of this name and whether it was made now; its limits are left to the account's.

    Raises:
        LabrelayError: AWS refused; the sentence names the permission that is missing.
    """
    return _ensure(aws, "run_group", name)


def ensure_run_cache(aws: Aws, name: str, location: str) -> tuple[str, bool]:
    """Return the id of the run cache of this name and whether it was made now, with its files below `location`.

    Raises:
        LabrelayError: AWS refused; the sentence names the permission that is missing.
    """
    return _ensure(aws, "run_cache", name, cacheS3Location=location)


def _ensure(aws: Aws, kind: str, name: str, **asked: str) -> tuple[str, bool]:
    omics, what = aws.client("omics"), f"the {kind.replace('_', ' ')} {name}"
    with aws_errors(f"find {what}"):
        found = _named(omics, kind, name)
    if found is not None:
        return found, False
    token = hashlib.sha256("\n".join((kind, name, *asked.values())).encode()).hexdigest()
    with aws_errors(f"make {what}"):
        made = _made(omics, kind, name=name, requestId=token, **asked)
    try:
        # Two machines that ask at once get one thing by that token. It may also give back one that was deleted since.
        with aws_errors(f"look at {what}"):
            getattr(omics, f"get_{kind}")(id=made)
    except NotFound:
        with aws_errors(f"make {what}"):
            made = _made(omics, kind, name=name, requestId=secrets.token_hex(16), **asked)
    return made, True


def _made(omics: Any, kind: str, **asked: str) -> str:
    return str(getattr(omics, f"create_{kind}")(**asked)["id"])


def _named(omics: Any, kind: str, name: str) -> str | None:
    pages: Iterator[dict[str, Any]] = omics.get_paginator(f"list_{kind}s").paginate()
    items = (item for page in pages for item in page["items"])
    return next((str(item["id"]) for item in items if item.get("name") == name), None)
