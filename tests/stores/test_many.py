"""Small files are stored together or not at all: bytes before names, names before anybody is told."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from labrelay.model.errors import Conflict, StorageFailed, UsageError
from labrelay.model.files import FileRef
from labrelay.stores import flush, folder, folder_many, many
from labrelay.stores.durable import fsync_file
from labrelay.stores.folder import FolderObjectStore
from labrelay.stores.many import ahead, in_bundles, put_many
from labrelay.stores.ports import ObjectStore

COUNT = flush.FEW + 4
POINTS = ["store.many_staged", "store.meta_written", "store.one_named", "store.many_durable"]
PUT = """
    import sys
    from pathlib import Path
    from labrelay.stores.folder import FolderObjectStore
    from labrelay.stores.many import put_many
    files = [(path, f"runs/{path.name}") for path in sorted(Path(sys.argv[2]).iterdir())]
    put_many(FolderObjectStore(Path(sys.argv[1])), files)
"""


@pytest.fixture
def files(tmp_path: Path) -> list[tuple[Path, str]]:
    landing = tmp_path / "landing"
    landing.mkdir()
    paths = [landing / f"{number:03}.tif" for number in range(COUNT)]
    for number, path in enumerate(paths):
        path.write_bytes(os.urandom(number * 100))
    return [(path, f"runs/{path.name}") for path in paths]


@pytest.fixture
def folder_store(tmp_path: Path) -> FolderObjectStore:
    return FolderObjectStore(tmp_path / "objects")


def keys(store: ObjectStore) -> list[str]:
    return [ref.key for ref in store.list("")]


def temps(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.name.startswith(".tmp-")]


def test_a_bundle_is_seen_by_nobody_until_it_is_committed_and_then_as_a_whole(
    store: ObjectStore, files: list[tuple[Path, str]]
) -> None:
    counts: list[int] = []
    staged = store.stage_many(files, counts.append)
    assert keys(store) == []
    refs = staged.commit()
    staged.abort()
    assert [ref.key for ref in refs] == [key for _source, key in files]
    assert list(store.list("")) == refs
    assert sum(counts) == sum(ref.size for ref in refs)
    for (source, _key), ref in zip(files, refs, strict=True):
        with store.open(ref) as opened:
            assert opened.read() == source.read_bytes()
    assert put_many(store, files) == refs, "the same bytes again are the same files"


def test_a_bundle_that_is_dropped_leaves_nothing(store: ObjectStore, files: list[tuple[Path, str]]) -> None:
    staged = store.stage_many(files)
    staged.abort()
    staged.abort()
    assert keys(store) == []


def test_one_file_that_is_gone_keeps_the_whole_bundle_out(store: ObjectStore, files: list[tuple[Path, str]]) -> None:
    files[7][0].unlink()
    with pytest.raises(StorageFailed, match=r"007\.tif is not there"):
        put_many(store, files)
    assert keys(store) == []


def test_a_link_is_not_followed_and_a_key_that_leaves_the_store_is_none(
    store: ObjectStore, files: list[tuple[Path, str]]
) -> None:
    files[3][0].unlink()
    files[3][0].symlink_to(files[4][0])
    with pytest.raises(StorageFailed, match="symbolic link"):
        put_many(store, files)
    with pytest.raises(UsageError):
        put_many(store, [files[0], (files[1][0], "../away")])
    assert keys(store) == []


def test_a_conflict_is_told_before_any_file_of_the_bundle_is_visible(
    store: ObjectStore, files: list[tuple[Path, str]]
) -> None:
    there = store.put_bytes(files[-1][1], b"other")
    with pytest.raises(Conflict, match=r"019\.tif is stored with other content"):
        put_many(store, files)
    assert list(store.list("")) == [there]


def test_two_files_of_a_bundle_may_share_a_key_only_with_the_same_bytes(
    store: ObjectStore, files: list[tuple[Path, str]]
) -> None:
    first, second = files[1][0], files[2][0]
    with pytest.raises(Conflict, match="never replaced"):
        put_many(store, [(first, "a"), (second, "a")])
    assert keys(store) == []
    assert len(set(put_many(store, [(first, "a"), (first, "a")]))) == 1


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_point_of_a_bundle_is_healed_by_the_same_call(
    folder_store: FolderObjectStore, files: list[tuple[Path, str]], point: str
) -> None:
    landing = files[0][0].parent
    nth = 9 if point in ("store.meta_written", "store.one_named") else 1
    command = [sys.executable, "-c", textwrap.dedent(PUT), str(folder_store.root), str(landing)]
    child = subprocess.run(command, env={**os.environ, "LABRELAY_FAULT": f"{point}:{nth}:kill"})
    assert child.returncode == -signal.SIGKILL
    seen = {"store.many_staged": 0, "store.meta_written": 8, "store.one_named": 9, "store.many_durable": COUNT}
    assert len(keys(folder_store)) == seen[point]
    for ref in put_many(folder_store, files):
        folder_store.verify(ref)
    assert folder_store.reap(older_than=0) == 1
    assert temps(folder_store.root) == []
    assert len(keys(folder_store)) == COUNT


def test_what_a_living_writer_holds_is_not_taken_for_a_leftover(
    folder_store: FolderObjectStore, files: list[tuple[Path, str]]
) -> None:
    staged = folder_store.stage_many(files)
    (held,) = temps(folder_store.root)
    os.utime(held, (0, 0))
    assert folder_store.reap() == 0
    assert len(staged.commit()) == COUNT
    assert temps(folder_store.root) == []


@pytest.mark.parametrize("whole", [True, False], ids=["one flush of the file system", "a flush of each"])
def test_no_name_is_given_before_all_bytes_are_flushed_and_nothing_told_before_all_names_are(
    folder_store: FolderObjectStore, files: list[tuple[Path, str]], monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    events: list[tuple[str, int]] = []
    flushed: set[Path] = set()

    def note(what: str) -> None:
        events.append((what, len(keys(folder_store))))

    def each(path: Path) -> None:
        flushed.add(path)
        fsync_file(path)

    monkeypatch.setattr(flush, "_trusted", lambda _root: whole)
    monkeypatch.setattr(flush, "_syncfs", lambda _handle: note("flush"))
    monkeypatch.setattr(flush, "fsync_file", each)
    monkeypatch.setattr(flush, "fsync_dir", lambda folder: flushed.add(folder))
    staged = folder_store.stage_many(files)
    bytes_flushed = set(flushed)
    staged.commit()
    if whole:
        assert events == [("flush", 0), ("flush", COUNT)]
        assert flushed == set()
    else:
        assert len(bytes_flushed) == COUNT
        assert {folder_store.root / "runs", folder_store.root, folder_store.root.parent} <= flushed - bytes_flushed


def test_a_flush_that_fails_is_a_sentence_and_leaves_nothing(
    folder_store: FolderObjectStore, files: list[tuple[Path, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_handle: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(flush, "_trusted", lambda _root: True)
    monkeypatch.setattr(flush, "_syncfs", fail)
    with pytest.raises(StorageFailed, match="the disk reports an I/O error") as caught:
        put_many(folder_store, files)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert keys(folder_store) == []
    assert temps(folder_store.root) == []


def test_remembered_hashes_may_be_removed_while_a_store_is_open(
    folder_store: FolderObjectStore, files: list[tuple[Path, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_many, "note", lambda _handle, _sha256: False)
    monkeypatch.setattr(folder, "note", lambda _handle, _sha256: False)
    refs = put_many(folder_store, files)
    shutil.rmtree(folder_store.root / ".meta")
    assert folder_store.put_bytes(f"again/{files[0][1]}", b"1").size == 1
    assert list(folder_store.list("runs")) == refs


def test_a_flush_of_the_file_system_is_trusted_only_where_it_tells_of_failures() -> None:
    def system(name: str, release: str) -> os.uname_result:
        return os.uname_result((name, "host", release, "#1", "x86_64"))

    assert flush.kernel_tells(system("Linux", "5.8.0-generic"))
    assert flush.kernel_tells(system("Linux", "6.18.44"))
    assert not flush.kernel_tells(system("Linux", "5.4.0-200-generic"))
    assert not flush.kernel_tells(system("Darwin", "23.1.0"))


def test_the_kind_of_a_file_system_is_read_from_the_table_of_mounts() -> None:
    table = (
        "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
        "30 22 0:25 / /srv/lab rw - fuse.sshfs lab@host:/ rw\n"
        "31 22 259:1 /homes /data/with\\040blank rw master:2 shared:7 - xfs /dev/nvme0n1 rw\n"
    )
    assert flush.kind_of(table, "254:0") == "ext4"
    assert flush.kind_of(table, "0:25") == "fuse.sshfs"
    assert flush.kind_of(table, "259:1") == "xfs"
    assert flush.kind_of(table, "8:1") is None


def test_bundles_are_bounded_by_number_and_bytes_and_a_large_file_stands_alone() -> None:
    assert [len(bundle) for bundle in in_bundles(range(many.MOST * 2 + 1), lambda _: 1)] == [many.MOST, many.MOST, 1]
    half = many.SMALL
    assert {len(bundle) for bundle in in_bundles(range(16), lambda _: half)} == {many.MOST_BYTES // half}
    assert {len(bundle) for bundle in in_bundles(range(16), lambda _: half, 2 * half)} == {2}
    sizes = [1, many.SMALL + 1, 2]
    assert list(in_bundles(sizes, lambda size: size)) == [[many.SMALL + 1], [1, 2]]
    assert list(in_bundles([], lambda size: size)) == []


def test_work_ahead_is_so_many_items_ahead_and_no_more_begins_when_the_caller_stops() -> None:
    began: list[int] = []
    together = threading.Barrier(many.AHEAD + 1)

    def work(item: int) -> int:
        began.append(item)
        if item > 1:
            together.wait(10)  # all of them work at once
        return item * 10

    def items() -> Iterator[int]:
        yield from range(1, 9)

    made = ahead(work, items())
    assert next(made) == (1, 10)
    together.wait(10)
    made.close()
    assert sorted(began) == [1, 2, 3]


def test_a_failure_ahead_is_raised_in_its_turn() -> None:
    def work(item: int) -> int:
        if item == 2:
            raise StorageFailed("the second is gone")
        return item

    made = ahead(work, [1, 2, 3])
    assert next(made) == (1, 1)
    with pytest.raises(StorageFailed, match="the second is gone"):
        next(made)


def test_a_bundle_is_described_by_its_first_file_and_a_number() -> None:
    refs = [FileRef(storage="s", key=f"k{n}", version="v", sha256="0" * 64, size=0) for n in range(200)]
    assert folder_many.described(refs) == "k0 and 199 more files"
    assert folder_many.described(refs[:1]) == "k0"
