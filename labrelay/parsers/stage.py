"""A thread that works on items in order behind a bounded queue, so that reading, inflating and checking overlap.

Two promises matter to callers: an error in the thread surfaces at their next `put` or at `finish`, and nothing ever
blocks for good, because the thread keeps emptying its queue after an error or a `close`.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import Queue
from threading import Lock, Thread
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Stage(Generic[Item]):
    """Applies `work` to each item put, in order, in one thread of its own.

    Args:
        name: The thread's name, for debuggers.
        work: Called in the thread; what it raises ends the work and goes to the caller.
        depth: Items that may wait before `put` blocks, which bounds memory.
    """

    def __init__(self, name: str, work: Callable[[Item], None], depth: int = 2) -> None:
        self._work = work
        self._error: BaseException | None = None
        self._dropping = False
        self._ended = False
        # An item travels in a tuple of one, so that None can end the thread whatever items are.
        self._queue: Queue[tuple[Item] | None] = Queue(maxsize=depth)
        # The thread starts with the first item: a stage that is made and never used costs nothing.
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._started = False
        self._starting = Lock()  # whoever closes may be another thread than the one that puts the first item

    def put(self, item: Item) -> None:
        """Hand over an item; blocks while `depth` items wait.

        Raises:
            BaseException: What `work` raised on an earlier item.
            ValueError: The stage was finished or closed.
        """
        if self._ended:
            raise ValueError("this stage takes no more items")
        if self._error is not None:
            raise self._error
        with self._starting:
            if not self._started:
                self._thread.start()
                self._started = True
        self._queue.put((item,))

    def finish(self) -> None:
        """Wait until every item is worked on; raises what `work` raised."""
        self._end()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Drop what waits and join the thread; may be called again, and after `finish`."""
        self._dropping = True
        self._end()

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._queue.put(None)
        with self._starting:
            started = self._started
        if started:
            self._thread.join()

    def _run(self) -> None:
        while (entry := self._queue.get()) is not None:
            if self._dropping or self._error is not None:
                continue
            try:
                self._work(entry[0])
            except BaseException as error:  # whatever it is, it belongs to the caller's thread
                self._error = error
