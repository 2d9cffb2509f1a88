"""Local files among a run's inputs on their way to S3, for an engine that reads nothing of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from labrelay.model.errors import StorageFailed
from labrelay.model.names import slug
from labrelay.model.runs import Parameters
from labrelay.stores.durable import storage_errors
from labrelay.stores.ports import ObjectStore
from labrelay.workflows.bundle import file_digest
from labrelay.workflows.shapes import with_files


class Sender:
    """Sends each content once: an object is named by the file's SHA-256, and one that is there is not sent again.

    Args:
        store: Where to; an S3 store.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        # By path, size, time of change and inode: a reference goes into a thousand runs, and is read once.
        self._digests: dict[tuple[str, int, int, int], str] = {}

    def send(self, schema: Mapping[str, Any], inputs: Parameters, origins: dict[str, str] | None = None) -> Parameters:
        """Return the inputs with an `s3://` URI for each local file or folder.

        Cost: a local file is read once for its name and once more when it is sent; one HEAD a file.

        Args:
            schema: Of the workflow's inputs; it says which texts are files.
            inputs: By qualified name; URIs stay as they are.
            origins: Takes, by URI, what each local file or folder was called here.

        Raises:
            StorageFailed: A file cannot be read, is gone or changed meanwhile, or S3 did not take it.
        """
        shapes = schema.get("properties", {})

        def sent(text: str) -> str:
            uri = self._sent(text)
            if uri != text and origins is not None:
                origins[uri] = text
            return uri

        return {name: with_files(shapes.get(name, {}), value, sent) for name, value in inputs.items()}

    def _sent(self, text: str) -> str:
        if "://" in text:
            return text
        path = Path(text)
        with storage_errors(f"send {path.name} to S3", path):
            if path.is_dir():
                return self._folder(path)
            if path.is_file():
                digest = self._digest(path)
                return self._file(path, digest, f"{digest}/{slug(path.name)}")
        raise StorageFailed(f"the input {path} is not there (any more): bring it back, or cancel the run")

    def _file(self, path: Path, digest: str, key: str) -> str:
        """Send a file, unless the same bytes are there; other bytes never stand under a name that means these."""
        found = self._store.head(key)
        if found is None:
            staged = self._store.stage(path, key)
            if staged.ref.sha256 != digest:
                staged.abort()
                raise StorageFailed(f"the input {path} was changed while it was sent: repeat the command")
            found = staged.commit()
        if found.sha256 != digest:
            raise StorageFailed(f"{self._store.uri(found)} holds other bytes than its name says: remove it from S3")
        return self._store.uri(found)

    def _folder(self, folder: Path) -> str:
        """Send a folder's files under one name that follows from all of them, and return it with a `/` behind."""
        files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        if not files:
            raise StorageFailed(f"the input {folder} is a folder without files, which S3 cannot have")
        digests = {name: self._digest(path) for name, path in files.items()}
        listed = "\n".join(f"{digest} {name}" for name, digest in digests.items())
        base = f"{sha256(listed.encode()).hexdigest()}/{slug(folder.name)}"
        uris = {name: self._file(path, digests[name], f"{base}/{name}") for name, path in files.items()}
        name, uri = next(iter(uris.items()))
        return uri.removesuffix(name)

    def _digest(self, path: Path) -> str:
        told = path.stat()
        known = (str(path), told.st_size, told.st_mtime_ns, told.st_ino)
        if known not in self._digests:
            self._digests[known] = file_digest(path)
        return self._digests[known]
