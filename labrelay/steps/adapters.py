"""What a home works with: folders or S3 and HealthOmics for the bytes, by its profile, and the engines that it has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from labrelay.model.errors import MissingTool, UsageError
from labrelay.records.eln.port import Account, Notebook
from labrelay.records.eln.registry import ARCHIVE, open_notebook
from labrelay.steps.engines import Engines
from labrelay.steps.settings import Settings
from labrelay.stores.folder import FolderObjectStore
from labrelay.stores.folder_reads import FolderReadStore
from labrelay.stores.ports import ObjectStore, ReadStore
from labrelay.workflows.local.bring import Bring
from labrelay.workflows.local.engine import LocalEngine
from labrelay.workflows.port import Engine

# What another engine than the profile's own needs to be set, and what to do when it is not.
NEEDED = {
    "healthomics": ("outputs_url", "service_role_arn"),
    "batch": ("batch_queue", "batch_image", "batch_role_arn", "outputs_url"),
}
# Any of these says that a home has to do with AWS.
ON_AWS = ("aws_region", "aws_profile", "aws_endpoint_url", "objects_url", "outputs_url")
BROUGHT = "brought"  # below the home: inputs that were brought from AWS for the engine of this machine
PAGES = {"healthomics": "docs/aws.md", "batch": "docs/batch.md"}


class Adapters(NamedTuple):
    """Where bytes lie, where reads lie, what runs workflows by itself, and what can when it is asked for."""

    objects: ObjectStore
    reads: ReadStore
    engine: Engine
    engines: Engines


def notebook_of(settings: Settings) -> Notebook | None:
    """Return the notebook of the settings, not asked yet; None when only `.eln` files are written.

    Raises:
        UsageError: There is no such notebook, or its address or token is not set.
    """
    if settings.eln == ARCHIVE:
        return None
    if settings.eln_url is None or settings.eln_token is None:
        raise UsageError(f"the notebook {settings.eln} needs eln_url and eln_token in the settings: see docs/eln.md")
    token = settings.eln_token.get_secret_value()
    return open_notebook(settings.eln, Account(url=settings.eln_url, token=token, options=settings.eln_options))


def adapters_of(path: Path, settings: Settings) -> Adapters:
    """Return the adapters of a home's profile; nothing is asked or written yet.

    Raises:
        UsageError: The profile needs settings that are missing.
        MissingTool: It needs an extra that is not installed.
    """
    if settings.profile == "healthomics":
        with_aws = _aws("the profile healthomics")
        objects, reads = with_aws.cloud_stores(path, settings)
    else:
        objects = FolderObjectStore(path / "objects", name="objects")
        reads = FolderReadStore(path / "reads", objects)
    makers: dict[str, Callable[[], Engine]] = {"local": lambda: local_engine(path, settings)}
    missing = {}
    for kind, names in NEEDED.items():
        unset = [name for name in names if getattr(settings, name) is None]
        if unset:
            missing[kind] = f"set {', '.join(unset)} in labrelay.toml as {PAGES[kind]} says"
        else:
            makers[kind] = _maker(kind, path, settings)
    engines = Engines(makers, missing)
    return Adapters(objects, reads, engines.of(settings.profile), engines)


def local_engine(path: Path, settings: Settings) -> LocalEngine:
    """Return the engine of this machine as the settings want it; where they name AWS, inputs from there come here."""
    bring = Bring(
        folder=str((path / BROUGHT).resolve()),
        region=settings.aws_region,
        endpoint_url=settings.aws_endpoint_url,
        profile=settings.aws_profile,
    )
    return LocalEngine(
        path,
        concurrency=settings.concurrency,
        sandbox=settings.sandbox,
        nextflow=settings.nextflow,
        bring=bring if any(getattr(settings, name) is not None for name in ON_AWS) else None,
    )


def _maker(kind: str, path: Path, settings: Settings) -> Callable[[], Engine]:
    def make() -> Engine:
        with_aws = _aws(f"the engine {kind}")
        engine: Engine = with_aws.ENGINES[kind](path, settings)
        return engine

    return make


def _aws(what: str) -> Any:
    """Return what wires AWS: only homes that use it pay for its client, which is an extra of the package."""
    try:
        from labrelay.steps import cloud_engines
    except ModuleNotFoundError as error:
        raise MissingTool(f"{what} needs {error.name}: pip install 'labrelay[aws]'") from None
    return cloud_engines
