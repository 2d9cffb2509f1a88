"""Many small files stored together: each pays only for its bytes, and the waiting for the disk is shared."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from labrelay.model.errors import Conflict
from labrelay.model.files import FileRef
from labrelay.stores.ports import ObjectStore, Staged, StagedMany

MOST = 1000  # files of a bundle: each bundle waits for the disk three times, and for what others write there
MOST_BYTES = 64 << 20
SMALL = 8 << 20  # what is larger stands alone: its bytes take longer than the waiting
AHEAD = 2  # bundles that are read while one is recorded: one waits for the disk, and one for the processor
AT_ONCE = 8  # requests to a store that is far away

Item = TypeVar("Item")
Done = TypeVar("Done")


def in_bundles(
    files: Iterable[Item], size: Callable[[Item], int], most_bytes: int = MOST_BYTES
) -> Iterator[list[Item]]:
    """Give the files in bundles that may be stored together; a large one stands alone, before those that wait."""
    bundle: list[Item] = []
    total = 0
    for file in files:
        more = size(file)
        if more > SMALL:
            yield [file]
            continue
        if len(bundle) == MOST or total + more > most_bytes:
            yield bundle
            bundle, total = [], 0
        bundle.append(file)
        total += more
    if bundle:
        yield bundle


def ahead(work: Callable[[Item], Done], items: Iterable[Item]) -> Generator[tuple[Item, Done], None, None]:
    """Give each item with what `work` made of it, in order, while threads work on the next ones.

    When the caller stops, or `work` raises, what is under way is waited for, and nothing more begun.

    Args:
        work: Called for `AHEAD` items at a time.
        items: Taken so many further than what was given.
    """
    waiting: list[tuple[Item, Future[Done]]] = []
    with ThreadPoolExecutor(AHEAD, thread_name_prefix="ahead") as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(work, item)))
                if len(waiting) > AHEAD:
                    before, made = waiting.pop(0)
                    yield before, made.result()
            while waiting:
                before, made = waiting.pop(0)
                yield before, made.result()
        finally:
            for _item, made in waiting:
                made.cancel()


def put_many(store: ObjectStore, files: Sequence[tuple[Path, str]]) -> list[FileRef]:
    """Store files of one bundle (source and key) and return them in order; all of them are durable then.

    Raises:
        Conflict: Other bytes lie under one of the keys; told before any of the files is visible.
        StorageFailed: A file could not be read or stored.
    """
    if len(files) == 1:
        return [store.stage(*files[0]).commit()]
    staged = store.stage_many(files)
    try:
        return staged.commit()
    finally:
        staged.abort()


def refuse_other(ref: FileRef, there: FileRef | None) -> None:
    """Raise `Conflict` when what is stored has other bytes than what was read."""
    if there is not None and there.sha256 != ref.sha256:
        raise Conflict(
            f"{ref.key} is stored with other content (sha256 {there.sha256[:12]}…, now {ref.sha256[:12]}…); "
            "stored files are never replaced: store this one under another name."
        )


def refuse_twins(refs: Iterable[FileRef]) -> None:
    """Raise `Conflict` when two of the files have one key and not the same bytes."""
    seen: dict[str, FileRef] = {}
    for ref in refs:
        refuse_other(ref, seen.setdefault(ref.key, ref))


class StagedEach:
    """`StagedMany` for a store where each file goes by itself, several at a time.

    Args:
        store: Where they were staged.
        staged: In order.
    """

    def __init__(self, store: ObjectStore, staged: Sequence[Staged]) -> None:
        self._store, self._staged = store, staged

    @property
    def refs(self) -> list[FileRef]:
        """What the files will be."""
        return [each.ref for each in self._staged]

    def commit(self) -> list[FileRef]:
        """Make the files visible, see `StagedMany.commit`. Cost: one more look at each key that was taken before."""
        refuse_twins(self.refs)
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="store") as pool:
            for _done in pool.map(self._refuse_taken, self._staged):
                pass
            return list(pool.map(lambda each: each.commit(), self._staged))

    def abort(self) -> None:
        """Drop what is not visible."""
        for each in self._staged:
            each.abort()

    def _refuse_taken(self, each: Staged) -> None:
        if getattr(each, "taken", True):
            refuse_other(each.ref, self._store.head(each.ref.key))


def stage_each(
    store: ObjectStore, files: Sequence[tuple[Path, str]], on_bytes: Callable[[int], None] | None
) -> StagedMany:
    """Stage each file by itself, several at a time; when one fails, none stays staged."""
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="store") as pool:
        futures = [pool.submit(store.stage, source, key, (), on_bytes) for source, key in files]
        try:
            return StagedEach(store, [future.result() for future in futures])
        except BaseException:
            for future in futures:
                future.cancel()
            for future in futures:
                if not future.cancelled() and future.exception() is None:
                    future.result().abort()
            raise
