"""The one place for durable writes: what was reported as written is there after a kill or a power cut.

A file is written beside its final name, fsynced, renamed, and then its folder is fsynced, because a rename lives in the
folder. Temporary files hold a lock as long as their writer lives, so that `remove_stale_temps` can tell a dead writer's
leftover from a slow writer's work.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from labrelay.model.canonical import JSONValue, canonical_json
from labrelay.model.errors import Busy, StorageFailed
from labrelay.model.faults import faultpoint

TEMP_NAME = re.compile(r"\.tmp-[0-9a-f]{16}\Z")
# A temp is created first and locked a moment later; the reaper leaves that moment alone.
GRACE_SECONDS = 60.0
POLL_SECONDS = 0.05
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def storage_errors(action: str, where: Path) -> Iterator[None]:
    """Turn an `OSError` of the block into `StorageFailed` with what, where, how much is free and what next.

    Args:
        action: What was tried, as a verb phrase: `store runs/a.fastq.gz`.
        where: A path on the file system concerned; it need not exist.
    """
    try:
        yield
    except OSError as error:
        raise StorageFailed(describe_os_error(error, action, where)) from error


def describe_os_error(error: OSError, action: str, where: Path) -> str:
    """Return the sentence for an `OSError`: what could not be done, where, why, and what to do next."""
    reason = error.strerror or type(error).__name__
    if error.errno in FULL:
        why = f"the disk or quota is full ({reason}, {human_bytes(free_bytes(where))} free)"
        return f"Could not {action} in {where}: {why}; make room, then the same command goes on where it stopped."
    if error.errno == errno.EROFS:
        return f"Could not {action} in {where}: the file system is read-only; remount it, then repeat the command."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"Could not {action} in {where}: permission denied; grant this user access, then repeat the command."
    if error.errno == errno.EIO:
        return f"Could not {action} in {where}: the disk reports an I/O error; check it, then repeat the command."
    return f"Could not {action} in {where}: {reason}; when that is settled, repeat the command."


def free_bytes(where: Path) -> int:
    """Return the bytes that this user may still write on the file system of `where` (or of its nearest parent)."""
    for folder in (where, *where.parents):
        with suppress(OSError):
            stat = os.statvfs(folder)
            return stat.f_bavail * stat.f_frsize
    return 0


def human_bytes(count: int) -> str:
    """Return a byte count for people: `512 B`, `3.2 GB` (powers of 1,000)."""
    size, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"


def fsync_dir(folder: Path) -> None:
    """Make the names in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_file(path: Path) -> None:
    """Make the bytes of a finished file durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_tree(folder: Path) -> None:
    """Make all files below `folder` durable, and their names."""
    for inner, _, names in os.walk(folder):
        for name in names:
            fsync_file(Path(inner, name))
        fsync_dir(Path(inner))


def make_dirs(folder: Path) -> None:
    """Create `folder` and its parents, each made durable in its own parent; existing ones cost nothing."""
    if folder.is_dir():
        return
    make_dirs(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir()
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    fsync_dir(folder.parent)


def open_temp(folder: Path) -> tuple[Path, BinaryIO]:
    """Create and lock an empty temporary file in `folder`; return its path and the handle that holds the lock."""
    path = folder / f".tmp-{secrets.token_hex(8)}"
    handle = path.open("xb", buffering=0)
    # A file system without locks leaves the reaper the age alone to judge by.
    with suppress(OSError):
        _try_lock(handle.fileno())
    return path, handle


def make_temp_dir(folder: Path) -> tuple[Path, int]:
    """Create and lock a temporary folder in `folder`; return its path and the handle that holds the lock."""
    path = folder / f".tmp-{secrets.token_hex(8)}"
    path.mkdir()
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with suppress(OSError):
        _try_lock(handle)
    return path, handle


def write_atomic(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write `content` under `path`, replacing what is there: after a kill either the old or the new is there, whole.

    Args:
        path: Its folder exists.
        content: The whole file.
        durable: False leaves the flush to the system, for what can be derived again.

    Raises:
        OSError: Nothing was changed; `storage_errors` makes a sentence of it.
    """
    temp, handle = open_temp(path.parent)
    try:
        with handle:
            write_all(handle, content)
            if durable:
                os.fsync(handle.fileno())
        faultpoint("durable.written")
        temp.replace(path)
    except BaseException:
        temp.unlink(missing_ok=True)
        raise
    faultpoint("durable.named")
    if durable:
        fsync_dir(path.parent)


def write_json_atomic(path: Path, value: JSONValue) -> None:
    """Write `value` as canonical JSON with a line end by `write_atomic`; missing folders are made.

    Raises:
        StorageFailed: The disk did not take it; what was there before is there still.
    """
    with storage_errors(f"write {path.name}", path.parent):
        make_dirs(path.parent)
        write_atomic(path, (canonical_json(value) + "\n").encode())


def write_all(handle: BinaryIO, content: bytes) -> None:
    """Write every byte to an unbuffered handle, which may take less than it is given."""
    view = memoryview(content)
    while view:
        view = view[handle.write(view) :]


@contextmanager
def file_lock(path: Path, what: str, timeout: float = 0.0) -> Iterator[None]:
    """Hold an exclusive lock for the block; the system frees it when the process dies, however it dies.

    The lock file stays: removing it would let two processes lock two files of one name.

    Args:
        path: The lock file; it and its folders are made.
        what: What is locked, as a noun phrase for the message: `this home`.
        timeout: Seconds to wait for another holder.

    Raises:
        Busy: Somebody else holds it; the sentence names that process.
    """
    with storage_errors(f"lock {what}", path.parent):
        make_dirs(path.parent)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _wait_for_lock(handle, path, what, timeout)
        yield
    finally:
        os.close(handle)


def _wait_for_lock(handle: int, path: Path, what: str, timeout: float) -> None:
    until = time.monotonic() + timeout
    with storage_errors(f"lock {what}", path.parent):
        while not _try_lock(handle):
            if time.monotonic() >= until:
                holder = os.pread(handle, 20, 0).decode(errors="replace").strip() or "unknown"
                raise Busy(f"Process {holder} is using {what} ({path}); wait for it to end, then repeat the command.")
            time.sleep(POLL_SECONDS)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)


def remove_stale_temps(root: Path, older_than: float = GRACE_SECONDS, *, deep: bool = True) -> int:
    """Remove what killed writers left below `root`: our temporary files and folders without a living owner.

    Args:
        root: Searched with all its folders; links are not followed.
        older_than: Seconds since the last write; younger files stay.
        deep: False searches `root` itself only.

    Returns:
        How many were removed.
    """
    limit, removed = time.time() - older_than, 0
    for folder, folders, names in os.walk(root):
        for name in filter(TEMP_NAME.match, names):
            removed += _remove_if_dead(Path(folder, name), limit)
        for name in filter(TEMP_NAME.match, tuple(folders)):
            folders.remove(name)
            removed += _remove_folder(Path(folder, name), limit)
        if not deep:
            break
    return removed


def _remove_folder(path: Path, limit: float) -> bool:
    # What holds no lock is a folder that something is unpacked into, which takes far less than the grace time.
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        if os.fstat(handle).st_mtime > limit or not _try_lock(handle):
            return False
        shutil.rmtree(path)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def _remove_if_dead(path: Path, limit: float) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        if os.fstat(handle).st_mtime > limit or not _try_lock(handle):
            return False
        path.unlink(missing_ok=True)
        return True
    except OSError:
        return False
    finally:
        os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
