"""Patterns for files below a folder, as `path` of an output says them: `*` and `?` within a name, `**` for folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath


def fits(path: PurePosixPath, pattern: str) -> bool:
    """Tell whether a relative path fits a pattern, part by part from its beginning; `**` stands for any folders."""
    return _fits(path.parts, PurePosixPath(pattern).parts)


def _fits(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    if not wanted:
        return not parts
    if wanted[0] == "**":
        return any(_fits(parts[count:], wanted[1:]) for count in range(len(parts) + 1))
    return bool(parts) and PurePosixPath(parts[0]).match(wanted[0]) and _fits(parts[1:], wanted[1:])
