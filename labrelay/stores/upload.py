"""Files that are judged together (the mates of a pair) are stored together or not at all.

Each file is read once, in its own thread, into the unseen part of the store while its scan looks at the same bytes.
Only when every scan and the judge of the whole group are content do the files get their names.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from labrelay.model.errors import Conflict, RefusedInput, StorageFailed
from labrelay.model.files import FileRef
from labrelay.model.problem import Problem, errors_of
from labrelay.stores.ports import ObjectStore, Staged, Watcher

THREADS = 2


@dataclass(frozen=True)
class Upload:
    """One file of a group.

    Attributes:
        source: Where it lies now.
        key: Where it will lie.
        watchers: See its bytes, and are closed after `finish`; a `RefusedInput` that one raises refuses the group.
        finish: Called in the reading thread after the last byte with what the store has read (its SHA-256 and size, so
            that no scan has to hash the same bytes again); returns what the scan found in this file alone, or raises
            `RefusedInput`.
    """

    source: Path
    key: str
    watchers: Sequence[Watcher] = ()
    finish: Callable[[FileRef], Sequence[Problem]] | None = None


@dataclass
class _Outcome:
    staged: Staged | None = None
    problems: list[Problem] = field(default_factory=list)
    failure: Exception | None = None


class _KeptOpen:
    """A watcher that the store cannot close, because `finish` wants its last word first."""

    def __init__(self, watcher: Watcher) -> None:
        self.feed = watcher.feed

    def close(self) -> None:
        """Leave the watcher open; `put_group` closes it after `finish`."""


class _Stopped(Exception):
    """Another file of the group failed, so reading on is of no use."""


def put_group(
    store: ObjectStore,
    uploads: Sequence[Upload],
    judge: Callable[[], Sequence[Problem]] | None = None,
    *,
    what: str,
    known: Mapping[str, FileRef] | None = None,
    on_bytes: Callable[[int], None] | None = None,
) -> list[FileRef]:
    """Store all files of a group or none, each read once.

    Args:
        store: Where to.
        uploads: The files, such as R1 and R2 of a lane.
        judge: Looks at the group as a whole once every file was read and found good; an error among its problems
            refuses the group.
        what: What the group is called in messages: `sample S1, lane 1`.
        known: By key, what the records say is stored. When the store and the size of the source agree for the whole
            group, nothing is read again and nobody judges.
        on_bytes: Told the bytes of each chunk read, from one thread at a time.

    Returns:
        The stored files in the order of `uploads`.

    Raises:
        RefusedInput: With every problem of every file; nothing was stored.
        StorageFailed: A file could not be read or stored.
        Conflict: Other bytes lie under one of the keys.
    """
    kept = _already_stored(store, uploads, known or {})
    if kept is not None:
        for watcher in (watcher for upload in uploads for watcher in upload.watchers):
            watcher.close()
        return kept
    outcomes = [_Outcome() for _ in uploads]
    try:
        _stage_all(store, uploads, outcomes, on_bytes)
        _raise_failures(what, outcomes)
        _refuse(what, list(judge()) if judge is not None else [])
        staged = [outcome.staged for outcome in outcomes if outcome.staged is not None]
        _refuse_conflicts(store, staged)
        return [each.commit() for each in staged]
    finally:
        for outcome in outcomes:
            if outcome.staged is not None:
                outcome.staged.abort()


def _already_stored(
    store: ObjectStore, uploads: Sequence[Upload], known: Mapping[str, FileRef]
) -> list[FileRef] | None:
    refs = []
    for upload in uploads:
        ref = known.get(upload.key)
        if ref is None or _size(upload.source) != ref.size or store.head(upload.key) != ref:
            return None
        refs.append(ref)
    return refs


def _size(source: Path) -> int | None:
    try:
        return source.lstat().st_size
    except OSError:
        return None


def _stage_all(
    store: ObjectStore,
    uploads: Sequence[Upload],
    outcomes: Sequence[_Outcome],
    on_bytes: Callable[[int], None] | None,
) -> None:
    stop, one_at_a_time = threading.Event(), threading.Lock()

    def tick(count: int) -> None:
        if stop.is_set():
            raise _Stopped
        if on_bytes is not None:
            with one_at_a_time:
                on_bytes(count)

    def work(upload: Upload, outcome: _Outcome) -> None:
        _stage_one(store, upload, outcome, tick)
        if outcome.failure is not None:
            stop.set()

    with ThreadPoolExecutor(min(THREADS, max(1, len(uploads))), thread_name_prefix="store") as pool:
        try:
            for done in wait([pool.submit(work, *pair) for pair in zip(uploads, outcomes, strict=True)]).done:
                done.result()
        except BaseException:
            stop.set()
            raise


def _stage_one(store: ObjectStore, upload: Upload, outcome: _Outcome, tick: Callable[[int], None]) -> None:
    try:
        with ExitStack() as stack:
            for watcher in upload.watchers:
                stack.callback(watcher.close)
            held = [_KeptOpen(watcher) for watcher in upload.watchers]
            outcome.staged = store.stage(upload.source, upload.key, held, tick)
            if upload.finish is not None:
                outcome.problems.extend(upload.finish(outcome.staged.ref))
    except RefusedInput as refused:
        outcome.problems.extend(refused.problems)
    except Exception as error:
        outcome.failure = error


def _raise_failures(what: str, outcomes: Sequence[_Outcome]) -> None:
    failures = [o.failure for o in outcomes if o.failure is not None and not isinstance(o.failure, _Stopped)]
    unexpected = [failure for failure in failures if not isinstance(failure, StorageFailed)]
    if unexpected:
        raise unexpected[0]
    if len(failures) > 1:
        raise StorageFailed("\n".join(dict.fromkeys(map(str, failures)))) from failures[0]
    if failures:
        raise failures[0]
    _refuse(what, [problem for outcome in outcomes for problem in outcome.problems])


def _refuse(what: str, problems: list[Problem]) -> None:
    if errors_of(problems):
        raise RefusedInput(what, problems)


def _refuse_conflicts(store: ObjectStore, staged: Sequence[Staged]) -> None:
    """Find a conflict before the first file of the group is visible, not between the two."""
    found = [(each.ref, store.head(each.ref.key)) for each in staged]
    # By content: a store that numbers its versions gives the number at the commit.
    taken = [ref.key for ref, there in found if there is not None and there.sha256 != ref.sha256]
    if taken:
        raise Conflict(
            f"Other content is stored already as {', '.join(taken)}; stored files are never replaced: "
            "store these under another name."
        )
