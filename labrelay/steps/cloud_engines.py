"""The stores and engines of a home that uses AWS, made from its settings; nothing is asked or written by that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from labrelay.model.errors import UsageError
from labrelay.steps.cloud import aws_of
from labrelay.steps.settings import Settings
from labrelay.stores.aws import Aws
from labrelay.stores.healthomics_reads import HealthOmicsReadStore
from labrelay.stores.healthomics_setup import Stores
from labrelay.stores.ports import ObjectStore, ReadStore
from labrelay.stores.s3 import S3ObjectStore
from labrelay.workflows.batch.engine import BatchEngine
from labrelay.workflows.batch.settings import BatchSettings
from labrelay.workflows.healthomics.engine import HealthOmicsEngine, HealthOmicsSettings
from labrelay.workflows.port import Engine
from labrelay.workflows.sending import Sender

STORES = ("objects_url", "outputs_url", "sequence_store_id", "reference_store_id", "service_role_arn")
CARRIED = "inputs"  # local files that an engine on AWS reads lie below `outputs_url` here


def cloud_stores(path: Path, settings: Settings) -> tuple[ObjectStore, ReadStore]:
    """Return the stores of the profile `healthomics`.

    Raises:
        UsageError: Settings are missing.
    """
    missing = [name for name in STORES if getattr(settings, name) is None]
    if missing:
        raise UsageError(
            f"the profile healthomics needs {', '.join(missing)}: `labrelay init --profile healthomics --bucket NAME "
            "--role-arn ARN` makes or finds them and writes them down"
        )
    aws = aws_of(settings)
    objects = S3ObjectStore(aws, *bucket_and_prefix(str(settings.objects_url)), name="s3")
    stores = Stores(str(settings.sequence_store_id), str(settings.reference_store_id))
    role = str(settings.service_role_arn)
    return objects, HealthOmicsReadStore(aws, objects, path / "reads", stores, role, name=_reads_name(aws, stores))


def _reads_name(aws: Aws, stores: Stores) -> str:
    """Return a name that the records keep beside each read set: in another sequence store it has to be imported."""
    return "@".join(filter(None, (f"omics:{stores.sequence_store_id}", aws.endpoint("omics"))))


def healthomics_engine(path: Path, settings: Settings) -> Engine:
    """Return the engine on HealthOmics; local files among the inputs are sent to S3 first."""
    return HealthOmicsEngine(
        aws_of(settings),
        HealthOmicsSettings(
            role_arn=str(settings.service_role_arn),
            output_uri=str(settings.outputs_url),
            download=path / "healthomics",
            run_group_id=settings.run_group_id,
            cache_id=settings.run_cache_id,
            storage_type=settings.storage_type,
            storage_capacity=settings.storage_gib,
            registry_map=_registry_map(settings.registry_map and path / settings.registry_map),
            prices=settings.prices and path / settings.prices,
        ),
        sender=_sender(settings),
    )


def batch_engine(path: Path, settings: Settings) -> Engine:
    """Return the engine on AWS Batch; local files among the inputs are sent to S3 first."""
    return BatchEngine(
        aws_of(settings),
        BatchSettings(
            queues={
                "normal": str(settings.batch_queue),
                "high": settings.batch_queue_high or str(settings.batch_queue),
                "low": settings.batch_queue_low or str(settings.batch_queue),
            },
            image=str(settings.batch_image),
            role_arn=str(settings.batch_role_arn),
            work_uri=f"{str(settings.outputs_url).rstrip('/')}/batch",
            download=path / "batch",
            file_system=settings.batch_file_system,
            cpus=settings.batch_cpus,
            memory_gib=settings.batch_memory_gib,
            minutes=settings.batch_minutes,
            host_losses=settings.batch_host_losses,
        ),
        sender=_sender(settings),
    )


ENGINES = {"healthomics": healthomics_engine, "batch": batch_engine}


def bucket_and_prefix(url: str) -> tuple[str, str]:
    """Return bucket and prefix of an `s3://` URL.

    Raises:
        UsageError: It is none.
    """
    scheme, _, rest = url.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise UsageError(f"{url} is no place in S3: write s3://bucket/prefix")
    return bucket, prefix.strip("/")


def _sender(settings: Settings) -> Sender:
    bucket, prefix = bucket_and_prefix(str(settings.outputs_url))
    return Sender(S3ObjectStore(aws_of(settings), bucket, f"{prefix}/{CARRIED}".strip("/"), name="carried"))


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
