"""The program of a copier: holds and names small files for another process, which has more to think about.

What it cannot do it leaves: it stops there, and its master does that file itself, or says why it cannot be done. So it
knows no sentences, and its end at any moment costs nothing but time. It ends with its master, or after a while without
work. Nothing but the standard library is imported here, as its start has to be short.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import signal
import stat
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from labrelay.stores.hash_note import note

IDLE_SECONDS = 10.0
MOST = 8 << 20  # bytes of a file, which lie in memory
Held = tuple[str, int, bool]  # SHA-256, size, and whether the hash is noted in the file


def hold(folder: str, sources: Sequence[str]) -> list[Held]:
    """Read each file once into `folder` under its number; return what those are that it went well with, up to one."""
    done: list[Held] = []
    for number, source in enumerate(sources):
        temp = f"{folder}/{number}"
        try:
            done.append(_hold(source, temp))
        except OSError:
            with suppress(OSError):
                Path(temp).unlink()
            break
    return done


def name(pairs: Sequence[tuple[str, str]]) -> int:
    """Give held files their names; return how many got them: none when one of the names is taken."""
    if any(os.path.lexists(path) for _temp, path in pairs):
        return 0
    for number, (temp, path) in enumerate(pairs):
        try:
            os.link(temp, path)
            os.unlink(temp)  # noqa: PTH108 (a path object for each of a hundred thousand takes as long again)
        except OSError:
            return number
    return len(pairs)


def _hold(source: str, temp: str) -> Held:
    handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        before = os.fstat(handle)
        if not stat.S_ISREG(before.st_mode) or before.st_size > MOST:
            raise OSError(source)
        content = os.read(handle, before.st_size + 1)  # one more, to see a file that grows
        held = _write(content, temp)
        after, named = os.fstat(handle), os.lstat(source)
        rested = (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
        if not rested or len(content) != after.st_size or (named.st_ino, named.st_dev) != (after.st_ino, after.st_dev):
            raise OSError(source)
    finally:
        os.close(handle)
    return held


def _write(content: bytes, temp: str) -> Held:
    sha256 = hashlib.sha256(content).hexdigest()
    handle = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        if os.write(handle, content) != len(content):
            raise OSError(temp)  # the disk is full: whoever comes next is told so
        noted = note(handle, sha256)  # while its mode lets us write: an attribute asks for that again
        os.fchmod(handle, 0o444)
        return sha256, len(content), noted
    finally:
        os.close(handle)


def main() -> None:
    """Answer requests, a line of JSON each, until there is nobody to ask any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # its master is told, and ends it
    while select.select([sys.stdin], [], [], IDLE_SECONDS)[0] and (line := sys.stdin.readline()):
        asked = json.loads(line)
        answer = hold(asked["folder"], asked["sources"]) if "folder" in asked else name(asked["pairs"])
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
