"""A file from outside, read once: hash, copy and watchers see the same bytes of the same open file.

Nothing is looked up twice by name, so nobody can put another file there between the check and the read. Links are not
followed and a FIFO does not hang us.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from labrelay.model.errors import StorageFailed
from labrelay.stores.durable import describe_os_error
from labrelay.stores.ports import Watcher

CHUNK = 2 << 20


@dataclass(frozen=True)
class OpenSource:
    """An open regular file and what it looked like when it was opened."""

    path: Path
    handle: int
    before: os.stat_result


@contextmanager
def open_source(path: Path) -> Iterator[OpenSource]:
    """Open `path` for one pass of reading.

    Raises:
        StorageFailed: It is absent, a link, no regular file, or not readable for us.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise StorageFailed(_why_not_opened(path, error)) from error
    try:
        before = os.fstat(handle)
        if not stat.S_ISREG(before.st_mode):
            raise StorageFailed(f"{path} is no regular file; only plain files are stored, so remove or replace it.")
        yield OpenSource(path, handle, before)
    finally:
        os.close(handle)


def _why_not_opened(path: Path, error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return f"{path} is a symbolic link; links are not followed, so put the file itself there."
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"{path} is not there (any more); when it is back, repeat the command."
    if error.errno == errno.ENXIO:
        return f"{path} is no regular file; only plain files are stored, so remove or replace it."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{path} may not be read by this user; grant read access, then repeat the command."
    return f"{path} could not be opened ({error.strerror}); when that is settled, repeat the command."


def read_through(
    source: OpenSource,
    write: Callable[[bytes], None],
    watchers: Sequence[Watcher],
    on_bytes: Callable[[int], None] | None = None,
) -> tuple[str, int]:
    """Read the source to its end, giving each chunk to the hash, to `write` and to the watchers.

    Args:
        source: From `open_source`, at its beginning.
        write: Takes each chunk.
        watchers: Fed each chunk in order.
        on_bytes: Told the number of bytes of each chunk.

    Returns:
        SHA-256 as hexadecimal digits, and the size in bytes.

    Raises:
        StorageFailed: Reading failed, or the file is not the one that was opened any more.
    """
    hasher, size = hashlib.sha256(), 0
    while chunk := _read(source):
        hasher.update(chunk)
        write(chunk)
        for watcher in watchers:
            watcher.feed(chunk)
        size += len(chunk)
        if on_bytes is not None:
            on_bytes(len(chunk))
    _refuse_if_changed(source, size)
    return hasher.hexdigest(), size


def _read(source: OpenSource) -> bytes:
    try:
        return os.read(source.handle, CHUNK)
    except OSError as error:
        told = describe_os_error(error, f"read {source.path.name}", source.path.parent)
        raise StorageFailed(told) from error


def _refuse_if_changed(source: OpenSource, size: int) -> None:
    after = os.fstat(source.handle)
    then = (source.before.st_size, source.before.st_mtime_ns)
    if (after.st_size, after.st_mtime_ns) != then or size != after.st_size:
        raise StorageFailed(f"{source.path} changed while it was read; nothing was stored of it: repeat when it rests.")
    try:
        named = source.path.lstat()
    except OSError:
        named = None
    if named is None or (named.st_ino, named.st_dev) != (after.st_ino, after.st_dev):
        raise StorageFailed(f"{source.path} was moved or replaced while it was read; nothing was stored: repeat it.")
