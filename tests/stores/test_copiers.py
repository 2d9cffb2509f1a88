"""Many small files go through copiers: the same as without, whatever becomes of those processes."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labrelay.model.errors import Conflict, StorageFailed
from labrelay.model.faults import faultpoint
from labrelay.stores import copier_child, copiers, folder_many
from labrelay.stores.folder import META, STAGING, FolderObjectStore
from labrelay.stores.many import put_many

Files = list[tuple[Path, str]]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    landing = tmp_path / "landing"
    landing.mkdir()
    paths = [landing / f"{number:03} µ.tif" for number in range(9)]
    for number, path in enumerate(paths):
        path.write_bytes(os.urandom(number * 1000))
    return [(path, f"runs/{path.name}") for path in paths]


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[copiers.Pool]:
    """Copiers of this test alone, who are asked from five files on."""
    own = copiers.Pool()
    monkeypatch.setattr(copiers, "POOL", own)
    monkeypatch.setattr(copiers, "WORTH", 5)
    yield own
    own.end()


@pytest.fixture
def store(tmp_path: Path) -> FolderObjectStore:
    return FolderObjectStore(tmp_path / "objects")


def names_given(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the files that this process names itself."""
    seen: list[str] = []

    def note(point: str) -> None:
        seen.append(point)
        faultpoint(point)

    monkeypatch.setattr(folder_many, "faultpoint", note)
    return seen


def check(store: FolderObjectStore, files: Files) -> None:
    refs = put_many(store, files)
    assert list(store.list("")) == refs
    for (source, key), ref in zip(files, refs, strict=True):
        stored = store.path_of(key)
        assert stored.read_bytes() == source.read_bytes()
        assert stat.S_IMODE(stored.stat().st_mode) == 0o444
        store.verify(ref)
    assert list((store.root / STAGING).iterdir()) == []


