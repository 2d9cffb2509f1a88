"""What a home works with, by its profile: folders and the local engine, or S3 and AWS HealthOmics."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from labrelay.model.errors import MissingTool
from labrelay.steps.settings import Settings
from labrelay.stores.folder import FolderObjectStore
from labrelay.stores.folder_reads import FolderReadStore
from labrelay.stores.ports import ObjectStore, ReadStore
from labrelay.workflows.local.engine import LocalEngine
from labrelay.workflows.port import Engine


class Adapters(NamedTuple):
    """Where bytes lie, where reads lie, and what runs workflows."""

    objects: ObjectStore
    reads: ReadStore
    engine: Engine


def adapters_of(path: Path, settings: Settings) -> Adapters:
    """Return the adapters of a home's profile; nothing is asked or written yet.

    Raises:
        UsageError: The profile needs settings that are missing.
        MissingTool: It needs an extra that is not installed.
    """
    if settings.profile == "healthomics":
        try:
            # Only homes that use AWS pay for its client, which is an extra of the package.
            from labrelay.steps.cloud import cloud_adapters
        except ModuleNotFoundError as error:
            raise MissingTool(f"the profile healthomics needs {error.name}: pip install 'labrelay[aws]'") from None
        return cloud_adapters(path, settings)
    objects = FolderObjectStore(path / "objects", name="objects")
    engine = LocalEngine(path, concurrency=settings.concurrency, sandbox=settings.sandbox, nextflow=settings.nextflow)
    return Adapters(objects, FolderReadStore(path / "reads", objects), engine)
