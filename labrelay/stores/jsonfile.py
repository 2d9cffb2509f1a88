"""Small JSON files that this room writes for itself, read back defensively."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from labrelay.model.errors import StorageFailed, UsageError
from labrelay.model.names import is_safe_name, printable
from labrelay.model.words import counted
from labrelay.stores.durable import storage_errors

Model = TypeVar("Model", bound=BaseModel)


def read_model(path: Path, model: type[Model]) -> Model | None:
    """Return what the file says, None when there is no file.

    Raises:
        StorageFailed: It cannot be read, or says something else than this version writes.
    """
    with storage_errors(f"read {path.name}", path.parent):
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        raise StorageFailed(
            f"{path} does not say what this version writes there ({counted(error.error_count(), 'problem')}); "
            "restore it from a copy, or remove it and repeat the command."
        ) from error


def checked_id(text: str, prefix: str) -> str:
    """Return `text` when it can be one of our ids (it becomes a file name).

    Raises:
        UsageError: It cannot.
    """
    if not text.startswith(prefix) or not is_safe_name(text):
        raise UsageError(f"'{printable(text)}' is no id of the form {prefix}…; copy the id from a listing.")
    return text


def utc_now() -> str:
    """Return the time as ISO 8601 in UTC with microseconds, so that text order is time order."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
