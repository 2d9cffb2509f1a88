"""Durable writes: old or new, whole; locks that die with their holder; leftovers that are surely nobody's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from labrelay.model.errors import Busy, StorageFailed
from labrelay.stores.durable import (
    file_lock,
    free_bytes,
    human_bytes,
    make_dirs,
    open_temp,
    remove_stale_temps,
    write_atomic,
    write_json_atomic,
)

HOLD = """
import sys, time
from pathlib import Path
from labrelay.stores.durable import file_lock
with file_lock(Path(sys.argv[1]), "this home"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_json_file_is_canonical_and_its_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "state.json"
    write_json_atomic(path, {"b": 1, "a": "ü"})
    assert path.read_text(encoding="utf-8") == '{"a":"ü","b":1}\n'
    write_json_atomic(path, [])
    assert json.loads(path.read_text()) == []
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    write_json_atomic(path, 1)

    def fail(handle: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageFailed, match=f"write state.json in {tmp_path}: the disk reports an I/O error"):
        write_json_atomic(path, 2)
    assert path.read_text() == "1\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_flushes_the_file_before_its_name_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def log_fsync(handle: int) -> None:
        done.append("folder" if Path(f"/proc/self/fd/{handle}").is_dir() else "file")
        fsync(handle)

    def log_replace(self: Path, target: Path) -> Path:
        done.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", log_fsync)
    monkeypatch.setattr(Path, "replace", log_replace)
    write_atomic(tmp_path / "a", b"1")
    assert done == ["file", "rename", "folder"]


def test_a_missing_folder_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageFailed, match=r"write x in .*Not a directory"):
        write_json_atomic(tmp_path / "file" / "x", 1)


def test_a_held_lock_names_its_holder_and_ends_with_it(tmp_path: Path) -> None:
    lock = tmp_path / "run" / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, lock], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Busy, match=f"Process {holder.pid} is using this home"), file_lock(lock, "this home"):
            pytest.fail("two held it")
        started = time.monotonic()
        with pytest.raises(Busy), file_lock(lock, "this home", timeout=0.2):
            pytest.fail("two held it")
        assert time.monotonic() - started >= 0.2
        holder.kill()
        with file_lock(lock, "this home", timeout=10):
            assert lock.read_text() == f"{os.getpid()}\n"
    with file_lock(lock, "this home"):
        pass


def test_two_locks_in_one_process_exclude_each_other(tmp_path: Path) -> None:
    with file_lock(tmp_path / "lock", "this home"), pytest.raises(Busy), file_lock(tmp_path / "lock", "this home"):
        pytest.fail("two held it")


def test_the_reaper_takes_only_what_is_ours_old_and_dead(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    make_dirs(folder)
    dead, handle = open_temp(folder)
    handle.close()
    alive, held = open_temp(folder)
    young, handle = open_temp(folder)
    handle.close()
    foreign = folder / ".tmp-notours"
    foreign.write_bytes(b"")
    for path in (dead, alive, foreign):
        os.utime(path, (1, 1))
    assert remove_stale_temps(tmp_path, older_than=60) == 1
    assert sorted(folder.iterdir()) == sorted([alive, young, foreign])
    held.close()
    assert remove_stale_temps(tmp_path, older_than=-1) == 2
    assert remove_stale_temps(tmp_path / "nowhere") == 0


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (3_200_000_000, "3.2 GB"), (5 * 10**15, "5000.0 TB")]
)
def test_byte_counts_read_well(count: int, text: str) -> None:
    assert human_bytes(count) == text


def test_free_space_is_told_for_folders_that_are_not_made_yet(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "not" / "yet") > 0


def test_folders_that_killed_writers_left_are_removed_with_what_is_in_them(tmp_path: Path) -> None:
    old, young = tmp_path / "deep" / f".tmp-{'a' * 16}", tmp_path / f".tmp-{'b' * 16}"
    for folder in (old, young):
        folder.mkdir(parents=True)
        (folder / "half.txt").write_text("half")
    os.utime(old, (0, 0))
    assert remove_stale_temps(tmp_path, deep=False) == 0
    assert remove_stale_temps(tmp_path) == 1
    assert not old.exists()
    assert young.exists()
