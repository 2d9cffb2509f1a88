"""Setting a home up for S3 and HealthOmics: what is there is adopted, what is missing is made, all is written down."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labrelay.model.errors import UsageError
from labrelay.steps.adapters import Adapters
from labrelay.steps.settings import Settings
from labrelay.steps.settings_lines import write_settings
from labrelay.stores.aws import Aws, aws_errors
from labrelay.stores.healthomics_reads import HealthOmicsReadStore
from labrelay.stores.healthomics_setup import Known, Stores, ensure_stores
from labrelay.stores.s3 import S3ObjectStore
from labrelay.stores.s3_bucket import ensure_bucket
from labrelay.workflows.healthomics.engine import HealthOmicsEngine, HealthOmicsSettings
from labrelay.workflows.healthomics.setup import ensure_run_cache, ensure_run_group

NEEDED = ("objects_url", "outputs_url", "sequence_store_id", "reference_store_id", "service_role_arn")
IDS = ("sequence_store_id", "reference_store_id", "run_group_id", "run_cache_id")
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

    def note(self, what: str, key: str, new: bool, before: str | None = None) -> None:
        """Write down that a thing was made or found, and which one it stands for when that is another."""
        instead = f" in place of {before}, which is gone" if before not in (None, key) else ""
        (self.made if new else self.adopted).append(f"{what} {key}{instead}")


def set_up(home: Path, settings: Settings, *, name: str, bucket: str, role_arn: str | None) -> CloudSetup:
    """Create or adopt bucket, stores, run group and run cache, and write their names into the home's settings.

    Doing it again changes nothing, but makes anew what was deleted since. Cost: a few calls, whatever is stored.

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
    before = Known(settings.sequence_store_id, settings.reference_store_id)
    stores = ensure_stores(aws, name, before)
    done.note("sequence store", stores.sequence_store_id, stores.sequence_store_made, before.sequence_store_id)
    done.note("reference store", stores.reference_store_id, stores.reference_store_made, before.reference_store_id)
    group, new = ensure_run_group(aws, name, settings.run_group_id)
    done.note("run group", group, new, settings.run_group_id)
    cache, new = ensure_run_cache(aws, name, f"s3://{bucket}/{CACHE}/", settings.run_cache_id)
    done.note("run cache", cache, new, settings.run_cache_id)
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
    # What the settings named is taken while it is there, so that another id means that it is gone.
    write_settings(home, done.settings, replaced=IDS)
    return done


def cloud_adapters(path: Path, settings: Settings) -> Adapters:
    """Return the adapters of the profile `healthomics`.

    Raises:
        UsageError: Settings are missing.
    """
    missing = [name for name in NEEDED if getattr(settings, name) is None]
    if missing:
        raise UsageError(
            f"the profile healthomics needs {', '.join(missing)}: `labrelay init --profile healthomics --bucket NAME "
            "--role-arn ARN` makes or finds them and writes them down"
        )
    aws = aws_of(settings)
    objects = S3ObjectStore(aws, *_bucket(str(settings.objects_url)), name="s3")
    stores = Stores(str(settings.sequence_store_id), str(settings.reference_store_id))
    role = str(settings.service_role_arn)
    reads = HealthOmicsReadStore(aws, objects, path / "reads", stores, role, name=_reads_name(aws, stores))
    engine = HealthOmicsEngine(
        aws,
        HealthOmicsSettings(
            role_arn=role,
            output_uri=str(settings.outputs_url),
            download=path / "healthomics",
            run_group_id=settings.run_group_id,
            cache_id=settings.run_cache_id,
            storage_type=settings.storage_type,
            storage_capacity=settings.storage_gib,
            registry_map=_registry_map(settings.registry_map and path / settings.registry_map),
            prices=settings.prices and path / settings.prices,
        ),
    )
    return Adapters(objects, reads, engine)


def _reads_name(aws: Aws, stores: Stores) -> str:
    """Return a name that the records keep beside each read set: in another sequence store it has to be imported."""
    return "@".join(filter(None, (f"omics:{stores.sequence_store_id}", aws.endpoint("omics"))))


def _registry_map(file: Path | None) -> dict[str, Any] | None:
    """Return the container registry map of a file; the service itself judges what is in it."""
    if file is None:
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"registry_map: {file} cannot be read as JSON: {error}") from None
    if not isinstance(found, dict):
        raise UsageError(f"registry_map: {file} is no JSON object; docs/aws.md has an example")
    return found


def _bucket(url: str) -> tuple[str, str]:
    """Return bucket and prefix of an `s3://` URL."""
    scheme, _, rest = url.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise UsageError(f"{url} is no place in S3: write s3://bucket/prefix")
    return bucket, prefix.strip("/")


def aws_of(settings: Settings) -> Aws:
    """Return the account that the settings name."""
    return Aws(
        region=settings.aws_region,
        endpoint_url=settings.aws_endpoint_url,
        profile=settings.aws_profile,
        rates={"StartRun": settings.start_run_rate},
    )