def test_files_that_a_copier_stored_are_as_any_others(
    store: FolderObjectStore, files: Files, pool: copiers.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_us = names_given(monkeypatch)
    check(store, files)
    assert len(pool) == 1, "it is kept for the next bundle"
    assert "store.one_named" not in by_us
    assert not (store.root / META).exists(), "their hashes are noted in them"
    check(store, files)
    assert by_us.count("store.one_named") == len(files), "what is there already is looked at here"


def test_few_files_start_no_process(store: FolderObjectStore, files: Files, pool: copiers.Pool) -> None:
    check(store, files[:4])
    assert len(pool) == 0


def until_gone(pid: int) -> None:
    """Wait until nothing is left of a process, not even its entry among the dead."""
    until = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert not Path(f"/proc/{pid}").exists()


def die_within_the_answer(request: dict[str, Any]) -> object:
    """Do what is asked, as far as files go, and tell of half of it."""
    if "folder" in request:
        copier_child.hold(request["folder"], request["sources"])
    return json.loads("[[1, ")


@pytest.mark.parametrize("which", ["killed", "dead within its answer", "not to be had"])
def test_a_copier_that_dies_or_cannot_be_started_costs_nothing_but_time(
    store: FolderObjectStore, files: Files, pool: copiers.Pool, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    if which == "not to be had":
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
    else:
        put_many(store, [(source, f"before/{key}") for source, key in files])
        with pool.one() as copier:
            if which == "killed":
                os.kill(copier.pid, signal.SIGKILL)
                until_gone(copier.pid)
            else:
                monkeypatch.setattr(copier, "ask", die_within_the_answer)
    by_us = names_given(monkeypatch)
    refs = put_many(store, files)
    assert [ref.key for ref in refs] == [key for _source, key in files]
    assert list((store.root / STAGING).iterdir()) == []
    assert "store.many_durable" in by_us
    for ref in refs:
        store.verify(ref)


def test_what_a_copier_cannot_read_is_told_in_the_same_sentence(
    store: FolderObjectStore, files: Files, pool: copiers.Pool
) -> None:
    files[7][0].unlink()
    files[7][0].symlink_to(files[6][0])
    with pytest.raises(StorageFailed, match=r"007 µ\.tif is a symbolic link"):
        put_many(store, files)
    files[2][0].unlink()
    os.mkfifo(files[2][0])
    with pytest.raises(StorageFailed, match=r"002 µ\.tif is no regular file"):
        put_many(store, files)
    assert list(store.list("")) == []
    assert list((store.root / STAGING).iterdir()) == []
    assert len(pool) == 1


def test_a_conflict_is_told_before_a_copier_names_any_file(
    store: FolderObjectStore, files: Files, pool: copiers.Pool
) -> None:
    there = store.put_bytes(files[-1][1], b"other")
    with pytest.raises(Conflict, match="stored with other content"):
        put_many(store, files)
    assert list(store.list("")) == [there]
    assert len(pool) == 1


def test_a_name_that_is_taken_meanwhile_ends_a_copiers_naming_there(tmp_path: Path, files: Files) -> None:
    held = copier_child.hold(str(tmp_path), [str(source) for source, _key in files])
    assert [size for _sha256, size, _noted in held] == [number * 1000 for number in range(9)]
    pairs = [(f"{tmp_path}/{number}", f"{tmp_path}/named-{min(number, 3)}") for number in range(5)]
    assert copier_child.name(pairs) == 4
    assert copier_child.name(pairs[4:]) == 0
    assert not Path(pairs[0][0]).exists()
    assert Path(pairs[4][0]).exists()


def test_a_file_that_changes_while_it_is_read_is_left_to_the_caller(
    tmp_path: Path, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = copier_child._write

    def grow(content: bytes, temp: str) -> copier_child.Held:
        if temp.endswith("/3"):  # within the time that a file system's clock stands still
            before = files[3][0].stat()
            files[3][0].write_bytes(content + b"grown")
            os.utime(files[3][0], ns=(before.st_atime_ns, before.st_mtime_ns))
        return write(content, temp)

    monkeypatch.setattr(copier_child, "_write", grow)
    assert len(copier_child.hold(str(tmp_path), [str(source) for source, _key in files])) == 3
    assert not (tmp_path / "3").exists()


def test_a_hash_is_noted_while_the_file_may_be_written_as_an_attribute_asks_of_all_but_root(
    tmp_path: Path, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[int] = []

    def note(handle: int, _sha256: str) -> bool:
        modes.append(stat.S_IMODE(os.fstat(handle).st_mode))
        return True

    monkeypatch.setattr(copier_child, "note", note)
    copier_child.hold(str(tmp_path), [str(files[0][0])])
    assert modes == [0o600]
    assert stat.S_IMODE((tmp_path / "0").stat().st_mode) == 0o444


def test_a_kept_copier_finds_files_from_where_its_master_stands_now(
    tmp_path: Path, pool: copiers.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("one", "two"):
        (tmp_path / place / "run").mkdir(parents=True)
        for number in range(6):
            (tmp_path / place / "run" / f"{number}.tif").write_text(f"{place} {number}")
        monkeypatch.chdir(tmp_path / place)
        relative = FolderObjectStore(Path("objects"))
        put_many(relative, [(Path("run") / f"{number}.tif", f"raw/{number}.tif") for number in range(6)])
    assert len(pool) == 1
    assert (tmp_path / "two/objects/raw/3.tif").read_text() == "two 3"


def test_a_copier_runs_nothing_that_lies_in_the_folder_where_its_master_stands(
    tmp_path: Path, pool: copiers.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hashlib.py").write_text("open('ran', 'w').close()\n")
    monkeypatch.chdir(tmp_path)
    with pool.one() as copier:
        assert copier.ask({"pairs": []}) == 0
    assert not (tmp_path / "ran").exists()


def test_of_a_copier_that_ended_without_work_nothing_is_left_and_another_follows(pool: copiers.Pool) -> None:
    with pool.one() as ended:
        os.kill(ended.pid, signal.SIGKILL)
    until_gone(ended.pid)
    with pool.one() as copier:
        assert copier.pid != ended.pid
        assert copier.ask({"pairs": []}) == 0


def test_a_copier_ends_with_its_master(tmp_path: Path) -> None:
    program = (
        "from labrelay.stores import copiers; c = copiers.Copier(); c.ask({'pairs': []}); print(c.pid, flush=True)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    until_gone(int(done.stdout))


def test_a_forked_process_has_none_of_its_parents_copiers(
    store: FolderObjectStore, files: Files, pool: copiers.Pool
) -> None:
    check(store, files)
    if not (child := os.fork()):
        os._exit(len(pool))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(pool) == 1


def test_a_copier_needs_nothing_but_the_standard_library() -> None:
    program = f"import sys; import {copier_child.__name__}; print(*{{n.split('.')[0] for n in sys.modules}})"
    command = [sys.executable, "-S", "-c", program]
    environment = {**os.environ, "PYTHONPATH": str(Path(copier_child.__file__).parents[2])}
    loaded = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
    assert {"labrelay", "hashlib"} <= set(loaded)
    assert set(loaded) <= set(sys.stdlib_module_names) | {"labrelay", "__main__"}
