"""A supplier's MD5 lists, in the dialects of `md5sum`, BSD `md5`, Windows tools and spreadsheets.

The checksums are attached to the files that they speak of; whoever reads a file compares them in the same pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from labrelay.model.files import FileRole
from labrelay.model.instrument import RunFile
from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.parsers.listing import Entry, Listing, read_small
from labrelay.parsers.text import decode, error, lines, warning

_LIST = re.compile(r"(?:.*\.md5(?:sums?)?|[^/]*(?:md5|checksum)[^/]*(?:\.(?:txt|tsv|csv|list))?)\Z", re.IGNORECASE)
# `hash  name` (text), `hash *name` (binary), `MD5 (name) = hash`, `name<TAB or comma>hash`, or a hash alone.
_FORMS = (
    re.compile(r"\\?(?P<md5>[0-9a-f]{32})[ \t,;]+\*?(?P<name>\S.*)\Z", re.IGNORECASE),
    re.compile(r"MD5 ?\((?P<name>.+)\) ?= ?(?P<md5>[0-9a-f]{32})\Z", re.IGNORECASE),
    re.compile(r"(?P<name>\S.*?)[ \t,;]+(?P<md5>[0-9a-f]{32})\Z", re.IGNORECASE),
    re.compile(r"(?P<name>)(?P<md5>[0-9a-f]{32})\Z", re.IGNORECASE),
)
_HASH_LIKE = re.compile(r"[0-9a-f]{20,}", re.IGNORECASE)
_MAX_LINES = 200_000
_OWN_SUFFIX = re.compile(r"\.md5(?:sum)?\Z", re.IGNORECASE)


class Listed(NamedTuple):
    """One line of a list: the file's name as written, its MD5 (lower case) and the line from 1."""

    name: str
    md5: str
    line: int


def is_checksum_list(name: str) -> bool:
    """Tell whether a file of this name is a list of MD5 sums."""
    return bool(_LIST.match(name))


def parse_checksums(data: bytes, path: str) -> tuple[list[Listed], list[Problem]]:
    """Return the lines of an MD5 list and what is wrong with the others.

    A line with something like a hash in it that cannot be read is an error, because a file would go unchecked; any
    other line (a heading) is a warning.
    """
    text, decoding = decode(data, path)
    listed: list[Listed] = []
    problems = list(decoding)
    all_lines = lines(text)
    if len(all_lines) > _MAX_LINES:
        return [], [*problems, error("TOO_LARGE", f"it has more than {_MAX_LINES} lines", path)]
    own = _OWN_SUFFIX.sub("", path.rpartition("/")[2])
    for number, line in enumerate(all_lines, 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = next((found for form in _FORMS if (found := form.match(stripped))), None)
        if match is not None:
            name = match["name"].strip().strip('"') or own
            listed.append(Listed(name, match["md5"].lower(), number))
            continue
        report = error if _HASH_LIKE.search(stripped) else warning
        text = f"the line is no MD5 sum with a file name: {printable(stripped, 60)}"
        problems.append(report("BAD_CHECKSUM_LINE", text, path, number))
    return listed, problems


class _Finder:
    """Finds the file that a list means: beside the list, below the root, or by a name that only one file has."""

    def __init__(self, listing: Listing) -> None:
        self._paths = {entry.path for entry in listing.files}
        self._by_name: dict[str, list[str]] = {}
        for entry in listing.files:
            self._by_name.setdefault(entry.name, []).append(entry.path)

    def find(self, name: str, folder: str) -> str | None:
        plain = re.sub(r"\A(?:\./)+", "", name.replace("\\", "/"))
        for candidate in (f"{folder}/{plain}" if folder else plain, plain):
            if candidate in self._paths:
                return candidate
        same = self._by_name.get(plain.rpartition("/")[2], [])
        # Lists often carry the supplier's own folders; several files of one name are told apart by these.
        ends = [path for path in same if plain.endswith("/" + path)]
        fitting = ends or same
        return fitting[0] if len(fitting) == 1 else None


def attach_checksums(listing: Listing, files: Sequence[RunFile]) -> tuple[list[RunFile], list[Problem], bool | None]:
    """Return the files with the supplier's MD5, the problems, and whether all listed files are there.

    The last is None when the folder has no list.
    """
    finder, problems = _Finder(listing), list[Problem]()
    sums: dict[str, Listed] = {}
    sources = [entry for entry in listing.files if is_checksum_list(entry.name)]
    complete = True
    for source in sources:
        for item in _read(listing, source, problems):
            path = finder.find(item.name, source.folder)
            if path is None:
                text = f"it lists {printable(item.name)}, and no such file (or no single one) is here; fetch it again"
                problems.append(error("LISTED_FILE_MISSING", text, source.path, item.line))
                complete = False
            elif sums.setdefault(path, item).md5 != item.md5:
                text = f"it gives {printable(item.name)} another MD5 than an earlier line; ask the supplier"
                problems.append(error("MD5_CONFLICT", text, source.path, item.line))
    if not sources:
        return list(files), [], None
    attached = [f.model_copy(update={"md5": sums[f.path].md5}) if f.path in sums else f for f in files]
    return attached, [*problems, *_unlisted(attached)], complete


def _read(listing: Listing, source: Entry, problems: list[Problem]) -> Iterable[Listed]:
    data = read_small(listing.root, source.path)
    if isinstance(data, Problem):
        problems.append(data)
        return []
    listed, found = parse_checksums(data, source.path)
    problems += found
    if not listed and not found:
        problems.append(warning("EMPTY_CHECKSUMS", "the list of MD5 sums is empty", source.path))
    return listed


def _unlisted(files: Iterable[RunFile]) -> list[Problem]:
    reads = (FileRole.READS, FileRole.ALIGNMENT, FileRole.INDEX_READS, FileRole.UNDETERMINED)
    text = "no list gives its MD5, so its transfer cannot be checked"
    return [warning("FILE_WITHOUT_MD5", text, file.path) for file in files if file.role in reads and file.md5 is None]
