"""Copiers: processes that copy and name small files beside this one, where one thread of Python runs at a time.

They are started when there are many files, kept while there are more, and end by themselves. Whatever one of them did
not do is done by the caller: a copier that is killed, or cannot be started, costs time and nothing else.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock, Thread
from typing import IO, cast

from labrelay.stores import copier_child
from labrelay.stores.copier_child import Held

WORTH = 200  # files: with fewer of them the start of a copier takes longer than it saves
log = logging.getLogger(__name__)


class Copier:
    """One such process."""

    def __init__(self) -> None:
        # Without what is installed beside it, or lies where we stand: only the standard library, and this package by
        # its place. The bytes of names are the same there as here, whoever chose UTF-8.
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2].absolute())}
        utf8 = f"utf8={sys.flags.utf8_mode}"
        argv = [sys.executable, "-P", "-S", "-X", utf8, "-m", copier_child.__name__]
        self._process = subprocess.Popen(
            argv, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        # It ends by itself, maybe days before anybody asks again, and is not to lie among the dead until then.
        Thread(target=self._process.wait, name="the end of a copier", daemon=True).start()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def lives(self) -> bool:
        """Tell whether it has not ended, as it does after a while without work."""
        return self._process.poll() is None

    def ask(self, request: dict[str, object]) -> object:
        """Return its answer.

        Raises:
            OSError: It has ended.
            ValueError: It has ended while it answered.
        """
        to = cast("IO[str]", self._process.stdin)
        to.write(json.dumps(request) + "\n")
        to.flush()
        return json.loads(cast("IO[str]", self._process.stdout).readline())

    def end(self) -> None:
        """End it now."""
        self._process.kill()
        with suppress(OSError):
            self._process.communicate()


class Pool:
    """Those that have nothing to do, of this process: one that was forked from it has none."""

    def __init__(self) -> None:
        self._idle: list[Copier] = []
        self._lock = Lock()
        os.register_at_fork(after_in_child=self._forget)

    def __len__(self) -> int:
        return len(self._idle)

    @contextmanager
    def one(self) -> Iterator[Copier]:
        """Lend a copier for the block; after an error in the block it is ended.

        Raises:
            OSError: None can be started.
        """
        copier = self._living() or Copier()
        try:
            yield copier
        except BaseException:
            copier.end()
            raise
        with self._lock:
            self._idle.append(copier)

    def end(self) -> None:
        """End those that have nothing to do."""
        with self._lock:
            while self._idle:
                self._idle.pop().end()

    def _living(self) -> Copier | None:
        with self._lock:
            while self._idle:
                copier = self._idle.pop()
                if copier.lives:
                    return copier
                copier.end()
        return None

    def _forget(self) -> None:
        # Two who ask one copier would get each other's answers; and the lock may be held by a thread that is not here.
        self._idle, self._lock = [], Lock()


POOL = Pool()


def hold(folder: Path, sources: Sequence[Path]) -> list[Held]:
    """Let a copier read files into `folder` under their numbers; return what the first ones are, perhaps not all.

    `folder` is absolute, as a store's is.
    """
    if len(sources) < WORTH:
        return []
    here = Path.cwd()  # a copier stands where this process stood when it was started
    answer = _asked({"folder": str(folder), "sources": [_absolute(here, str(source)) for source in sources]})
    return [(str(sha256), int(size), bool(noted)) for sha256, size, noted in answer] if isinstance(answer, list) else []


def name(pairs: Sequence[tuple[str, str]]) -> int:
    """Let a copier give held files their names; return how many of the first ones have them, perhaps not all.

    All paths are absolute.
    """
    if len(pairs) < WORTH:
        return 0
    answer = _asked({"pairs": pairs})
    return answer if isinstance(answer, int) else 0


def _absolute(here: Path, path: str) -> str:
    return path if path.startswith("/") else f"{here}/{path}"


def _asked(request: dict[str, object]) -> object:
    try:
        with POOL.one() as copier:
            return copier.ask(request)
    except (OSError, ValueError) as error:
        log.info("the files are copied without a helper, as that has ended: %s", error)
        return None
