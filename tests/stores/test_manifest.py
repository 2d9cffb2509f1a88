"""A manifest is written last, once, and tells what became of each file."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from labrelay.model.canonical import canonical_json
from labrelay.model.errors import Conflict, StorageFailed
from labrelay.model.files import FileRole
from labrelay.stores.manifest import Manifest, ManifestFile, manifest_text, write_manifest
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
    manifest = make(store, "b", "a")
    ref = write_manifest(store, KEY, manifest)
    assert store.head(KEY) == ref
    with store.open(ref) as opened:
        assert Manifest.model_validate_json(opened.read()) == manifest
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
        write_manifest(store, KEY, make(store, "a"))


def test_a_manifest_is_canonical_json_though_it_is_made_a_file_at_a_time(store: ObjectStore) -> None:
    for manifest in (make(store), make(store, "a"), make(store, "a", 'b"ü')):
        assert manifest_text(manifest) == canonical_json(manifest.model_dump(mode="json")) + "\n"
