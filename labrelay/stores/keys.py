"""What may be a key: a relative POSIX path that is a path on any disk and a name in any bucket."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import PurePosixPath

from labrelay.model.errors import UsageError
from labrelay.model.names import PRESCRIBED, printable, safe_relative

MAX_PART_BYTES = 255
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@lru_cache(maxsize=4096)
def checked_key(key: str) -> PurePosixPath:
    """Return the key as a path.

    Raises:
        UsageError: It is absolute, or has empty, hidden, `..` or unprintable parts.
    """
    relative = safe_relative(key)
    if relative is None or any(not is_key_part(part) for part in relative.parts):
        raise UsageError(f"'{printable(key)}' cannot be a key; use relative paths without '..' or leading dots.")
    return relative


def is_key_part(part: str) -> bool:
    """Tell whether a name can be one part of a key; what begins with a dot is the store's own, but for Zarr's names."""
    if (part.startswith(".") and part not in PRESCRIBED) or CONTROL.search(part):
        return False
    try:
        return len(part.encode()) <= MAX_PART_BYTES
    except UnicodeEncodeError:
        return False
