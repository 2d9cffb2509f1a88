"""The threads that do what is due: one for each registered worker."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping

from labrelay.emulator.service import BATCH_WORKER, WORKERS, Service, Work

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 2.0  # after a worker broke


class Background:
    """Runs the workers of a service until it is stopped."""

    def __init__(self, service: Service, workers: Mapping[str, Work] | None = None) -> None:
        self._service = service
        self._stopping = service.stopping
        self._threads = [
            threading.Thread(target=self._go_on, args=(name, work), name=f"worker {name}", daemon=True)
            for name, work in (WORKERS if workers is None else workers).items()
        ]

    def start(self) -> None:
        """Start every worker; the first thing each does is take up what was left."""
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float = 2.0) -> None:
        """Ask the workers to stop; one that is in the middle of something is left, as a kill would leave it."""
        self._stopping.set()
        self._service.wake()
        for thread in self._threads:
            thread.join(seconds / max(len(self._threads), 1))

    def _go_on(self, name: str, work: Work) -> None:
        bell = self._service.batch_bell if name == BATCH_WORKER else self._service.bell
        while True:
            # In this order: the bell that says stop is never taken for one that was heard before.
            heard = bell.heard()
            if self._stopping.is_set():
                return
            try:
                pause = work(self._service)
            except Exception:
                logger.exception("the worker %s broke; it tries again in %.0f s", name, PAUSE_SECONDS)
                self._stopping.wait(PAUSE_SECONDS)
                continue
            bell.wait(heard, pause)
