"""Whole copies of files, into the read store from outside and out of it: hashed on the way, durable, then named."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from labrelay.model.errors import Conflict, StorageFailed
from labrelay.model.faults import faultpoint
from labrelay.stores.durable import fsync_dir, make_dirs, open_temp, storage_errors, write_all
from labrelay.stores.source import open_source, read_through

READ_ONLY, PLAIN = 0o444, 0o644


def copy_file(
    source: Path, target: Path, sha256: str, mode: int = PLAIN, on_bytes: Callable[[int], None] | None = None
) -> None:
    """Copy a file; the same bytes there already stay, other ones are never replaced.

    Args:
        source: A regular file.
        target: Its folders are made.
        sha256: Of the bytes that are meant.
        mode: The target's.
        on_bytes: Told the bytes of each chunk.

    Raises:
        Conflict: Other bytes lie there.
        StorageFailed: The source holds other bytes than meant, or the disk did not take or give them.
    """
    if target.exists():
        if _sha256(target) != sha256:
            raise Conflict(f"{target} is there and holds other bytes; name another folder.")
        return
    with storage_errors(f"copy {source.name}", target.parent):
        make_dirs(target.parent)
        temp, handle = open_temp(target.parent)
        try:
            with handle, open_source(source) as opened:
                found, _size = read_through(opened, lambda chunk: write_all(handle, chunk), (), on_bytes)
                os.fchmod(handle.fileno(), mode)
                os.fsync(handle.fileno())
            if found != sha256:
                raise StorageFailed(f"{source} does not hold the bytes that it should; check it, then repeat.")
            temp.replace(target)
            faultpoint("reads.copied")
            fsync_dir(target.parent)
        finally:
            temp.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with open_source(path) as opened:
        return read_through(opened, lambda _chunk: None, ())[0]
