"""Local files go to S3 once each, and never other bytes under a name that means these."""

from __future__ import annotations

from pathlib import Path

import pytest

from labrelay.model.errors import StorageFailed
from labrelay.stores.folder import FolderObjectStore
from labrelay.workflows import sending
from labrelay.workflows.sending import Sender
from labrelay.workflows.shapes import NAMED

SCHEMA = {
    "properties": {
        "file": NAMED["File"],
        "files": {"type": "array", "items": NAMED["File"]},
        "folder": NAMED["Directory"],
        "text": NAMED["String"],
    }
}


@pytest.fixture
def store(tmp_path: Path) -> FolderObjectStore:
    return FolderObjectStore(tmp_path / "store", name="carried")


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_files_are_named_by_their_content_and_other_texts_stay(store: FolderObjectStore, tmp_path: Path) -> None:
    one, same = put(tmp_path / "one" / "a.txt", "a"), put(tmp_path / "two" / "a.txt", "a")
    origins: dict[str, str] = {}
    inputs = {"files": [str(one), str(same), "s3://b/c"], "text": str(one)}
    sent = Sender(store).send(SCHEMA, inputs, origins)
    assert sent["files"][0] == sent["files"][1]
    assert sent["files"][2] == "s3://b/c"
    assert sent["text"] == str(one)
    assert list(origins) == [sent["files"][0]]
    assert len(list(store.list(""))) == 1


def test_a_folder_goes_with_all_that_is_in_it(store: FolderObjectStore, tmp_path: Path) -> None:
    put(tmp_path / "in" / "a.txt", "a")
    put(tmp_path / "in" / "deep" / "b.txt", "b")
    sent = Sender(store).send(SCHEMA, {"folder": str(tmp_path / "in")})["folder"]
    assert sent.endswith("/in/")
    assert sorted(Path(ref.key).name for ref in store.list("")) == ["a.txt", "b.txt"]


def test_a_file_that_changes_while_it_is_sent_is_refused_and_leaves_nothing(
    store: FolderObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, digest = put(tmp_path / "a.txt", "first"), sending.file_digest

    def changing(file: Path) -> str:
        found = digest(file)
        file.write_text("other")
        return found

    monkeypatch.setattr(sending, "file_digest", changing)
    with pytest.raises(StorageFailed, match="was changed while it was sent"):
        Sender(store).send(SCHEMA, {"file": str(path)})
    assert list(store.list("")) == []


@pytest.mark.parametrize(("name", "words"), [("gone.txt", "is not there"), ("empty", "without files")])
def test_what_cannot_be_sent_is_told_by_its_name(
    store: FolderObjectStore, tmp_path: Path, name: str, words: str
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(StorageFailed, match=rf"{name}.* {words}"):
        Sender(store).send(SCHEMA, {"file": str(tmp_path / name)})


def test_a_file_of_many_runs_is_read_once_for_its_name(
    store: FolderObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, digest, asked = put(tmp_path / "a.txt", "a"), sending.file_digest, []
    monkeypatch.setattr(sending, "file_digest", lambda file: asked.append(file) or digest(file))
    sender = Sender(store)
    for _ in range(3):
        sender.send(SCHEMA, {"file": str(path)})
    assert asked == [path]
