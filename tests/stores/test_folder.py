"""What only a folder does: kills, full disks, two processes, files that somebody touched."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from labrelay.model.errors import Conflict, StorageFailed
from labrelay.stores import durable
from labrelay.stores.folder import FolderObjectStore
from labrelay.stores.hash_note import ATTRIBUTE

FAULT_POINTS = ["store.staged", "store.meta_written", "store.linked", "store.durable"]
PUT_ONE = """
    import sys
    from pathlib import Path
    from labrelay.stores.folder import FolderObjectStore
    FolderObjectStore(Path(sys.argv[1])).stage(Path(sys.argv[2]), "runs/1/a").commit()
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a"
    path.write_bytes(os.urandom(100_000))
    return path


@pytest.fixture
def no_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the file system one that keeps no attributes."""

    def refuse(*_arguments: object) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "setxattr", refuse)
    monkeypatch.setattr(os, "getxattr", refuse)


@pytest.fixture
def store(tmp_path: Path) -> FolderObjectStore:
    return FolderObjectStore(tmp_path / "objects")


def run_child(
    code: str, *arguments: object, fault: str = "", before: list[str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [*(before or []), sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    environment = {**os.environ, "LABRELAY_FAULT": fault}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def temps(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.name.startswith(".tmp-")]


def test_the_fault_points_are_those_that_the_kill_test_goes_through(
    store: FolderObjectStore, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv("LABRELAY_FAULT_LOG", str(log))
    store.stage(source, "runs/1/a").commit()
    assert [point for point in log.read_text().split() if point.startswith("store.")] == FAULT_POINTS


@pytest.mark.parametrize("point", FAULT_POINTS)
def test_a_kill_at_any_point_leaves_all_or_nothing_and_the_same_call_finishes(
    store: FolderObjectStore, source: Path, point: str
) -> None:
    child = run_child(PUT_ONE, store.root, source, fault=f"{point}:1:kill")
    assert child.returncode == -signal.SIGKILL
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    there = store.head("runs/1/a")
    assert (there.sha256 if there else None) == (sha256 if point in ("store.linked", "store.durable") else None)
    assert [ref.key for ref in store.list("")] == (["runs/1/a"] if there else [])

    ref = store.stage(source, "runs/1/a").commit()
    assert ref.sha256 == sha256
    store.verify(ref)
    assert temps(store.root), "the killed process left its temporary file"
    assert store.reap(older_than=0) == 1
    assert temps(store.root) == []
    store.verify(ref)


@pytest.mark.parametrize("point", FAULT_POINTS[:3])
@pytest.mark.parametrize("action", ["eio", "enospc"])
def test_a_disk_that_fails_at_any_point_is_a_sentence_and_leaves_no_temporary_file(
    store: FolderObjectStore, source: Path, point: str, action: str
) -> None:
    code = textwrap.dedent("""
        import sys
        from pathlib import Path
        from labrelay.model.errors import StorageFailed
        from labrelay.stores.folder import FolderObjectStore
        store = FolderObjectStore(Path(sys.argv[1]))
        for _ in range(2):
            try:
                print(store.stage(Path(sys.argv[2]), "runs/1/a").commit().sha256)
            except StorageFailed as error:
                print(error)
    """)
    child = run_child(code, store.root, source, fault=f"{point}:1:{action}")
    assert child.stderr == ""
    sentence, digest = child.stdout.splitlines()
    assert ("I/O error" if action == "eio" else "make room") in sentence
    assert str(store.root) in sentence
    assert digest == hashlib.sha256(source.read_bytes()).hexdigest()
    assert temps(store.root) == []


def test_a_file_size_limit_is_a_full_disk(store: FolderObjectStore, source: Path) -> None:
    code = """
        import resource, sys
        from pathlib import Path
        from labrelay.model.errors import StorageFailed
        from labrelay.stores.folder import FolderObjectStore
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        try:
            FolderObjectStore(Path(sys.argv[1])).stage(Path(sys.argv[2]), "a")
        except StorageFailed as error:
            print(error)
    """
    child = run_child(code, store.root, source)
    assert "full" in child.stdout
    assert "goes on where it stopped" in child.stdout
    assert temps(store.root) == []


def test_a_truly_full_disk_stops_cleanly_and_the_same_call_goes_on_with_room(tmp_path: Path, source: Path) -> None:
    private = ["unshare", "-Urm"]
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none"]
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run([*private, *mount, small], capture_output=True, check=False).returncode:
        pytest.skip("no user namespaces here")
    code = """
        import subprocess, sys
        from pathlib import Path
        from labrelay.model.errors import StorageFailed
        from labrelay.stores import folder
        root, source = Path(sys.argv[1]), Path(sys.argv[2])
        mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(root)]
        subprocess.run(mount, check=True)
        store = folder.FolderObjectStore(root / "o")
        def attempt():
            try:
                store.stage(source, "a").commit()
                print("stored")
            except StorageFailed as error:
                print(error)
            print([str(p) for p in root.rglob(".tmp-*")])
        attempt()
        folder.free_bytes = lambda where: 1 << 40  # somebody else fills the disk after the check
        attempt()
        subprocess.run([*mount[:4], "remount,size=1m", *mount[5:]], check=True)
        attempt()
    """
    child = run_child(code, small, source, before=private)
    assert child.stderr == ""
    early, none_left, late, none_either, stored, none_at_all = child.stdout.splitlines()
    assert "a needs 100.0 kB" in early
    assert "No space left on device" in late
    assert "make room" in late
    assert stored == "stored"
    assert none_left == none_either == none_at_all == "[]"


def test_a_file_that_may_not_be_read_is_a_sentence(store: FolderObjectStore, source: Path) -> None:
    source.chmod(0)
    if os.geteuid() == 0:
        os.seteuid(65534)
        try:
            with pytest.raises(StorageFailed, match="may not be read by this user"):
                store.stage(source, "a")
        finally:
            os.seteuid(0)
    else:
        with pytest.raises(StorageFailed, match="may not be read by this user"):
            store.stage(source, "a")


def test_stored_files_are_read_only_and_the_source_stays_as_it_was(store: FolderObjectStore, source: Path) -> None:
    before = source.stat()
    path = store.local_path(store.stage(source, "a").commit())
    assert path is not None
    assert path.stat().st_mode & 0o777 == 0o444
    assert path.stat().st_nlink == 1
    after = source.stat()
    assert (after.st_mode, after.st_nlink, after.st_mtime_ns) == (before.st_mode, 1, before.st_mtime_ns)


@pytest.mark.parametrize("attributes", [True, False], ids=["noted in the file", "remembered beside it"])
def test_looking_up_does_not_read_the_bytes(
    store: FolderObjectStore, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, attributes: bool
) -> None:
    if not attributes:
        request.getfixturevalue("no_attributes")
    refs = [store.put_bytes(f"d/{n}", b"%d" % n) for n in range(5)]
    monkeypatch.setattr("labrelay.stores.digests.hash_open_file", lambda handle: pytest.fail("bytes were read"))
    assert sorted(store.list(""), key=lambda ref: ref.key) == refs
    assert [store.head(ref.key) for ref in refs] == refs


@pytest.mark.usefixtures("no_attributes")
@pytest.mark.parametrize("damage", ["missing", "torn", "other"])
def test_a_lost_memory_is_made_again_from_the_bytes(store: FolderObjectStore, damage: str) -> None:
    ref, other = store.put_bytes("a", b"1"), store.put_bytes("b", b"2")
    entries = {path: path.read_bytes() for path in (store.root / ".meta").rglob("*.json")}
    for path in entries:
        if damage == "missing":
            path.unlink()
        elif damage == "torn":
            path.write_bytes(b"")
        else:
            path.write_bytes(next(content for at, content in entries.items() if at != path))
    fresh = FolderObjectStore(store.root)
    assert (fresh.head("a"), fresh.head("b")) == (ref, other)
    assert {path: path.read_bytes() for path in (store.root / ".meta").rglob("*.json")} == entries
    assert len(entries) == 2


def test_a_hash_is_noted_in_the_file_and_believed_of_that_file_only(store: FolderObjectStore) -> None:
    refs = [store.put_bytes(key, key.encode()) for key in "ab"]
    assert not (store.root / ".meta").exists()
    first, second = (os.getxattr(store.root / key, ATTRIBUTE) for key in "ab")
    for path, wrong in ((store.root / "a", second), (store.root / "b", first[:20])):
        path.chmod(0o644)
        os.setxattr(path, ATTRIBUTE, wrong)
    assert [store.head(key) for key in "ab"] == refs
    assert len(list((store.root / ".meta").rglob("*.json"))) == 2


def test_what_an_older_version_remembered_beside_its_objects_is_believed(
    store: FolderObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without:
        without.delattr(os, "setxattr")
        ref = store.put_bytes("a", b"1")
    monkeypatch.setattr("labrelay.stores.digests.hash_open_file", lambda handle: pytest.fail("bytes were read"))
    assert store.head("a") == ref


def test_a_changed_object_is_noticed_by_a_look_and_never_served(store: FolderObjectStore) -> None:
    ref = store.put_bytes("a", b"123")
    path = store.root / "a"
    path.chmod(0o644)
    path.write_bytes(b"321")
    os.utime(path, ns=(1, 1))
    with pytest.raises(StorageFailed, match="not the file that was stored"):
        store.open(ref)
    with pytest.raises(StorageFailed, match="not the file that was stored"):
        store.local_path(ref)


def test_decay_that_changes_no_date_is_found_by_verify(store: FolderObjectStore) -> None:
    ref = store.put_bytes("a", b"123")
    path = store.root / "a"
    before = path.stat()
    path.chmod(0o644)
    path.write_bytes(b"321")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    store.open(ref).close()
    with pytest.raises(StorageFailed, match="restore it from a copy"):
        store.verify(ref)


def test_a_link_or_fifo_that_somebody_put_into_the_store_is_not_followed(store: FolderObjectStore) -> None:
    store.put_bytes("a", b"1")
    (store.root / "link").symlink_to("/etc/passwd")
    os.mkfifo(store.root / "fifo")
    (store.root / "line\nbreak").write_bytes(b"")
    assert [ref.key for ref in store.list("")] == ["a"]
    with pytest.raises(StorageFailed, match="symbolic links"):
        store.head("link")
    with pytest.raises(StorageFailed, match="no regular file"):
        store.put_bytes("fifo", b"1")


def test_a_file_and_a_folder_cannot_share_a_name(store: FolderObjectStore) -> None:
    store.put_bytes("runs/1/a", b"1")
    with pytest.raises(Conflict, match="a folder has that name"):
        store.put_bytes("runs/1", b"1")
    with pytest.raises(Conflict, match="below a stored file"):
        store.put_bytes("runs/1/a/b", b"1")
    assert store.head("runs/1") is None
    assert store.head("runs/1/a/b") is None


def test_a_file_system_without_hard_links_stores_as_well(
    store: FolderObjectStore, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    ref = store.stage(source, "a").commit()
    store.verify(ref)
    with pytest.raises(Conflict):
        store.put_bytes("a", b"other")
    store.verify(ref)
    assert temps(store.root) == []


def test_the_reaper_leaves_a_living_writer_alone(store: FolderObjectStore, source: Path) -> None:
    staged = store.stage(source, "a")
    assert store.reap(older_than=0) == 0
    ref = staged.commit()
    store.verify(ref)


def test_the_thousandth_small_file_costs_as_much_as_the_first(
    store: FolderObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("fsync", "scandir", "listdir", "open"):
        real: Callable[..., object] = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, _name=name, _real=real, **k: (calls.append(_name), _real(*a, **k))[1])
    costs = []
    for n in range(1000):
        calls.clear()
        store.put_bytes(f"small/{n:04}", b"%d" % n)
        costs.append(sorted(calls))
    assert costs[1] == costs[-1]
    assert costs[-1].count("fsync") == 2
    assert "scandir" not in costs[-1]


RACE = """
    import os, sys, time
    from pathlib import Path
    from labrelay.model.errors import Conflict
    from labrelay.stores import folder
    root, content, links = sys.argv[1:]
    if links == "False":
        Path.hardlink_to = lambda self, target: os.link("/proc/self/nothing", "/proc/x")
        folder.NO_HARD_LINKS = {2}
    for line in sys.stdin:
        key, at = line.split()
        while time.monotonic_ns() < int(at):
            pass
        try:
            # A fresh store each time: nothing that one process remembers may be needed.
            print(folder.FolderObjectStore(Path(root)).put_bytes(key, content.encode()).sha256, flush=True)
        except Conflict:
            print("conflict", flush=True)
