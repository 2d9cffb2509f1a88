"""The SHA-256 of a stored file, noted in an attribute of the file with what tells that it is this very file.

Nothing but the standard library is imported here, as a copier's start has to be short.
"""

from __future__ import annotations

import os
import struct

ATTRIBUTE = "user.labrelay"
# SHA-256, inode, size, modification time: with its name small enough to lie in an inode of ext4, beside what is there.
_NOTE = struct.Struct("<32sQQq")


def note(handle: int, sha256: str) -> bool:
    """Remember the hash of a file that is written and still open for it, in the file; False where that cannot be."""
    try:
        os.setxattr(handle, ATTRIBUTE, _note(bytes.fromhex(sha256), os.fstat(handle)))
    except (OSError, AttributeError):  # a file system, or a system, that has no attributes
        return False
    return True


def noted(handle: int, found: os.stat_result) -> str | None:
    """Return the hash that was noted in the open file that `found` is about, if it is of this very file."""
    try:
        kept = os.getxattr(handle, ATTRIBUTE)
    except (OSError, AttributeError):
        return None
    return kept[:32].hex() if kept == _note(kept[:32].ljust(32), found) else None


def _note(sha256: bytes, found: os.stat_result) -> bytes:
    return _NOTE.pack(sha256, found.st_ino, found.st_size, found.st_mtime_ns)
