"""A stored crate read back: what it says of the run and its files, for comparing it with records and disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from labrelay.model.problem import Frozen


class CrateFile(Frozen):
    """A file that a crate tells of.

    Attributes:
        path: Below the crate's root; None for one that lies elsewhere.
        file_id: The records' id (`fil_…`) of a stored one; None for a document of the result.
    """

    path: str | None
    file_id: str | None
    sha256: str
    size: int


class CrateTold(Frozen):
    """What a crate says: which runs it is about, which workflow digests it names, and its files."""

    runs: frozenset[str]
    workflows: frozenset[str]
    files: tuple[CrateFile, ...]


def read_crate(content: bytes) -> CrateTold | None:
    """Return what a crate says, or None when it is none that we have written."""
    try:
        entities = [each for each in json.loads(content)["@graph"] if isinstance(each, dict)]
        return CrateTold(
            runs=frozenset(
                str(e["identifier"]) for e in entities if e.get("@type") == "CreateAction" and "identifier" in e
            ),
            workflows=frozenset(_digests(entities)),
            files=tuple(_files(entities)),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _digests(entities: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the digests in the identifiers of workflows, `name version (digest)`."""
    for entity in entities:
        if "ComputationalWorkflow" in _types(entity) and "identifier" in entity:
            yield str(entity["identifier"]).rpartition("(")[2].rstrip(")")


def _files(entities: list[dict[str, Any]]) -> Iterator[CrateFile]:
    for entity in entities:
        if "File" not in _types(entity) or "sha256" not in entity:
            continue
        place, identifier = str(entity["@id"]), entity.get("identifier")
        yield CrateFile(
            path=None if place.startswith("urn:") else unquote(place),
            file_id=identifier if isinstance(identifier, str) and identifier.startswith("fil_") else None,
            sha256=str(entity["sha256"]),
            size=int(entity["contentSize"]),
        )


def _types(entity: dict[str, Any]) -> list[str]:
    types = entity.get("@type", [])
    return [types] if isinstance(types, str) else list(types)
