"""Published workflow bundles of a home, unpacked once each, and the definitions in them."""

from __future__ import annotations

import secrets
import shutil
from functools import lru_cache
from pathlib import Path

from sqlalchemy import select

from labrelay.model.errors import NotFound
from labrelay.model.runs import WorkflowVersion
from labrelay.records.schema import WorkflowVersionRow
from labrelay.steps.home import Home
from labrelay.stores.durable import fsync_dir, make_dirs
from labrelay.workflows.bundle import unpack_bundle
from labrelay.workflows.definition import Definition, load
from labrelay.workflows.registry import Registry


def bundle_path(home: Home, digest: str) -> Path:
    """Return where the bundle with this digest lies."""
    return home.path / "bundles" / f"{digest}.zip"


def definition_of(home: Home, digest: str) -> Definition:
    """Return the definition as it was when this bundle was published, unpacking the bundle the first time."""
    folder = home.path / "bundles" / digest
    if not folder.is_dir():
        make_dirs(folder.parent)
        fresh = folder.with_name(f".tmp-{secrets.token_hex(8)}")
        try:
            unpack_bundle(bundle_path(home, digest), fresh)
            fresh.rename(folder)
            fsync_dir(folder.parent)
        except OSError:
            if not folder.is_dir():  # else another process was faster with the same content
                raise
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return _loaded(folder)


@lru_cache(maxsize=64)
def _loaded(folder: Path) -> Definition:
    # What is unpacked under a digest never changes, and every run that is recorded asks for it.
    return load(folder)


def resolve(home: Home, name: str, version: str | None = None) -> tuple[Definition, WorkflowVersion]:
    """Return the definition that a rule or a person means: the home's newest, or a version published before.

    Raises:
        NotFound: No such workflow, or no such version of it.
    """
    registry = Registry(home.path)
    definition = registry.get(name)
    if version in (None, definition.version):
        return definition, registry.bundle(definition)[0]
    with home.records.read() as session:
        wanted = (WorkflowVersionRow.name == name) & (WorkflowVersionRow.version == version)
        row = session.scalars(select(WorkflowVersionRow).where(wanted).order_by(WorkflowVersionRow.created_at)).first()
    if row is None:
        raise NotFound(f"{name} has no version {version} here; the newest is {definition.version}")
    values = {field: getattr(row, field) for field in WorkflowVersion.model_fields}
    return definition_of(home, row.digest), WorkflowVersion.model_validate(values)
