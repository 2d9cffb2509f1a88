"""The run group and the run cache of a lab on HealthOmics, made once and found again by name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from labrelay.stores.aws import Aws, aws_errors


def ensure_run_group(aws: Aws, name: str) -> tuple[str, bool]:
    """Return the id of the run group of this name and whether it was made now; its limits are left to the account's.

    Raises:
        LabrelayError: AWS refused; the sentence names the permission that is missing.
    """
    omics = aws.client("omics")
    with aws_errors(f"find the run group {name}"):
        found = _named(omics, "list_run_groups", name)
    if found is not None:
        return found, False
    with aws_errors(f"make the run group {name}"):
        return str(omics.create_run_group(name=name, requestId=_token("run group", name))["id"]), True


def ensure_run_cache(aws: Aws, name: str, location: str) -> tuple[str, bool]:
    """Return the id of the run cache of this name and whether it was made now, with its files below `location`.

    Raises:
        LabrelayError: AWS refused; the sentence names the permission that is missing.
    """
    omics = aws.client("omics")
    with aws_errors(f"find the run cache {name}"):
        found = _named(omics, "list_run_caches", name)
    if found is not None:
        return found, False
    with aws_errors(f"make the run cache {name}"):
        token = _token("run cache", name, location)
        made = omics.create_run_cache(name=name, cacheS3Location=location, requestId=token)
        return str(made["id"]), True


def _named(omics: Any, operation: str, name: str) -> str | None:
    pages: Iterator[dict[str, Any]] = omics.get_paginator(operation).paginate()
    items = (item for page in pages for item in page["items"])
    return next((str(item["id"]) for item in items if item.get("name") == name), None)


def _token(*parts: str) -> str:
    """Return a request id made from what is asked, so that two machines that ask at once get one thing."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:64]
