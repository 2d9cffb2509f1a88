"""A crate's graph as it grows: entities by id, each once, files with SHA-256 and size, and the same bytes every time.

`rocrate` keeps the entities and the root's `hasPart`; this module keeps what it leaves open: ids that any name can
stand in, absent values left out, the terms that RO-Crate 1.1 lacks, and a rendering without today's date.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rocrate.model import ContextEntity, DataEntity
from rocrate.rocrate import ROCrate

from labrelay.records.documents import media_type
from labrelay.records.result import ResultFile

Ref = dict[str, str]
RUN_TERMS = "https://w3id.org/ro/terms/workflow-run#"
# Terms of Workflow Run RO-Crate that the context of RO-Crate 1.1 does not know, written out so that a reader needs no
# second context from the network.
EXTRA_TERMS = {
    "sha256": RUN_TERMS + "sha256",
    "ContainerImage": RUN_TERMS + "ContainerImage",
    "containerImage": RUN_TERMS + "containerImage",
    "registry": RUN_TERMS + "registry",
    "tag": RUN_TERMS + "tag",
    "resourceUsage": RUN_TERMS + "resourceUsage",
    "ParameterConnection": RUN_TERMS + "ParameterConnection",
    "connection": RUN_TERMS + "connection",
    "sourceParameter": RUN_TERMS + "sourceParameter",
    "targetParameter": RUN_TERMS + "targetParameter",
    "buildInstructions": "https://codemeta.github.io/terms/buildInstructions",
    "Sample": "https://bioschemas.org/Sample",
}


FORMAL_PARAMETER = {"@id": "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"}


class CrateGraph:
    """The entities of one crate. Every method returns a reference, `{"@id": ...}`, to put into other entities."""

    def __init__(self, folder: Path) -> None:
        """Start a crate whose root is `folder`."""
        self.folder = folder
        self.crate = ROCrate(version="1.1")
        self.crate.metadata.extra_terms.update(EXTRA_TERMS)

    def add(self, entity_id: str, types: str | Sequence[str], /, **properties: Any) -> Ref:
        """Add a contextual entity; the first description of an id stays. Properties that are None are left out."""
        return self._add(ContextEntity, entity_id, types, properties)

    def add_data(self, entity_id: str, types: str | Sequence[str], /, **properties: Any) -> Ref:
        """Add a data entity (a file or folder); it becomes part of the root."""
        return self._add(DataEntity, entity_id, types, properties)

    def add_file(self, relative: str, sha256: str, size: int, name: str, /, **properties: Any) -> Ref:
        """Add a file inside the crate's folder by its POSIX path there."""
        stated = {"encodingFormat": media_type(relative), **properties}
        return self.add_data(quote(relative), "File", name=name, sha256=sha256, contentSize=str(size), **stated)

    def add_stored(self, item: ResultFile) -> Ref:
        """Add a stored file: by its path when it lies below the root, else by its file id, staying where it is.

        The id of a file elsewhere names its identity (storage, key, version), not its bytes.
        """
        ref, relative = item.ref, relative_to(item.path, self.folder)
        return self.add_data(
            f"urn:labrelay:{ref.id}" if relative is None else quote(relative),
            "File",
            name=ref.name,
            identifier=ref.id,
            alternateName=f"{ref.storage}:{ref.key}",
            sha256=ref.sha256,
            contentSize=str(ref.size),
            encodingFormat=item.media_type or media_type(ref.name),
        )

    def value(self, entity_id: str, name: str, value: Any, /, **properties: Any) -> Ref:
        """Add a PropertyValue; lists and objects become JSON text, which schema.org's `value` can hold."""
        plain = value if isinstance(value, str | int | float | bool) else json.dumps(value, sort_keys=True)
        return self.add(entity_id, "PropertyValue", name=name, value=plain, **properties)

    def parameter(self, entity_id: str, name: str, kind: str) -> Ref:
        """Add a formal parameter that takes values of this kind (`File`, `Integer`, `Text` …)."""
        return self.add(entity_id, "FormalParameter", name=name, additionalType=kind, conformsTo=FORMAL_PARAMETER)

    def files(self, relatives: Iterable[str]) -> list[Ref]:
        """Return the references of files inside the crate by their POSIX paths there."""
        return [{"@id": quote(relative)} for relative in relatives]

    def examples(self) -> Iterator[dict[str, Any]]:
        """Yield the properties of all that is an example of formal parameters."""
        for entity in self.crate.get_entities():
            properties: dict[str, Any] = entity.properties()
            if "exampleOfWork" in properties:
                yield properties

    def link(self, ref: Ref, key: str, target: Ref) -> None:
        """Add `target` to the list `key` of the entity behind `ref`, once."""
        values = self.entity(ref).setdefault(key, [])
        if target not in values:
            values.append(target)

    def entity(self, ref: Ref) -> dict[str, Any]:
        """Return the properties of an entity, to be changed in place."""
        found: dict[str, Any] = self.crate.get(ref["@id"]).properties()
        return found

    def describe_root(self, **properties: Any) -> None:
        """Set properties of the root dataset."""
        self.crate.root_dataset.properties().update(_stated(properties))

    def render(self) -> bytes:
        """Return `ro-crate-metadata.json`: sorted keys, entities in the order they came, no date but the given ones."""
        document = self.crate.metadata.generate()
        return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()

    def _add(self, kind: type, entity_id: str, types: str | Sequence[str], properties: dict[str, Any]) -> Ref:
        if entity_id not in self.crate:  # `get` of what is not there goes through all that is
            named = types if isinstance(types, str) else list(types)
            self.crate.add(kind(self.crate, entity_id, {"@type": named, **_stated(properties)}))
        return {"@id": entity_id}


def local_id(kind: str, *parts: str) -> str:
    """Return an id inside the crate, such as `#sample/A%2F1`: any text can stand in it and stays apart from others."""
    return "#" + "/".join([kind, *(quote(part, safe="") for part in parts)])


def relative_to(path: Path, folder: Path) -> str | None:
    """Return the POSIX path of `path` below `folder`, or None when it lies elsewhere."""
    try:
        return path.resolve().relative_to(folder.resolve()).as_posix()
    except ValueError:
        return None


def one_or_many(refs: Sequence[Ref]) -> Ref | list[Ref] | None:
    """Return None for no references, the only one as itself, else the list."""
    if not refs:
        return None
    return refs[0] if len(refs) == 1 else list(refs)


def unique(refs: Sequence[Ref]) -> list[Ref]:
    """Return the references without repeats, in order."""
    return [{"@id": entity_id} for entity_id in dict.fromkeys(ref["@id"] for ref in refs)]


def _stated(properties: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in properties.items() if value is not None and value != []}
