"""Local files among a run's inputs on their way to S3, for an engine that reads nothing of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from labrelay.model.names import slug
from labrelay.model.runs import Parameters
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

    def send(
        self, schema: Mapping[str, Any], inputs: Parameters, origins: dict[str, str] | None = None
    ) -> Parameters:
        """Return the inputs with an `s3://` URI for each local file or folder.

        Cost: a local file is read once for its name and once more when it is sent; one HEAD a file.

        Args:
            schema: Of the workflow's inputs; it says which texts are files.
            inputs: By qualified name; URIs stay as they are.
            origins: Takes, by URI, what each local file or folder was called here.

        Raises:
            StorageFailed: A file changed or is gone, or S3 did not take it.
        """
        shapes = schema.get("properties", {})

        def sent(text: str) -> str:
            uri = self._sent(text)
            if uri != text and origins is not None:
                origins[uri] = text
            return uri

        return {name: with_files(shapes.get(name, {}), value, sent) for name, value in inputs.items()}

    def _sent(self, text: str) -> str:
        path = Path(text)
        if "://" in text or not path.is_absolute():
            return text
        if path.is_dir():
            return self._folder(path)
        return self._file(path, f"{file_digest(path)}/{slug(path.name)}") if path.is_file() else text

    def _file(self, path: Path, key: str) -> str:
        there = self._store.head(key)
        return self._store.uri(there or self._store.stage(path, key).commit())

    def _folder(self, folder: Path) -> str:
        """Send a folder's files under one name that follows from all of them, and return it with a `/` behind."""
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        names = [path.relative_to(folder).as_posix() for path in files]
        listed = "\n".join(f"{file_digest(path)} {name}" for path, name in zip(files, names, strict=True))
        base = f"{sha256(listed.encode()).hexdigest()}/{slug(folder.name)}"
        uris = [self._file(path, f"{base}/{name}") for path, name in zip(files, names, strict=True)]
        return f"{uris[0].removesuffix(names[0])}" if uris else str(folder)
