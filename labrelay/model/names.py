"""Names from outside never become paths: the display name is kept, the path gets a slug."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

from labrelay.model.canonical import digest

SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
RESERVED = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"com{n}" for n in range(1, 10)),
    *(f"lpt{n}" for n in range(1, 10)),
}
# Names that a format prescribes: a hierarchy of Zarr without them cannot be opened any more.
PRESCRIBED = {".zattrs", ".zgroup", ".zarray", ".zmetadata"}
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def is_safe_name(name: str) -> bool:
    """Tell whether `name` can stand as one path part on any file system and in any object key."""
    if name in PRESCRIBED:
        return True
    stem = name.split(".", 1)[0].lower()
    return bool(SAFE.match(name)) and ".." not in name and stem not in RESERVED and not name.endswith(".")


def slug(name: str) -> str:
    """Return a path part for a display name: itself when it is safe, else a readable form with a digest.

    The digest (eight digits) keeps two names apart that differ only in what was replaced.
    """
    if is_safe_name(name):
        return name
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    body = re.sub(r"[^A-Za-z0-9_-]+", "-", plain).strip("-_")[:60] or "unnamed"
    return f"{body}-{digest(name)[:8]}"


def slugs(path: str) -> str:
    """Return a relative path with a slug for each of its parts."""
    return "/".join(map(slug, path.split("/")))


def safe_relative(path: str) -> PurePosixPath | None:
    """Return `path` as a relative path without `..`, empty or absolute parts, or None when it is not one."""
    if not path or "\\" in path or "\0" in path:
        return None
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return None
    return PurePosixPath(*parts)


def is_safe_path(path: str) -> bool:
    """Tell whether `path` is a relative one of which every part is a safe name."""
    found = safe_relative(path)
    return found is not None and all(is_safe_name(part) for part in found.parts)


def printable(text: str, limit: int = 200) -> str:
    """Return `text` on one line with control characters shown as escapes, cut at `limit` characters.

    Names and tool output go to terminals and logs, where an escape sequence could rewrite what a person reads.
    """
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def on_one_line(text: str, limit: int = 400) -> str:
    """Return a sentence of several lines, such as one with a list of problems, as one printable line."""
    return printable(" ".join(text.split()), limit)


def spreadsheet_cell(text: str) -> str:
    """Return `text` so that a spreadsheet shows it and does not run it as a formula (numbers stay as they are)."""
    if not text.startswith(FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return "'" + text
    return text
