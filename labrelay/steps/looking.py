"""One stored file looked at again: is it there, and are its bytes those of the records?"""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import closing
from enum import StrEnum
from io import BufferedReader
from pathlib import Path
from typing import cast

from labrelay.model.errors import LabrelayError
from labrelay.model.files import FileRef
from labrelay.model.problem import Frozen
from labrelay.steps.direct import HERE
from labrelay.steps.home import Home
from labrelay.stores.folder import FolderObjectStore
from labrelay.stores.folder_reads import FolderReadStore
from labrelay.stores.ports import ObjectStore


class State(StrEnum):
    """How a file is; `elsewhere` cannot be looked at from here and is not counted as wrong."""

    OK = "ok"
    CHANGED = "changed"
    MISSING = "missing"
    EXTRA = "extra"
    DIFFERS = "differs"
    UNREADABLE = "unreadable"
    ELSEWHERE = "elsewhere"

    @property
    def wrong(self) -> bool:
        """Whether it is not as it was recorded."""
        return self not in (State.OK, State.ELSEWHERE)


class Look(Frozen):
    """What was found of one file.

    Attributes:
        name: Which output or input it is, `crate` or `document`; nothing for what nobody has told of.
        path: Its key in its store.
        state: How it is.
        why: What is wrong, or where it lies; None when it is as recorded.
        by: `bytes` when it was read, `checksum` when the store's own was compared.
    """

    name: str
    path: str
    state: State
    why: str | None = None
    by: str | None = None


class Looker:
    """Looks at the stored files of a home.

    Args:
        home: Where.
        deep: Read everything, also where a store keeps checksums of its own.
    """

    def __init__(self, home: Home, *, deep: bool) -> None:
        self._deep = deep
        self._stores: dict[str, ObjectStore] = {store.name: store for store in (home.results, home.objects)}
        if isinstance(home.reads, FolderReadStore):
            genomes = home.reads.genomes.files
            self._stores[genomes.name] = genomes

    def at(self, name: str, ref: FileRef) -> Look:
        """Look at a stored file; what cannot be read is told and stops nothing."""
        if ref.storage == HERE:
            return self.at_path(name, Path(ref.key), ref.key, ref.sha256, ref.size)
        store = self._stores.get(ref.storage)
        if store is None:
            why = f"it lies in {ref.storage}, which keeps its own checksums"
            return Look(name=name, path=ref.key, state=State.ELSEWHERE, why=why)
        try:
            found = store.head(ref.key)
            if found is None:
                return Look(name=name, path=ref.key, state=State.MISSING, why="it is gone")
            if found != ref:
                return _changed(name, ref.key, found.sha256, found.size, ref)
            if not self._deep and not isinstance(store, FolderObjectStore):
                return Look(name=name, path=ref.key, state=State.OK, by="checksum")
            with closing(store.open(ref)) as opened:
                sha256 = hashlib.file_digest(cast(BufferedReader, opened), "sha256").hexdigest()
        except LabrelayError as error:
            return Look(name=name, path=ref.key, state=State.UNREADABLE, why=str(error))
        except OSError as error:
            return Look(name=name, path=ref.key, state=State.UNREADABLE, why=error.strerror or str(error))
        if sha256 != ref.sha256:
            return _changed(name, ref.key, sha256, ref.size, ref)
        return Look(name=name, path=ref.key, state=State.OK, by="bytes")

    def content(self, ref: FileRef) -> bytes:
        """Return the bytes of a small stored file."""
        with closing(self._stores[ref.storage].open(ref)) as opened:
            return opened.read()

    @staticmethod
    def at_path(name: str, path: Path, shown: str, sha256: str, size: int) -> Look:
        """Look at a file that lies in a folder and in no store; no link is followed."""
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return Look(name=name, path=shown, state=State.MISSING, why="it is gone")
        except OSError as error:
            return Look(name=name, path=shown, state=State.UNREADABLE, why=error.strerror or str(error))
        with os.fdopen(handle, "rb") as opened:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                return Look(name=name, path=shown, state=State.CHANGED, why="it is no regular file")
            found = hashlib.file_digest(opened, "sha256").hexdigest()
        if found != sha256:
            why = f"sha256 {found[:12]}…, recorded {sha256[:12]}…; {status.st_size} bytes, recorded {size}"
            return Look(name=name, path=shown, state=State.CHANGED, why=why)
        return Look(name=name, path=shown, state=State.OK, by="bytes")


def _changed(name: str, path: str, sha256: str, size: int, ref: FileRef) -> Look:
    if sha256 == ref.sha256 and size == ref.size:
        return Look(name=name, path=path, state=State.CHANGED, why="the same bytes, but another version of the object")
    why = f"sha256 {sha256[:12]}…, recorded {ref.sha256[:12]}…; {size} bytes, recorded {ref.size}"
    return Look(name=name, path=path, state=State.CHANGED, why=why)
