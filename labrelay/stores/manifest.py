"""The manifest of a dataset: every file with its role, hash and size, written when all of them are stored.

Only a complete manifest makes a Dataset, so a reader never sees half of one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal

from pydantic import AwareDatetime, Field, ValidationError, field_validator

from labrelay.model.canonical import canonical_json
from labrelay.model.errors import StorageFailed
from labrelay.model.files import FileRef, FileRole
from labrelay.model.problem import Frozen, Problem
from labrelay.model.words import counted
from labrelay.stores.ports import ObjectStore

CHUNK = 2 << 20
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
        StorageFailed: The store did not take it.
    """
    there = store.head(key)
    if there is not None and _parse(store, there).same_files(manifest):
        return there
    return store.put_bytes(key, (canonical_json(manifest.model_dump(mode="json")) + "\n").encode())


def read_manifest(store: ObjectStore, key: str) -> Manifest | None:
    """Return the manifest under `key`; None while the dataset is not complete.

    Raises:
        StorageFailed: What lies there is no manifest.
    """
    there = store.head(key)
    return None if there is None else _parse(store, there)


def verify_manifest(store: ObjectStore, manifest: Manifest, *, read_data: bool = False) -> tuple[Problem, ...]:
    """Compare what is stored with what the manifest says; return every difference.

    Args:
        store: Where its files lie.
        manifest: What is to be there.
        read_data: Also read and hash every byte again; without it the store's own word counts.
    """
    return tuple(problem for file in manifest.files for problem in _differences(store, file, read_data))


def _differences(store: ObjectStore, file: ManifestFile, read_data: bool) -> Iterable[Problem]:
    try:
        found = store.head(file.ref.key)
        if found is None:
            yield Problem(code="STORED_FILE_MISSING", message="is not in the store any more.", path=file.ref.key)
        elif found != file.ref or (read_data and _hash(store, file.ref) != file.ref.sha256):
            yield Problem(code="STORED_FILE_CHANGED", message="is not what was stored.", path=file.ref.key)
    except StorageFailed as error:
        yield Problem(code="STORED_FILE_UNREADABLE", message=str(error), path=file.ref.key)


def _hash(store: ObjectStore, ref: FileRef) -> str:
    hasher = hashlib.sha256()
    with store.open(ref) as opened:
        try:
            while chunk := opened.read(CHUNK):
                hasher.update(chunk)
        except OSError as error:
            raise StorageFailed(f"{ref.key} cannot be read back ({error.strerror}); check the disk.") from error
    return hasher.hexdigest()


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