"""


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("links", [True, False])
def test_two_processes_storing_one_key_at_once(store: FolderObjectStore, same: bool, links: bool) -> None:
    contents = ("same", "same") if same else ("one", "another")
    commands = [[sys.executable, "-c", textwrap.dedent(RACE), str(store.root), text, str(links)] for text in contents]
    pipe = subprocess.PIPE
    racers = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1) for command in commands]
    for n in range(60):
        start = time.monotonic_ns() + 2_000_000  # the clock is the machine's, and both wait for one moment of it
        told = []
        for racer in racers:
            assert racer.stdin
            racer.stdin.write(f"k/{n} {start}\n")
        for racer in racers:
            assert racer.stdout
            told.append(racer.stdout.readline().strip())
        ref = store.head(f"k/{n}")
        assert ref is not None
        store.verify(ref)
        assert sorted(told) == sorted([ref.sha256, ref.sha256 if same else "conflict"])
    for racer in racers:
        racer.communicate(timeout=60)
        assert racer.returncode == 0
    assert temps(store.root) == []


def test_a_store_moved_to_another_disk_is_the_same_store(store: FolderObjectStore, tmp_path: Path) -> None:
    ref = store.put_bytes("d/a", b"1")
    moved = tmp_path / "moved"
    subprocess.run(["cp", "-r", store.root, moved], check=True)
    assert FolderObjectStore(moved).head("d/a") == ref


def test_the_sentence_for_a_read_only_disk_says_what_to_do() -> None:
    error = OSError(30, "Read-only file system")
    assert "remount" in durable.describe_os_error(error, "store a", Path("/x"))
