"""Progress as Prefect shows it: lines in the run's log, and a bar for what takes longer than a moment."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from time import monotonic
from typing import cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger

from labrelay.model.progress import Progress, Silent

PAUSE = 3.0
log = logging.getLogger(__name__)
_listener: contextvars.ContextVar[Progress | None] = contextvars.ContextVar("labrelay_listener", default=None)


@contextmanager
def also_told(progress: Progress) -> Iterator[None]:
    """Let `progress` (a terminal) hear what the flows of this process do, besides Prefect."""
    token = _listener.set(progress)
    try:
        yield
    finally:
        _listener.reset(token)


class RunProgress:
    """Tells the flow run that it was made in; every method may be called from any thread.

    A bar costs two requests and then one every three seconds, and is made only for a stage that lasts.
    """

    def __init__(self) -> None:
        self._log = get_run_logger()
        # Threads of a step have no run context of their own; artifacts need it to know their run.
        self._context = contextvars.copy_context()
        self._terminal = _listener.get() or Silent()
        self._lock = Lock()
        self._stage, self._looked = "work", monotonic()
        self._now, self._said = "", monotonic()
        self._bar: UUID | None = None

    def stage(self, name: str, text: str) -> None:
        """Log that a stage begins."""
        self._terminal.stage(name, text)
        self._log.info("%s: %s …", name, text)
        with self._lock:
            self._stage, self._looked, self._bar = name, monotonic(), None
            self._now, self._said = "", monotonic()

    def advance(self, what: str, done: int, total: int | None) -> None:
        """Move the bar of the stage, at most every three seconds."""
        self._terminal.advance(what, done, total)
        if not total:
            return
        with self._lock:
            if monotonic() - self._looked < PAUSE:
                return
            self._looked = monotonic()
            self._show(100 * min(done, total) / total, f"{self._stage}: {done:,} of {total:,} {what}")

    def now(self, text: str) -> None:
        """Log what is under way when it has changed, at most every three seconds."""
        self._terminal.now(text)
        with self._lock:
            if text == self._now or monotonic() - self._said < PAUSE:
                return
            self._now, self._said = text, monotonic()
        self._log.info("%s: %s", self._stage, text)

    def done(self, name: str, text: str, *, ok: bool = True) -> None:
        """Log what a stage came to, and fill its bar."""
        self._terminal.done(name, text, ok=ok)
        self._log.log(logging.INFO if ok else logging.WARNING, "%s: %s", name, text)
        with self._lock:
            if self._bar is not None:
                self._show(100.0, f"{name}: {text}")
                self._bar = None

    def _show(self, percent: float, text: str) -> None:
        try:
            self._context.copy().run(self._write, percent, text)
        except Exception:  # a bar that cannot be drawn must never cost somebody the data it is about
            log.debug("no progress bar for %s", text, exc_info=True)

    def _write(self, percent: float, text: str) -> None:
        if self._bar is None:
            self._bar = cast("UUID", create_progress_artifact(percent, description=text))
        else:
            update_progress_artifact(self._bar, percent, text)


def run_progress() -> Progress:
    """Return the progress of the present flow run, or of nobody outside one."""
    return RunProgress() if FlowRunContext.get() is not None else Silent()
