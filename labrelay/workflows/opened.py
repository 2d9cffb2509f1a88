"""What a bundle's zip says: its definition, and the schema of its inputs."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from labrelay.workflows.bundle import unpack_bundle
from labrelay.workflows.definition import Definition, load
from labrelay.workflows.schema import schema_of


class Opened(NamedTuple):
    """A bundle that was looked into; the folder of its definition is gone again."""

    definition: Definition
    schema: dict[str, Any]


@lru_cache(maxsize=64)
def open_bundle(path: Path) -> Opened:
    """Return what the bundle says; bundles are named by their content, so that one look is enough.

    Raises:
        RefusedInput: It is no bundle, or its definition is none.
    """
    with tempfile.TemporaryDirectory(prefix="labrelay-bundle-") as folder:
        unpacked = Path(folder) / "bundle"
        unpack_bundle(path, unpacked)
        definition = load(unpacked)
        return Opened(definition, schema_of(definition))
