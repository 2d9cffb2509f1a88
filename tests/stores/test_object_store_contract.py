"""What every object store promises; nothing here knows that it is a folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
from pathlib import Path

import pytest

from labrelay.model.errors import Conflict, StorageFailed, UsageError
from labrelay.stores.ports import ObjectStore

CONTENT = b"@read1\nACGT\n+\nIIII\n" * 1000


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "landing" / "a.fastq"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path


def keys(store: ObjectStore, prefix: str) -> list[str]:
    return [ref.key for ref in store.list(prefix)]


def test_a_staged_file_is_seen_by_nobody_until_it_is_committed(store: ObjectStore, source: Path) -> None:
    staged = store.stage(source, "runs/fc-1/a.fastq")
    assert store.head("runs/fc-1/a.fastq") is None
    assert keys(store, "runs") == []
    ref = staged.commit()
    assert store.head("runs/fc-1/a.fastq") == ref
    assert keys(store, "runs") == ["runs/fc-1/a.fastq"]


def test_the_reference_says_where_and_what_the_bytes_are(store: ObjectStore, source: Path) -> None:
    ref = store.stage(source, "a.fastq").commit()
    assert (ref.storage, ref.key, ref.size) == (store.name, "a.fastq", len(CONTENT))
    assert ref.sha256 == hashlib.sha256(CONTENT).hexdigest()
    with store.open(ref) as opened:
        assert opened.read() == CONTENT
    assert ":" in store.uri(ref)
    path = store.local_path(ref)
    assert path is None or path.read_bytes() == CONTENT


def test_an_aborted_file_leaves_nothing(store: ObjectStore, source: Path) -> None:
    staged = store.stage(source, "a.fastq")
    staged.abort()
    staged.abort()
    assert store.head("a.fastq") is None
    assert keys(store, "") == []


def test_aborting_after_the_commit_keeps_the_file(store: ObjectStore, source: Path) -> None:
    staged = store.stage(source, "a.fastq")
    ref = staged.commit()
    staged.abort()
    assert store.head("a.fastq") == ref
    assert staged.commit() == ref


def test_the_same_bytes_again_are_the_same_file(store: ObjectStore, source: Path) -> None:
    first = store.stage(source, "a.fastq").commit()
    assert store.stage(source, "a.fastq").commit() == first
    assert store.put_bytes("a.fastq", CONTENT) == first
    assert keys(store, "") == ["a.fastq"]


def test_other_bytes_never_replace_a_stored_file(store: ObjectStore, source: Path) -> None:
    first = store.stage(source, "a.fastq").commit()
    source.write_bytes(b"other")
    staged = store.stage(source, "a.fastq")
    with pytest.raises(Conflict, match="never replaced"):
        staged.commit()
    with pytest.raises(Conflict, match="never replaced"):
        store.put_bytes("a.fastq", b"third")
    assert store.head("a.fastq") == first
    with store.open(first) as opened:
        assert opened.read() == CONTENT


def test_of_two_stagings_of_one_key_the_first_commit_wins(store: ObjectStore, source: Path) -> None:
    first = store.stage(source, "a.fastq")
    source.write_bytes(b"other")
    second = store.stage(source, "a.fastq")
    ref = second.commit()
    with pytest.raises(Conflict):
        first.commit()
    assert store.head("a.fastq") == ref


def test_a_listing_ends_at_the_separator(store: ObjectStore) -> None:
    for key in ("runs/fc-1/a", "runs/fc-10/b", "runs/fc-1.txt", "runs/fc-1-b/c", "other/d"):
        store.put_bytes(key, key.encode())
    assert keys(store, "runs/fc-1") == ["runs/fc-1/a"]
    assert keys(store, "runs/fc-1/") == ["runs/fc-1/a"]
    assert keys(store, "runs/fc") == []
    assert keys(store, "runs") == ["runs/fc-1-b/c", "runs/fc-1.txt", "runs/fc-1/a", "runs/fc-10/b"]


def test_a_listing_carries_the_same_references_as_the_stores(store: ObjectStore) -> None:
    put = [store.put_bytes(f"d/{n:02}", b"%d" % n) for n in range(20)]
    assert list(store.list("d")) == put


@pytest.mark.parametrize("key", ["Proben/Müller 1/日本.txt", "a b/c+d%20e.txt", 'd/it\'s "q" =cmd().csv', "x" * 240])
def test_keys_may_carry_the_letters_of_any_lab(store: ObjectStore, key: str) -> None:
    ref = store.put_bytes(key, b"1")
    assert store.head(key) == ref
    assert keys(store, "") == [key]
    with store.open(ref) as opened:
        assert opened.read() == b"1"


@pytest.mark.parametrize(
    "key",
    ["", "/etc/passwd", "a/../../b", "..", "a//b", "a/", ".meta/x", "a/.hidden", "a\nb", "a\0b", "a\udcff", "a\\b"],
)
def test_what_could_leave_the_store_is_no_key(store: ObjectStore, source: Path, recorder: type, key: str) -> None:
    watcher = recorder()
    with pytest.raises(UsageError):
        store.put_bytes(key, b"1")
    with pytest.raises(UsageError):
        store.head(key)
    with pytest.raises(UsageError):
        store.stage(source, key, [watcher])
    assert watcher.closed == 1
    assert list(store.list("")) == []


def test_watchers_see_every_byte_once_and_are_closed_once(store: ObjectStore, source: Path, recorder: type) -> None:
    content = os.urandom(5_000_001)
    source.write_bytes(content)
    watchers, counts = [recorder(), recorder()], []
    store.stage(source, "a", watchers, counts.append).abort()
    assert [watcher.seen for watcher in watchers] == [content, content]
    assert [watcher.closed for watcher in watchers] == [1, 1]
    assert sum(counts) == len(content)


def test_a_watcher_that_refuses_ends_the_staging(store: ObjectStore, source: Path, recorder: type) -> None:
    def refuse() -> None:
        raise ValueError("no FASTQ")

    watchers = [recorder(refuse), recorder()]
    with pytest.raises(ValueError, match="no FASTQ"):
        store.stage(source, "a", watchers)
    assert [watcher.closed for watcher in watchers] == [1, 1]
    assert store.head("a") is None


def test_a_file_that_grows_while_it_is_read_is_not_stored(store: ObjectStore, source: Path, recorder: type) -> None:
    def grow() -> None:
        with source.open("ab") as out:
            out.write(b"@late\n")

    with pytest.raises(StorageFailed, match="changed while it was read"):
        store.stage(source, "a", [recorder(grow)])
    assert store.head("a") is None


def test_a_file_rewritten_at_the_same_size_is_noticed(store: ObjectStore, source: Path, recorder: type) -> None:
    os.utime(source, ns=(1, 1))
    with pytest.raises(StorageFailed, match="changed while it was read"):
        store.stage(source, "a", [recorder(lambda: source.write_bytes(CONTENT[::-1]))])


def test_a_file_cut_while_it_is_read_is_not_stored(store: ObjectStore, source: Path, recorder: type) -> None:
    source.write_bytes(os.urandom(6_000_000))
    with pytest.raises(StorageFailed, match="changed while it was read"):
        store.stage(source, "a", [recorder(lambda: os.truncate(source, 10))])


def test_a_file_replaced_or_removed_while_it_is_read_is_noticed(
    store: ObjectStore, source: Path, tmp_path: Path, recorder: type
) -> None:
    other = tmp_path / "other"
    other.write_bytes(CONTENT)
    with pytest.raises(StorageFailed, match="moved or replaced"):
        store.stage(source, "a", [recorder(lambda: other.replace(source))])
    with pytest.raises(StorageFailed, match="moved or replaced"):
        store.stage(source, "a", [recorder(source.unlink)])


def test_an_empty_file_is_a_file(store: ObjectStore, source: Path) -> None:
    source.write_bytes(b"")
    ref = store.stage(source, "a").commit()
    assert ref.size == 0
    assert store.head("a") == ref


@pytest.mark.parametrize("kind", ["absent", "symlink", "dangling", "fifo", "folder", "socket", "device"])
def test_what_is_no_regular_file_is_refused_with_a_sentence(
    store: ObjectStore, source: Path, tmp_path: Path, recorder: type, kind: str
) -> None:
    path = make_odd_file(tmp_path / "odd", kind, source)
    watcher = recorder()
    with pytest.raises(StorageFailed, match=r"not there|symbolic link|no regular file") as caught:
        store.stage(path, "a", [watcher])
    assert str(path) in str(caught.value)
    assert watcher.closed == 1
    assert watcher.seen == b""
    assert list(store.list("")) == []


def make_odd_file(path: Path, kind: str, source: Path) -> Path:
    if kind == "symlink":
        path.symlink_to(source)
    elif kind == "dangling":
        path.symlink_to("nowhere")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener, contextlib.chdir(path.parent):
            listener.bind(path.name)  # relative, since such names are short
    elif kind == "device":
        return Path("/dev/zero")
    return path


def test_opening_another_version_is_refused(store: ObjectStore) -> None:
    ref = store.put_bytes("a", b"1")
    sha256 = hashlib.sha256(b"2").hexdigest()
    with pytest.raises(StorageFailed, match="not the file that was stored"):
        store.open(ref.model_copy(update={"version": sha256, "sha256": sha256}))
    with pytest.raises(StorageFailed, match="any more"):
        store.open(ref.model_copy(update={"key": "b"}))
