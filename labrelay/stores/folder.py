"""An object store on a folder: the key is the path, put once, never replaced, readable by any tool.

Layout below the root: `<key>` is the object (mode 0444), `.staging/` holds what nobody can see yet, and `.meta/`
remembers the SHA-256 of objects on which it cannot be noted (see `digests`). Both need no care: `reap` empties the
first, the second is made again.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

from labrelay.model.errors import Conflict, StorageFailed
from labrelay.model.faults import faultpoint
from labrelay.model.files import FileRef
from labrelay.stores.digests import Digests, hash_open_file
from labrelay.stores.durable import (
    GRACE_SECONDS,
    file_lock,
    free_bytes,
    fsync_dir,
    human_bytes,
    make_dirs,
    open_temp,
    remove_stale_temps,
    storage_errors,
    write_all,
)
from labrelay.stores.folder_many import FolderStagedMany, hold_many
from labrelay.stores.hash_note import note
from labrelay.stores.keys import checked_key, is_key_part, refuse_no_key
from labrelay.stores.many import refuse_other
from labrelay.stores.ports import Watcher
from labrelay.stores.source import open_source, read_through

StrPath = str | Path
STAGING, META = ".staging", ".meta"
NO_HARD_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS})


class FolderObjectStore:
    """`ObjectStore` on a folder of one file system.

    Args:
        root: The folder; made at the first write.
        name: The store's name in this home, which every `FileRef` carries.
    """

    bundle_bytes = 256 << 20  # which lie on the disk and not in memory

    def __init__(self, root: Path, name: str = "objects") -> None:
        self.name = name
        self.root = root.absolute()
        self._digests = Digests(self.root / META)
        self._durable: set[Path] = set()

    def stage(
        self,
        source: Path,
        key: str,
        watchers: Sequence[Watcher] = (),
        on_bytes: Callable[[int], None] | None = None,
    ) -> FolderStaged:
        """Read `source` once into `.staging`, feeding hash and watchers; see `ObjectStore.stage`.

        Args:
            source: A regular file; a link is refused.
            key: Where it will lie.
            watchers: Closed before this returns, also after an error.
            on_bytes: Told the bytes of each chunk as it is read.

        Raises:
            StorageFailed: The file changed, vanished or is no regular file, or it does not fit on the disk.
            UsageError: `key` is no key.
        """
        with ExitStack() as stack:
            for watcher in watchers:
                stack.callback(watcher.close)
            self.path_of(key)
            opened = stack.enter_context(open_source(source))
            self._refuse_without_room(key, opened.before.st_size)
            return self._hold(key, lambda write: read_through(opened, write, watchers, on_bytes))

    def stage_many(
        self, files: Sequence[tuple[Path, str]], on_bytes: Callable[[int], None] | None = None
    ) -> FolderStagedMany:
        """Read small files once each into `.staging`, and flush them together; see `ObjectStore.stage_many`.

        Raises:
            StorageFailed: A file changed, vanished or is no regular file, or they do not fit on the disk.
            UsageError: A key is no key.
        """
        for _source, key in files:
            refuse_no_key(key)
        return hold_many(self, files, on_bytes)

    def put_bytes(self, key: str, content: bytes) -> FileRef:
        """Store a small object; the same content again changes nothing, other content raises `Conflict`."""
        self.path_of(key)

        def give(write: Callable[[bytes], None]) -> tuple[str, int]:
            write(content)
            return hashlib.sha256(content).hexdigest(), len(content)

        self._refuse_without_room(key, len(content))
        return self._hold(key, give).commit()

    def head(self, key: str) -> FileRef | None:
        """Return what is stored under `key`, or None; constant cost while `.meta` knows the file.

        Raises:
            StorageFailed: Something that is no object stands there, or it cannot be read.
        """
        with storage_errors(f"look up {key}", self.root):
            handle = self._open(key)
            if handle is None:
                return None
            try:
                return self._describe(key, handle)
            finally:
                os.close(handle)

    def open(self, ref: FileRef) -> BinaryIO:
        """Open exactly this version for reading.

        Raises:
            StorageFailed: It is gone, or other bytes lie there now.
        """
        with storage_errors(f"open {ref.key}", self.root):
            handle = self._open(ref.key)
            if handle is None:
                raise StorageFailed(self._gone(ref))
            opened = os.fdopen(handle, "rb")
            try:
                self._refuse_other_version(ref, self._describe(ref.key, handle))
            except BaseException:
                opened.close()
                raise
            return opened

    def verify(self, ref: FileRef) -> None:
        """Read the bytes again and compare their hash, whatever `.meta` remembers.

        Raises:
            StorageFailed: They are gone, unreadable or not what was stored.
        """
        with self.open(ref) as opened, storage_errors(f"read {ref.key}", self.root):
            again = hash_open_file(opened.fileno())
        if again != ref.sha256:
            raise StorageFailed(
                f"{ref.key} in {self.root} reads as sha256 {again[:12]}… but was stored as {ref.sha256[:12]}…: "
                "restore it from a copy."
            )

    def local_path(self, ref: FileRef) -> Path | None:
        """Return the path of this version for a local tool to read.

        Raises:
            StorageFailed: It is gone, or other bytes lie there now.
        """
        found = self.head(ref.key)
        if found is None:
            raise StorageFailed(self._gone(ref))
        self._refuse_other_version(ref, found)
        return self.path_of(ref.key)

    def uri(self, ref: FileRef) -> str:
        """Return the `file://` URI."""
        return self.path_of(ref.key).as_uri()

    def list(self, prefix: str = "") -> Iterator[FileRef]:
        """Yield what lies below the folder `prefix` (a last `/` may be left out), in the byte order of the keys."""
        below = prefix.rstrip("/")
        yield from self._walk(self.path_of(below) if below else self.root, f"{below}/" if below else "")

    def reap(self, older_than: float = GRACE_SECONDS) -> int:
        """Remove what killed processes left in `.staging` and `.meta`; return how many files."""
        return sum(remove_stale_temps(self.root / part, older_than) for part in (STAGING, META))

    # What follows is between the store and its staged files.

    def publish(self, temp: Path, ref: FileRef, *, noted: bool) -> FileRef:
        """Give the held bytes their name, or find that the same bytes have it already; `temp` stays.

        Raises:
            Conflict: Other bytes, or a folder, are there.
            StorageFailed: The disk did not take the name.
        """
        path = self.path_of(ref.key)
        with storage_errors(f"store {ref.key}", self.root):
            for made in self.make_folders({path.parent: ref.key}):
                fsync_dir(made.parent)
                self._durable.add(made)
            there = self.head(ref.key)
            if there is None:
                self.give_name(temp, path, ref, noted=noted)
            else:
                refuse_other(ref, there)
            faultpoint("store.linked")
            # Also when it was there: who put it may have died before this.
            fsync_dir(path.parent)
            faultpoint("store.durable")
        return ref

    def give_name(self, temp: StrPath, path: StrPath, ref: FileRef, *, noted: bool) -> None:
        """Link the held bytes under a key where nothing was a moment ago; `temp` stays.

        Args:
            temp: The held bytes.
            path: The key's.
            ref: What they are.
            noted: Their hash is remembered in the file; else it is now.

        Raises:
            Conflict: Other bytes, or a folder, are there.
            OSError: The disk did not take it.
        """
        if not noted:
            self._digests.remember(ref.key, ref.sha256, os.lstat(temp))
        faultpoint("store.meta_written")
        if not self._name_once(temp, path):
            refuse_other(ref, self._what_came_first(ref.key, Path(path)))

    def make_folders(self, wanted: Mapping[Path, str]) -> tuple[Path, ...]:
        """Make folders (each with a key that lies in it); return those whose own names are not known to be durable.

        Raises:
            Conflict: A stored file has the name of one of them.
        """
        missing: dict[Path, None] = {}
        for folder, key in wanted.items():
            if folder in self._durable:
                continue
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError):
                message = f"{key} cannot be stored below a stored file of the same name; use another key."
                raise Conflict(message) from None
            while folder != self.root.parent and folder not in self._durable:
                missing.setdefault(folder)
                folder = folder.parent
        return tuple(missing)

    def remember_folders(self, made: Iterable[Path]) -> None:
        """Take note that the names of these folders are durable."""
        self._durable.update(made)

    @property
    def staging(self) -> Path:
        """Where bytes lie that nobody can see yet."""
        return self.root / STAGING

    def _hold(self, key: str, fill: Callable[[Callable[[bytes], None]], tuple[str, int]]) -> FolderStaged:
        staging = self.staging
        with storage_errors(f"store {key}", self.root):
            make_dirs(staging)
            temp, handle = open_temp(staging)
            try:
                sha256, size = fill(lambda chunk: write_all(handle, chunk))
                noted = note(handle.fileno(), sha256)
                os.fchmod(handle.fileno(), 0o444)
                os.fsync(handle.fileno())
                faultpoint("store.staged")
            except BaseException:
                handle.close()
                temp.unlink(missing_ok=True)
                raise
        ref = FileRef(storage=self.name, key=key, version=sha256, sha256=sha256, size=size)
        return FolderStaged(self, temp, handle, ref, noted=noted)

    def path_of(self, key: str) -> Path:
        """Return where the key's object lies."""
        return self.root / checked_key(key)

    def _refuse_without_room(self, key: str, size: int) -> None:
        free = free_bytes(self.root)
        if size > free:
            raise StorageFailed(
                f"{key} needs {human_bytes(size)} but {self.root} has {human_bytes(free)} free; "
                "make room, then the same command goes on where it stopped."
            )

    def _name_once(self, temp: StrPath, path: StrPath) -> bool:
        """Link `temp` as `path`; False when the name is taken."""
        try:
            os.link(temp, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in NO_HARD_LINKS:
                raise
            return self._rename_once(temp, path)
        return True

    def _rename_once(self, temp: StrPath, path: StrPath) -> bool:
        # Without hard links every process comes this way, so a lock makes look and rename one act.
        with file_lock(self.root / STAGING / "lock", f"the store {self.root}", timeout=60):
            if os.path.lexists(path):
                return False
            Path(temp).rename(path)
        return True

    def _what_came_first(self, key: str, path: Path) -> FileRef:
        there = self.head(key)
        if there is None:
            kind = "a folder" if path.is_dir() else "something that comes and goes"
            raise Conflict(f"{key} cannot be stored in {self.root}: {kind} has that name; use another key.")
        return there

    def _open(self, key: str) -> int | None:
        """Return a handle of what has the key's name, None when nothing or a folder has it."""
        try:
            handle = os.open(self.path_of(key), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        mode = os.fstat(handle).st_mode
        if stat.S_ISREG(mode):
            return handle
        os.close(handle)
        if stat.S_ISDIR(mode):
            return None
        raise StorageFailed(f"{key} in {self.root} is no regular file; somebody put it there: move it away.")

    def _describe(self, key: str, handle: int) -> FileRef:
        sha256 = self._digests.of(key, handle)
        size = os.fstat(handle).st_size
        return FileRef(storage=self.name, key=key, version=sha256, sha256=sha256, size=size)

    def _refuse_other_version(self, ref: FileRef, found: FileRef) -> None:
        if found != ref:
            raise StorageFailed(
                f"{ref.key} in {self.root} is not the file that was stored (sha256 {found.sha256[:12]}…, "
                f"recorded {ref.sha256[:12]}…); restore it from a copy."
            )

    def _gone(self, ref: FileRef) -> str:
        return (
            f"{ref.key} is not in {self.root} any more; restore it from a copy, and see with `labrelay verify --all "
            "--inputs` what else is missing."
        )

    def _walk(self, folder: Path, prefix: str) -> Iterator[FileRef]:
        with storage_errors(f"list {prefix or 'everything'}", self.root):
            try:
                entries = [e for e in os.scandir(folder) if is_key_part(e.name)]
            except (FileNotFoundError, NotADirectoryError):
                return
            # A folder sorts as its keys do, with the separator: `a-b` comes before `a/b`.
            entries.sort(key=lambda e: os.fsencode(e.name) + (b"/" if e.is_dir(follow_symlinks=False) else b""))
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(Path(entry.path), f"{prefix}{entry.name}/")
            elif entry.is_file(follow_symlinks=False) and (ref := self.head(prefix + entry.name)) is not None:
                yield ref


class FolderStaged:
    """Bytes in `.staging`, durable, locked by this process and seen by nobody; `commit` or `abort` ends it.

    Attributes:
        ref: What the file will be when it is committed.
    """

    def __init__(self, store: FolderObjectStore, temp: Path, handle: BinaryIO, ref: FileRef, *, noted: bool) -> None:
        self.ref = ref
        self._store, self._temp, self._handle, self._noted = store, temp, handle, noted
        self._committed = False

    def commit(self) -> FileRef:
        """Make the file visible under its key; the same bytes there already: nothing is written.

        Raises:
            Conflict: Other bytes are there; stored files are never replaced.
            StorageFailed: The disk did not take it; nothing is left of it.
        """
        if not self._committed:
            try:
                self._store.publish(self._temp, self.ref, noted=self._noted)
                self._committed = True
            finally:
                self.abort()
        return self.ref

    def abort(self) -> None:
        """Drop the bytes; after `commit` it does nothing."""
        with suppress(OSError):
            self._temp.unlink(missing_ok=True)
        self._handle.close()
