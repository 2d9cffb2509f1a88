"""What lies in a folder, without trusting any of it: no link is followed, no FIFO or device is ever opened.

A folder that an instrument or a stranger wrote may hold anything. `walk` turns what is odd into problems and gives
the plain files; `open_regular` and `read_small` open one of them again without following a link that was swapped in
meanwhile.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from labrelay.model.errors import RefusedInput
from labrelay.model.names import printable, safe_relative
from labrelay.model.problem import Problem, Severity
from labrelay.model.words import first_of

MAX_FILES = 1_000_000
MAX_DEPTH = 32
SMALL = 5 * 1024 * 1024
LINK, COPYING = "SYMLINK", "COPY_UNFINISHED"
_DATA = (
    "gz|bgzf|fastq|fq|bam|cram|pbi|fast5|pod5|c?bcl|tiff?|btf|tf8|png|jpe?g|nd2|czi|lif|svs|ndpi|scn|mrxs|mrcs?|eer"
    "|mzml|imzml|ibd|raw|oir|ab1|fsa|h5|zip"
)
_ANY = f"{_DATA}|xml|csv|tsv|txt|json|bin|mdoc|xlsx?|md5"
# WinSCP and browsers; curl, lftp and KDE; many programs; rsync, whose name is hidden and ends by chance. Instruments
# leave a `.tmp` of a small text behind now and then, so that one counts behind data only.
_COPIED = re.compile(
    rf".+\.(?:filepart|crdownload)|.+\.(?:{_ANY})\.(?:part|partial)|.+\.(?:{_DATA})\.tmp"
    rf"|\..+\.(?:{_ANY})\.(?!backup|md5sum|sha)[a-z0-9]{{6}}",
    re.IGNORECASE,
)
_COPY_ENDINGS = (".filepart", ".crdownload", ".part", ".partial", ".tmp")
_RSYNC = re.compile(r"(?:^|/)\.(?:rsync-partial|~tmp~)/")  # where it keeps what broke off, or what is not all there
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_REGULAR = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Entry(NamedTuple):
    """A regular file: path below the root (POSIX), bytes, modification time in nanoseconds since 1970, and name.

    The name is the last part of the path: each platform asks for that of each file, so it is kept.
    """

    path: str
    size: int
    mtime_ns: int
    name: str

    @property
    def folder(self) -> str:
        """The path without its last part; empty at the root."""
        return self.path.rpartition("/")[0]


@dataclass(frozen=True)
class Listing:
    """The regular files of a folder, sorted by path, and what is wrong with the others.

    Attributes:
        root: The folder, with links in its own path resolved.
        files: Regular files with usable names.
        problems: One for everything that is not in `files`.
    """

    root: Path
    files: tuple[Entry, ...]
    problems: tuple[Problem, ...] = ()
    _by_lower: dict[str, Entry] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        for entry in self.files:
            self._by_lower.setdefault(entry.path.lower(), entry)

    def find(self, path: str) -> Entry | None:
        """Return the file at `path` below the root, whatever its case, or None."""
        return self._by_lower.get(path.lower())

    def named(self, *names: str) -> Iterator[Entry]:
        """Give the files with one of these names (lower case), in any folder."""
        found = [entry for name in names for entry in self._by_name.get(name, ())]
        return iter(sorted(found) if len(names) > 1 else found)

    @cached_property
    def _by_name(self) -> dict[str, list[Entry]]:
        # Each platform asks for its own names: one pass for all of them.
        found: dict[str, list[Entry]] = {}
        for entry in self.files:
            found.setdefault(entry.name.lower(), []).append(entry)
        return found


@dataclass
class _Walk:
    limit: int
    device: int
    files: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    full: bool = False

    def problem(self, code: str, path: str, message: str, severity: Severity = Severity.ERROR) -> None:
        self.problems.append(Problem(code=code, message=message, severity=severity, path=path))


def walk(folder: Path, limit: int = MAX_FILES) -> Listing:
    """List the regular files below `folder`.

    Args:
        folder: The folder; it may itself be named through a link, nothing below it may.
        limit: Files after which the walk stops with `TOO_MANY_FILES`.

    Raises:
        RefusedInput: `folder` is not a folder that can be read.
    """
    try:
        root = folder.resolve(strict=True)
        descriptor = os.open(root, _DIRECTORY)
    except OSError as error:
        raise RefusedInput(str(folder), [_special(folder) or _unreadable(str(folder), error)]) from error
    try:
        state = _Walk(limit, os.fstat(descriptor).st_dev)
        _folder(state, descriptor, "", 0)
    finally:
        os.close(descriptor)
    files = tuple(sorted(state.files))
    _case_twins(state, files)
    return Listing(root, files, tuple(sorted(state.problems, key=lambda p: p.path or "")))


def single(file: Path) -> Listing:
    """List one file, as if it lay alone in its folder.

    Raises:
        RefusedInput: It is no regular file that can be read.
    """
    try:
        place = file.resolve(strict=True)
        status = place.lstat()
    except OSError as error:
        raise RefusedInput(str(file), [_unreadable(str(file), error)]) from error
    if not stat.S_ISREG(status.st_mode) or not _usable(place.name):
        message = "it is no regular file with a name that can be kept; name a folder or a plain file"
        raise RefusedInput(str(file), [Problem(code="UNREADABLE", message=message, path=str(file))])
    return Listing(place.parent, (Entry(place.name, status.st_size, status.st_mtime_ns, place.name),))


def with_beside(alone: Listing, names: Iterable[str]) -> Listing:
    """Return the listing of one file with those of these, beside it or in folders beside it, that are regular files."""
    found = {entry.path: entry for entry in alone.files}
    for name in names:
        relative = safe_relative(name)
        if name in found or relative is None or not _usable(name):
            continue
        try:
            above = [(alone.root / up).lstat().st_mode for up in list(relative.parents)[:-1]]
            status = (alone.root / name).lstat()
        except OSError:
            continue
        if not all(map(stat.S_ISDIR, above)):  # a link leads nowhere here
            continue
        if stat.S_ISREG(status.st_mode):
            found[name] = Entry(name, status.st_size, status.st_mtime_ns, name)
    return Listing(alone.root, tuple(sorted(found.values())), alone.problems)


def _case_twins(state: _Walk, files: tuple[Entry, ...]) -> None:
    """Warn of names that would be one file on a disk or in a tool that does not tell `a` from `A`."""
    seen: dict[str, str] = {}
    for entry in files:
        twin = seen.setdefault(entry.path.casefold(), entry.path)
        if twin != entry.path:
            text = f"its name differs from {printable(twin)} in the case of letters only"
            state.problem("CASE_TWINS", entry.path, text, Severity.WARNING)


def _unreadable(path: str, error: OSError) -> Problem:
    reason = os.strerror(error.errno) if error.errno else str(error)
    return Problem(code="UNREADABLE", message=f"it cannot be read: {reason}; check the path and its rights", path=path)


def _special(place: Path) -> Problem | None:
    """Return what a place is that is neither a file nor a folder."""
    try:
        mode = place.stat().st_mode
    except OSError:
        return None
    kinds = (
        (stat.S_ISFIFO, "named pipe"),
        (stat.S_ISSOCK, "socket"),
        (stat.S_ISCHR, "device"),
        (stat.S_ISBLK, "device"),
    )
    kind = next((name for test, name in kinds if test(mode)), None)
    if kind is None:
        return None
    said = f"it is a {kind} and holds no run; write what comes out of it to a file, and name that or its folder"
    return Problem(code="NOT_A_REGULAR_FILE", message=said, path=str(place))


def _folder(state: _Walk, descriptor: int, prefix: str, depth: int) -> None:
    try:
        with os.scandir(descriptor) as found:
            entries = list(found)
    except OSError as error:
        state.problems.append(_unreadable(prefix or ".", error))
        return
    for entry in entries:
        if state.full:
            return
        path = f"{prefix}/{entry.name}" if prefix else entry.name
        if not _usable(entry.name):
            shown = printable(os.fsencode(path).decode("utf-8", "backslashreplace"))
            state.problem("UNSAFE_NAME", shown, "the name is not printable UTF-8 or holds a backslash; rename it")
            continue
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError as error:
            _vanished(state, path, error)
            continue
        _entry(state, descriptor, entry.name, path, status, depth)


def _usable(name: str) -> bool:
    return name.isprintable() and "\\" not in name


def _vanished(state: _Walk, path: str, error: OSError) -> None:
    if error.errno == errno.ENOENT:
        state.problem("VANISHED", path, "it went away while the folder was listed; is it still being written?")
    else:
        state.problems.append(_unreadable(path, error))


def _entry(state: _Walk, parent: int, name: str, path: str, status: os.stat_result, depth: int) -> None:
    mode = status.st_mode
    if stat.S_ISLNK(mode):
        state.problem(LINK, path, "it is a symbolic link, and links are not followed; put the file itself there")
    elif stat.S_ISDIR(mode):
        _descend(state, parent, name, path, status, depth)
    elif not stat.S_ISREG(mode):
        state.problem("NOT_A_REGULAR_FILE", path, "it is a FIFO, socket or device, which is never opened; remove it")
    elif len(state.files) >= state.limit:
        state.full = True
        state.problem("TOO_MANY_FILES", path, f"the folder holds more than {state.limit} files; give a smaller folder")
    else:
        if status.st_nlink > 1:
            text = f"it has {status.st_nlink} names (hard links): what changes it elsewhere changes it here"
            state.problem("HARD_LINK", path, text, Severity.WARNING)
        state.files.append(Entry(path, status.st_size, status.st_mtime_ns, name))


def _descend(state: _Walk, parent: int, name: str, path: str, status: os.stat_result, depth: int) -> None:
    if status.st_dev != state.device:
        state.problem("OTHER_FILE_SYSTEM", path, "another file system is mounted there; it is not entered")
        return
    if depth >= MAX_DEPTH:
        state.problem("TOO_DEEP", path, f"folders are nested more than {MAX_DEPTH} deep; it is not entered")
        return
    try:
        descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
    except OSError as error:
        _vanished(state, path, error)
        return
    try:
        _folder(state, descriptor, path, depth + 1)
    finally:
        os.close(descriptor)


def links_in(listing: Listing) -> Problem | None:
    """Return one sentence on the links of a folder that is no run without what they lead to; None where it has none."""
    links = [problem.path or "" for problem in listing.problems if problem.code == LINK]
    if not links:
        return None
    only = "it holds links only" if not listing.files else "it holds links"
    said = f"{only} ({first_of(links, 3)}), and links are not followed: put the files themselves there"
    return Problem(code=LINK, message=f"{said}, or name the folder that they lead to")


def copy_going_on(listing: Listing) -> Problem | None:
    """Return a warning that files are still being copied, as programs that copy call such; None where none is."""
    found = [entry.path for entry in listing.files if _is_copied(entry)]
    if not found:
        return None
    more = f" (and {len(found) - 1:,} more)" if len(found) > 1 else ""
    said = f"it is still being copied{more}: wait until it has its own name, or remove it if that copy was given up"
    return Problem(code=COPYING, message=said, severity=Severity.WARNING, path=found[0])


def _is_copied(entry: Entry) -> bool:
    name = entry.name
    if (name[0] == "." or name.lower().endswith(_COPY_ENDINGS)) and _COPIED.fullmatch(name):
        return True
    return "." in entry.path[: -len(name)] and _RSYNC.search(entry.path) is not None


def open_regular(root: Path, path: str) -> int:
    """Open the regular file at `path` below `root` for reading and return its descriptor, which the caller closes.

    No part of `path` may be a link, so a folder swapped for a link after the listing leads nowhere.

    Raises:
        OSError: It is not there, a link, not a regular file, or not readable.
    """
    relative = safe_relative(path)
    if relative is None:
        raise OSError(errno.EINVAL, "not a plain relative path", path)
    folder = os.open(root, _DIRECTORY)
    try:
        for part in relative.parts[:-1]:
            inner = os.open(part, _DIRECTORY, dir_fd=folder)
            os.close(folder)
            folder = inner
        descriptor = os.open(relative.name, _REGULAR, dir_fd=folder)
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return descriptor


def read_small(root: Path, path: str, cap: int = SMALL) -> bytes | Problem:
    """Return the bytes of a small file, or the problem with it (`UNREADABLE`, `TOO_LARGE`).

    Args:
        root: The folder that was listed.
        path: Below it.
        cap: Most bytes that are taken; a larger file is refused, not cut.
    """
    try:
        with os.fdopen(open_regular(root, path), "rb") as source:
            data = source.read(cap + 1)
    except OSError as error:
        return _unreadable(path, error)
    if len(data) > cap:
        text = f"it is larger than {cap} bytes, which such a file never is"
        return Problem(code="TOO_LARGE", message=text, path=path)
    return data


def read_head(root: Path, path: str, size: int = 65_536) -> bytes:
    """Return the first `size` bytes of a file, or nothing when it cannot be read; for recognising, not for parsing."""
    try:
        with os.fdopen(open_regular(root, path), "rb") as source:
            return source.read(size)
    except OSError:
        return b""
