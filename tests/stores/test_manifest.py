"""A manifest is written last, once, and tells what became of each file."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from labrelay.model.errors import Conflict, StorageFailed
from labrelay.model.files import FileRole
from labrelay.stores.manifest import Manifest, ManifestFile, read_manifest, verify_manifest, write_manifest
from labrelay.stores.ports import ObjectStore

KEY = "runs/1/manifest.json"


def make(store: ObjectStore, *names: str, day: int = 1) -> Manifest:
    files = tuple(
        ManifestFile(
            path=f"in/{name}",
            role=FileRole.READS,
            ref=store.put_bytes(f"runs/1/{name}", name.encode()),
            extra={"lane": 1},
        )
        for name in names
    )
    return Manifest(run_id="ins_1", files=files, created=datetime(2025, 1, day, tzinfo=UTC))


def test_what_was_written_is_read(store: ObjectStore) -> None:
    assert read_manifest(store, KEY) is None
    manifest = make(store, "b", "a")
    ref = write_manifest(store, KEY, manifest)
    assert store.head(KEY) == ref
    assert read_manifest(store, KEY) == manifest
    assert [file.path for file in manifest.files] == ["in/a", "in/b"]


def test_writing_it_again_later_keeps_the_first(store: ObjectStore) -> None:
    first = write_manifest(store, KEY, make(store, "a", "b"))
    assert write_manifest(store, KEY, make(store, "b", "a", day=2)) == first
    with pytest.raises(Conflict):
        write_manifest(store, KEY, make(store, "a", day=2))


def test_a_path_stands_only_once(store: ObjectStore) -> None:
    with pytest.raises(ValidationError, match="twice"):
        make(store, "a", "a")


def test_what_is_no_manifest_is_refused(store: ObjectStore) -> None:
    store.put_bytes(KEY, b'{"version": 2}')
    with pytest.raises(StorageFailed, match="no manifest that this version reads"):
        read_manifest(store, KEY)


def test_verifying_names_every_difference(store: ObjectStore) -> None:
    manifest = make(store, "a", "b", "c", "d")
    assert verify_manifest(store, manifest, read_data=True) == ()
    paths: list[Path] = []
    for file in manifest.files[:3]:
        path = store.local_path(file.ref)
        if path is None:
            pytest.skip("this store's bytes cannot be damaged from here")
        paths.append(path)
    paths[0].unlink()
    paths[1].chmod(0o644)
    paths[1].write_bytes(b"longer")
    before = paths[2].stat()
    paths[2].chmod(0o644)
    paths[2].write_bytes(b"x")
    os.utime(paths[2], ns=(before.st_atime_ns, before.st_mtime_ns))
    shallow = [(problem.code, problem.path) for problem in verify_manifest(store, manifest)]
    assert shallow == [("STORED_FILE_MISSING", "runs/1/a"), ("STORED_FILE_CHANGED", "runs/1/b")]
    deep = [(problem.code, problem.path) for problem in verify_manifest(store, manifest, read_data=True)]
    assert deep == [*shallow, ("STORED_FILE_CHANGED", "runs/1/c")]
