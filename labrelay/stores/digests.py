"""The SHA-256 that a folder store remembers of each object, so that asking for it need not read the bytes.

Where the file system keeps attributes, as those of Linux do, it is noted in one of the file itself; else in an entry, a
small file beside, of which each takes as long to make as the object. Both are believed only while inode, size and
modification time of the object are those they were written for. They are written before the object gets its name, and
need no flush: what is missing, torn or about another file (a kill, a power cut, two processes storing one key, a store
copied to a new disk) costs one pass of hashing and an entry. So no order of kills can make it tell a wrong hash.
"""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from labrelay.model.problem import Frozen
from labrelay.stores.durable import write_atomic
from labrelay.stores.hash_note import noted

NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
log = logging.getLogger(__name__)


class _Entry(Frozen):
    key: str
    sha256: str
    size: int
    inode: int
    mtime_ns: int


class Digests:
    """A folder with one small JSON file a key, named by the key's digest so that any key fits.

    Args:
        root: The folder; made at the first write.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._made: set[Path] = set()

    def of(self, key: str, handle: int) -> str:
        """Return the SHA-256 of the open file that lies under `key`: remembered, else computed and remembered.

        Raises:
            OSError: The file cannot be read.
        """
        found = os.fstat(handle)
        if (in_the_file := noted(handle, found)) is not None:
            return in_the_file
        entry = self._recall(key)
        if entry is not None and entry == _entry(key, entry.sha256, found):
            return entry.sha256
        log.info("hashing %s again, since this file of it is not known", key)
        sha256 = hash_open_file(handle)
        # A store on a read-only disk can be read, each time at this cost.
        with suppress(OSError):
            self.remember(key, sha256, found)
        return sha256

    def remember(self, key: str, sha256: str, found: os.stat_result) -> None:
        """Remember the hash of the file that `found` is about.

        Raises:
            OSError: It could not be written.
        """
        path, content = self._path(key), _entry(key, sha256, found).model_dump_json().encode()
        try:
            handle = self._create(path)
        except FileExistsError:
            write_atomic(path, content, durable=False)
            return
        try:
            # A disk that takes less than all of so few bytes is full, and half an entry is as good as none.
            os.write(handle, content)
        finally:
            os.close(handle)

    def _create(self, path: Path) -> int:
        """Open a new entry, of which nobody can have asked yet."""
        if path.parent not in self._made:  # one of 256
            path.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(path.parent)
        try:
            return os.open(path, NEW, 0o644)
        except FileNotFoundError:  # somebody emptied `.meta`, which may be done at any time
            path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(path, NEW, 0o644)

    def _recall(self, key: str) -> _Entry | None:
        try:
            return _Entry.model_validate_json(self._path(key).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def _path(self, key: str) -> Path:
        name = hashlib.sha256(key.encode()).hexdigest()
        return self.root / name[:2] / f"{name[2:42]}.json"


def hash_open_file(handle: int) -> str:
    """Return the SHA-256 of the file from its beginning; the handle stands at the beginning afterwards."""
    os.lseek(handle, 0, os.SEEK_SET)
    with open(handle, "rb", closefd=False) as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    os.lseek(handle, 0, os.SEEK_SET)
    return sha256


def _entry(key: str, sha256: str, found: os.stat_result) -> _Entry:
    return _Entry(key=key, sha256=sha256, size=found.st_size, inode=found.st_ino, mtime_ns=found.st_mtime_ns)
