"""Many small files on their way into a folder store: all are written, flushed at once, named, and flushed once more.

A bundle's bytes lie in a folder of its own in `.staging`, which is locked as long as its writer lives. No file gets its
name before the bytes of all are flushed, so that a power cut leaves no name with other bytes; and nobody is told that
they are stored before all names are flushed, with the folders that were made for them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from labrelay.model.faults import faultpoint
from labrelay.model.files import FileRef
from labrelay.stores import copiers
from labrelay.stores.durable import make_dirs, make_temp_dir, storage_errors
from labrelay.stores.flush import Flush, flushing
from labrelay.stores.hash_note import note
from labrelay.stores.many import refuse_other, refuse_twins
from labrelay.stores.source import open_source, read_through

if TYPE_CHECKING:
    from labrelay.stores.folder import FolderObjectStore


class FolderStagedMany:
    """Files in `.staging`, durable and seen by nobody; `commit` or `abort` ends it. Made by `hold_many`."""

    def __init__(
        self, store: FolderObjectStore, flush: Flush, held: Sequence[tuple[str, FileRef, bool]], owned: ExitStack
    ) -> None:
        self.refs = [ref for _temp, ref, _noted in held]
        self._store, self._flush, self._held, self._owned = store, flush, held, owned

    def commit(self) -> list[FileRef]:
        """Make all files visible under their keys; what is there with the same bytes stays.

        Raises:
            Conflict: Other bytes are there; told before any of the files is visible.
            StorageFailed: The disk did not take the names; the same call again finds those that it took.
        """
        with storage_errors(f"store {described(self.refs)}", self._store.root):
            refuse_twins(self.refs)
            # Text, as a path object for each of a hundred thousand files costs more than giving it its name.
            paths = [f"{self._store.root}/{ref.key}" for ref in self.refs]
            named = {path.rpartition("/")[0]: ref.key for path, ref in zip(paths, self.refs, strict=True)}
            folders = {Path(folder): key for folder, key in named.items()}
            made = self._store.make_folders(folders)
            self._name(paths)
            # Also when they were there: who put them may have died before this.
            self._flush.names({*folders, *(folder.parent for folder in made)}, len(self.refs))
            self._store.remember_folders(made)
            faultpoint("store.many_durable")
        self.abort()
        return self.refs

    def abort(self) -> None:
        """Drop the bytes; after `commit` it does nothing."""
        self._owned.close()

    def _name(self, paths: Sequence[str]) -> None:
        whole = all(noted for _temp, _ref, noted in self._held)
        first = copiers.name([(held[0], path) for held, path in zip(self._held, paths, strict=True)]) if whole else 0
        rest = list(zip(self._held[first:], paths[first:], strict=True))
        there = [self._there(path, ref) for (_temp, ref, _noted), path in rest]
        for ((_temp, ref, _noted), _path), found in zip(rest, there, strict=True):
            refuse_other(ref, found)
        for ((temp, ref, noted), path), found in zip(rest, there, strict=True):
            if found is None:
                self._store.give_name(temp, path, ref, noted=noted)
            faultpoint("store.one_named")

    def _there(self, path: str, ref: FileRef) -> FileRef | None:
        return self._store.head(ref.key) if os.path.lexists(path) else None


def hold_many(
    store: FolderObjectStore, files: Sequence[tuple[Path, str]], on_bytes: Callable[[int], None] | None
) -> FolderStagedMany:
    """Read each file once into `.staging` and flush them together.

    Raises:
        StorageFailed: A file changed, vanished or is no regular file, or the disk did not take them; nothing is left.
    """
    staging = store.staging
    with ExitStack() as owned, storage_errors(f"store {len(files)} files", store.root):
        make_dirs(staging)
        flush = owned.enter_context(flushing(store.root))
        folder, handle = make_temp_dir(staging)
        owned.callback(os.close, handle)
        owned.callback(_remove, folder)
        held = _held_by_a_copier(store, files, folder, on_bytes)
        for number, file in list(enumerate(files))[len(held) :]:
            # Under a name of its own, as a copier that was killed leaves some that it did not tell of.
            held.append(_hold(store, *file, f"{folder}/own-{number}", on_bytes))
        flush.files([temp for temp, _ref, _noted in held])
        faultpoint("store.many_staged")
        return FolderStagedMany(store, flush, held, owned.pop_all())


def described(refs: Sequence[FileRef]) -> str:
    """Return what a bundle is called in messages: its first file, and how many there are besides."""
    more = f" and {len(refs) - 1} more files" if len(refs) > 1 else ""
    return f"{refs[0].key}{more}" if refs else "no files"


def _held_by_a_copier(
    store: FolderObjectStore, files: Sequence[tuple[Path, str]], folder: Path, on_bytes: Callable[[int], None] | None
) -> list[tuple[str, FileRef, bool]]:
    """Return the first files as a copier holds them, up to one that it could not read or write; they may be none."""
    done = copiers.hold(folder, [source for source, _key in files])
    if on_bytes is not None:
        on_bytes(sum(size for _sha256, size, _noted in done))
    return [
        (f"{folder}/{number}", FileRef(storage=store.name, key=key, version=sha256, sha256=sha256, size=size), noted)
        for number, ((sha256, size, noted), (_source, key)) in enumerate(zip(done, files, strict=False))
    ]


def _hold(
    store: FolderObjectStore, source: Path, key: str, temp: str, on_bytes: Callable[[int], None] | None
) -> tuple[str, FileRef, bool]:
    """Read a file into `temp`; return that, what it will be, and whether its hash is noted in it."""
    handle = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open_source(source) as opened:
            sha256, size = read_through(opened, lambda chunk: _write(handle, chunk), (), on_bytes)
        noted = note(handle, sha256)
        os.fchmod(handle, 0o444)
    finally:
        os.close(handle)
    return temp, FileRef(storage=store.name, key=key, version=sha256, sha256=sha256, size=size), noted


def _write(handle: int, content: bytes) -> None:
    written = os.write(handle, content)
    while written < len(content):
        written += os.write(handle, content[written:])


def _remove(folder: Path) -> None:
    with suppress(OSError):
        shutil.rmtree(folder)
