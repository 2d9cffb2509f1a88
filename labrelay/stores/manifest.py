"""The manifest of a dataset: every file with its role, hash and size, written when all of them are stored.

Only a complete manifest makes a Dataset, so a reader never sees half of one.
"""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field, ValidationError, field_validator

from labrelay.model.canonical import canonical_json
from labrelay.model.errors import StorageFailed
from labrelay.model.files import FileRef, FileRole
from labrelay.model.problem import Frozen
from labrelay.model.words import counted
from labrelay.stores.ports import ObjectStore

Scalar = str | int | float | bool | None


class ManifestFile(Frozen):
    """One file of a dataset.

    Attributes:
        path: Where it lay in the folder that was taken in.
        role: What it is to the run.
        ref: Where it is stored now.
        extra: What else is known of it (sample, lane, read), for people and other programs.
    """

    path: str
    role: FileRole
    ref: FileRef
    extra: dict[str, Scalar] = Field(default_factory=dict)


class Manifest(Frozen):
    """The files of one dataset, in the order of their paths, each path once.

    Attributes:
        version: Of this format.
        run_id: The instrument run, `ins_…`, or whatever the dataset belongs to.
        files: At least none; a dataset without files is a state.
        created: When it was first complete.
    """

    version: Literal[1] = 1
    run_id: str
    files: tuple[ManifestFile, ...]
    created: AwareDatetime

    @field_validator("files")
    @classmethod
    def _ordered_and_unique(cls, files: tuple[ManifestFile, ...]) -> tuple[ManifestFile, ...]:
        paths = [file.path for file in files]
        if len(set(paths)) != len(paths):
            raise ValueError("a path stands twice in the manifest")
        return tuple(sorted(files, key=lambda file: file.path))

    def same_files(self, other: Manifest) -> bool:
        """Tell whether both say the same but for when they were written."""
        return self.model_copy(update={"created": other.created}) == other


def write_manifest(store: ObjectStore, key: str, manifest: Manifest) -> FileRef:
    """Store the manifest; one of the same files there already stays as it is, with its first time.

    Raises:
        Conflict: A manifest of other files is there.
        StorageFailed: The store did not take it, or what lies there is no manifest.
    """
    there = store.head(key)
    if there is not None and _parse(store, there).same_files(manifest):
        return there
    return store.put_bytes(key, manifest_text(manifest).encode())


def manifest_text(manifest: Manifest) -> str:
    """Return a manifest as canonical JSON with a line end, made a file at a time: it may list a million."""
    files = ",".join(canonical_json(file.model_dump(mode="json")) for file in manifest.files)
    values = manifest.model_copy(update={"files": ()}).model_dump(mode="json", exclude={"files"})
    before = {name: value for name, value in values.items() if name < "files"}
    after = {name: value for name, value in values.items() if name > "files"}
    return f'{canonical_json(before)[:-1]},"files":[{files}],{canonical_json(after)[1:]}\n'


def read_manifest(store: ObjectStore, key: str) -> Manifest:
    """Return the manifest that is stored at `key`.

    Raises:
        StorageFailed: It is gone, or what lies there is no manifest.
    """
    there = store.head(key)
    if there is None:
        raise StorageFailed(f"the manifest {key} is gone from {store.name}; restore it from a copy")
    return _parse(store, there)


def _parse(store: ObjectStore, ref: FileRef) -> Manifest:
    with store.open(ref) as opened:
        content = opened.read()
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        count = counted(error.error_count(), "problem")
        raise StorageFailed(
            f"{ref.key} in {store.name} is no manifest that this version reads ({count}); restore it from a copy."
        ) from error
