"""What may be a key: a relative POSIX path that is a path on any disk and a name in any bucket."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import PurePosixPath

from labrelay.model.errors import UsageError
from labrelay.model.names import PRESCRIBED, printable

MAX_PART_BYTES = 255
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@lru_cache(maxsize=4096)
def checked_key(key: str) -> PurePosixPath:
    """Return the key as a path.

    Raises:
        UsageError: It is absolute, or has empty, hidden, `..` or unprintable parts.
    """
    refuse_no_key(key)
    return PurePosixPath(key)


def refuse_no_key(key: str) -> None:
    """Raise `UsageError` for what is no key, as `checked_key` does, and make no path."""
    folder, _slash, name = key.rpartition("/")
    if "\\" in key or not _is_name(name) or not (folder or key == name) or not _is_folder(folder):
        raise UsageError(f"'{printable(key)}' cannot be a key; use relative paths without '..' or leading dots.")


@lru_cache(maxsize=4096)
def _is_folder(key: str) -> bool:
    # Most keys of a run lie in the folder of the key before.
    return not key or all(_is_name(part) for part in key.split("/"))


def _is_name(part: str) -> bool:
    return part not in ("", ".", "..") and is_key_part(part)


def is_key_part(part: str) -> bool:
    """Tell whether a name can be one part of a key; what begins with a dot is the store's own, but for Zarr's names."""
    if (part.startswith(".") and part not in PRESCRIBED) or CONTROL.search(part):
        return False
    try:
        return len(part.encode()) <= MAX_PART_BYTES
    except UnicodeEncodeError:
        return False
