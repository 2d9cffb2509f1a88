"""Many files, or many names, made durable at once: by one flush of the file system where that can be trusted.

A flush of each file costs a commit of the journal and a flush of the drive, which is most of what storing a small file
takes. `syncfs` does it for all in one go. It is trusted on Linux since 5.8, which tells of every failed write since the
handle was opened, and on file systems whose code does what it says; elsewhere each file is flushed by itself.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from labrelay.stores.durable import fsync_dir, fsync_file

TELLS_OF_FAILURES = (5, 8)  # Linux: before it, syncfs says that all is well whatever happened to the bytes
TRUSTED = frozenset({"ext4", "xfs"})  # FUSE answers syncfs without asking its daemon, for one
FEW = 16  # up to here each by itself, as a flush of all takes other programs' unwritten bytes along
THREADS = 8  # flushes that wait at once share a commit of the journal


StrPath = str | Path


class Flush:
    """Flushes what is written below a folder from now on; opened before the first write, it misses no failure."""

    def __init__(self, root: Path, handle: int | None) -> None:
        self._root, self._handle = root, handle

    def files(self, paths: Collection[StrPath]) -> None:
        """Make the bytes of these finished files durable.

        Raises:
            OSError: The disk did not take them.
        """
        self._all(paths, fsync_file)

    def names(self, folders: Collection[StrPath], count: int) -> None:
        """Make the names in these folders durable; `count` is how many are new.

        Raises:
            OSError: The disk did not take them.
        """
        self._all(folders, fsync_dir, count)

    def _all(self, paths: Collection[StrPath], each: Callable[[Path], None], count: int | None = None) -> None:
        if self._handle is not None and (len(paths) if count is None else count) > FEW:
            _syncfs(self._handle)
            return
        with ThreadPoolExecutor(min(THREADS, max(1, len(paths))), thread_name_prefix="flush") as pool:
            for _done in pool.map(each, map(Path, paths)):
                pass


@contextmanager
def flushing(root: Path) -> Iterator[Flush]:
    """Open a flush for what is written below `root`, a folder that is there.

    Raises:
        OSError: The folder cannot be opened.
    """
    handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if _trusted(root) else None
    try:
        yield Flush(root, handle)
    finally:
        if handle is not None:
            os.close(handle)


def _syncfs(handle: int) -> None:
    if _libc().syncfs(handle) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _trusted(root: Path) -> bool:
    return hasattr(_libc(), "syncfs") and kernel_tells(os.uname()) and file_system(root) in TRUSTED


def kernel_tells(system: os.uname_result) -> bool:
    """Tell whether `syncfs` of this system reports writes that failed."""
    version = re.match(r"(\d+)\.(\d+)", system.release)
    return system.sysname == "Linux" and version is not None and tuple(map(int, version.groups())) >= TELLS_OF_FAILURES


def file_system(folder: Path) -> str | None:
    """Return the kind of file system that a folder lies on, such as `ext4`; None where the system does not tell."""
    try:
        table = Path("/proc/self/mountinfo").read_text(errors="replace")
        device = folder.stat().st_dev
    except OSError:
        return None
    return kind_of(table, f"{os.major(device)}:{os.minor(device)}")


def kind_of(table: str, device: str) -> str | None:
    """Return the kind of the file system on `device` (major:minor) as a table of proc_pid_mountinfo(5) has it."""
    for line in table.splitlines():
        before, _dash, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) > 2 and fields[2] == device:
            return after.split(" ", 1)[0] or None
    return None


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
