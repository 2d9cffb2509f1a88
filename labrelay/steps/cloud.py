"""Setting a home up for S3 and HealthOmics: what is there is adopted, what is missing is made, all is written down."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from labrelay.model.errors import UsageError
from labrelay.steps.settings import FILE, Settings
from labrelay.stores.aws import Aws, aws_errors
from labrelay.stores.durable import write_atomic
from labrelay.stores.healthomics_setup import ensure_stores
from labrelay.stores.s3_bucket import ensure_bucket
from labrelay.workflows.healthomics.setup import ensure_run_cache, ensure_run_group

RAW, RUNS, CACHE = "labrelay", "labrelay-runs", "labrelay-cache"


@dataclass
class CloudSetup:
    """What a home uses on AWS.

    Attributes:
        account: The account's number.
        settings: The lines for `labrelay.toml`.
        made, adopted: In words, what is new and what was there.
    """

    account: str
    settings: dict[str, str] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    adopted: list[str] = field(default_factory=list)

    def note(self, what: str, key: str, new: bool) -> None:
        """Write down that a thing was made or found."""
        (self.made if new else self.adopted).append(f"{what} {key}")


def set_up(home: Path, settings: Settings, *, name: str, bucket: str, role_arn: str | None) -> CloudSetup:
    """Create or adopt bucket, stores, run group and run cache, and write their names into the home's settings.

    Doing it again changes nothing. Cost: a few calls, whatever is stored.

    Args:
        home: A home folder.
        settings: Its settings; region, endpoint and credentials are taken from them.
        name: The lab's name for its stores, run group and cache.
        bucket: For instrument data, runs and cache; it gets versioning.
        role_arn: The role that HealthOmics takes to read and write the bucket.

    Raises:
        UsageError: There is no role.
        LabrelayError: AWS refused; the sentence names the permission that is missing.
    """
    role = role_arn or settings.service_role_arn
    if role is None:
        raise UsageError(
            "HealthOmics needs a role that may read and write the bucket: make one as docs/aws.md says and add "
            "--role-arn arn:aws:iam::…:role/…"
        )
    aws = aws_of(settings)
    with aws_errors("ask AWS who we are"):
        account = str(aws.client("sts").get_caller_identity()["Account"])
    done = CloudSetup(account)
    done.note("bucket", bucket, ensure_bucket(aws, bucket))
    stores = ensure_stores(aws, name)
    done.note("sequence store", stores.sequence_store_id, stores.sequence_store_made)
    done.note("reference store", stores.reference_store_id, stores.reference_store_made)
    group, new = ensure_run_group(aws, name)
    done.note("run group", group, new)
    cache, new = ensure_run_cache(aws, name, f"s3://{bucket}/{CACHE}/")
    done.note("run cache", cache, new)
    done.settings = {
        "profile": "healthomics",
        "objects_url": f"s3://{bucket}/{RAW}",
        "outputs_url": f"s3://{bucket}/{RUNS}",
        "sequence_store_id": stores.sequence_store_id,
        "reference_store_id": stores.reference_store_id,
        "run_group_id": group,
        "run_cache_id": cache,
        "service_role_arn": role,
    }
    write_settings(home, done.settings)
    return done


def aws_of(settings: Settings) -> Aws:
    """Return the account that the settings name."""
    return Aws(
        region=settings.aws_region,
        endpoint_url=settings.aws_endpoint_url,
        profile=settings.aws_profile,
        rates={"StartRun": settings.start_run_rate},
    )


def write_settings(home: Path, values: Mapping[str, str]) -> None:
    """Add settings to `labrelay.toml`; a person's own lines stay as they are.

    Raises:
        UsageError: A setting is there with another value.
    """
    file = home / FILE
    text = file.read_text(encoding="utf-8")
    there = tomllib.loads(text)
    other = [name for name, value in values.items() if name in there and there[name] != value]
    if other:
        said = ", ".join(f"{name} = {json.dumps(there[name])}" for name in other)
        raise UsageError(f"{file} says {said} already: take the lines out to use other ones, or name a new home")
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items() if name not in there]
    if lines:
        # before the first table, if there is one: behind it the lines would belong to that table
        head, bracket, tables = text.partition("\n[")
        write_atomic(file, (head.rstrip("\n") + "\n\n" + "\n".join(lines) + "\n" + bracket + tables).encode())
