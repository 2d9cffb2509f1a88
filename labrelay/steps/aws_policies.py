"""Least-privilege policies for AWS, one file a role in `policies/`, filled in with a lab's own names.

    values = values_of(settings)
    render("worker", values)["permissions"]        -> a policy document for IAM

Nothing here asks AWS or imports its client: the policies are for the person who gives the permissions.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from labrelay.model.errors import UsageError
from labrelay.model.names import printable
from labrelay.steps.settings import Settings

Document = dict[str, Any]
# In the order in which a lab needs them; each is a file of that name.
ROLES = ("setup", "service", "worker", "batch", "job", "uploader", "events", "key", "guardrails")
# IAM's own variables have a colon (`${aws:username}`) and stay.
PLACE = re.compile(r"\$\{([a-z_]+)\}")
VALUE = re.compile(r"[A-Za-z0-9+=,.@_:/*-]+\Z")
ROLE_ARN = re.compile(r"arn:aws[\w-]*:iam::(\d{12}):role/")
QUEUE_URL = re.compile(r"https?://[^/]+/(\d{12})/([\w-]+(?:\.fifo)?)\Z")
# What a lab may name otherwise; `labrelay init` and docs/aws.md use these.
USUAL = {
    "objects_prefix": "labrelay",
    "runs_prefix": "labrelay-runs",
    "cache_prefix": "labrelay-cache",
    "event_rule": "labrelay-runs",
    "queue": "labrelay-events",
}


def about(role: str) -> str:
    """Return in a sentence who takes a role.

    Raises:
        UsageError: There is no such role.
    """
    return str(_read(role)["about"])


def documents(role: str) -> tuple[str, ...]:
    """Return the names of a role's documents: `trust`, `permissions`, `queue` or `deny`.

    Raises:
        UsageError: There is no such role.
    """
    return tuple(_read(role)["documents"])


def placeholders(role: str) -> set[str]:
    """Return the names that a role's documents want filled in.

    Raises:
        UsageError: There is no such role.
    """
    return set(PLACE.findall(json.dumps(_read(role)["documents"])))


def render(role: str, values: Mapping[str, str]) -> dict[str, Document]:
    """Return a role's documents by name, with the values filled in; a place without a value stays as `${name}`.

    Args:
        role: One of `ROLES`.
        values: By the placeholder's name.

    Raises:
        UsageError: There is no such role, or a value could not stand in an ARN.
    """
    bad = sorted(name for name, value in values.items() if not VALUE.match(value))
    if bad:
        said = ", ".join(f"{name} = {printable(values[name], 60)!r}" for name in bad)
        raise UsageError(f"this cannot stand in a policy: {said}; letters, digits and +=,.@_:/*- only")

    def fill(part: Any) -> Any:
        if isinstance(part, str):
            return PLACE.sub(lambda place: values.get(place[1], place[0]), part)
        if isinstance(part, list):
            # Two buckets may be one and the same.
            return list(dict.fromkeys(fill(item) for item in part)) if _plain(part) else [fill(item) for item in part]
        return {key: fill(value) for key, value in part.items()} if isinstance(part, dict) else part

    return {name: fill(document) for name, document in _read(role)["documents"].items()}


def values_of(settings: Settings | None) -> dict[str, str]:
    """Return what is known of the placeholders: from the settings, the environment's region, else the usual names."""
    values = dict(USUAL)
    region = (settings and settings.aws_region) or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region:
        values["region"] = region
    if settings is None:
        return values
    for name in (
        "sequence_store_id",
        "reference_store_id",
        "run_group_id",
        "run_cache_id",
        "service_role_arn",
        "batch_role_arn",
    ):
        if (value := getattr(settings, name)) is not None:
            values[name] = str(value)
    values |= _place(settings.objects_url, "bucket", "objects_prefix")
    # One bucket is the rule; it is named once then.
    values |= {"runs_bucket": values["bucket"]} if "bucket" in values else {}
    values |= _place(settings.outputs_url, "runs_bucket", "runs_prefix")
    if found := ROLE_ARN.match(settings.service_role_arn or ""):
        values["account"] = found[1]
    for name in ("batch_queue", "batch_queue_high", "batch_queue_low"):
        if (queue := getattr(settings, name) or settings.batch_queue) is not None:
            values[name] = queue.rpartition("/")[2]
    if found := ROLE_ARN.match(settings.batch_role_arn or ""):
        values.setdefault("account", found[1])
    if found := QUEUE_URL.match(settings.event_queue_url or ""):
        values["queue"] = found[2]
    return values


def _plain(items: list[Any]) -> bool:
    return all(isinstance(item, str) for item in items)


def _place(url: str | None, bucket: str, prefix: str) -> dict[str, str]:
    """Return bucket and prefix of `s3://bucket/prefix`; without a prefix it is all folders of the bucket."""
    if not url or not url.startswith("s3://"):
        return {}
    name, _, below = url.removeprefix("s3://").partition("/")
    return {bucket: name, prefix: below.strip("/") or "*"}


@cache
def _read(role: str) -> Document:
    if role not in ROLES:
        raise UsageError(f"there is no role {printable(role, 60)!r}: {', '.join(ROLES)}")
    text = (files("labrelay.steps") / "policies" / f"{role}.json").read_text(encoding="utf-8")
    return dict(json.loads(text))
