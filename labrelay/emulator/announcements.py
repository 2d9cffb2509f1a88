"""Events of the service on their way to the event bus: in the background, in order, best effort as on AWS."""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from labrelay.emulator.loopback import ask
from labrelay.emulator.operation import Params

logger = logging.getLogger(__name__)

Event = tuple[str, list[str], Params, str]
Disorder = Callable[[str], list[float]]
BATCH = 10  # the most that PutEvents takes


def _in_order(_detail_type: str) -> list[float]:
    return [0.0]


@dataclass(order=True)
class _Due:
    when: float
    number: int
    event: Event | None


class Announcer:
    """Puts events onto the default event bus.

    Args:
        url: Where the event bus answers.
        region: Of the event bus.
        disorder: For a detail-type, after how many seconds each copy of an event is sent; an empty list loses it.
    """

    def __init__(self, url: str, region: str, disorder: Disorder = _in_order) -> None:
        self._url, self._disorder, self._number = url, disorder, 0
        credential = f"emulator/20260101/{region}/events/aws4_request"
        self._headers = {
            "authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0",
            "content-type": "application/x-amz-json-1.1",
            "x-amz-target": "AWSEvents.PutEvents",
        }
        self._due: queue.PriorityQueue[_Due] = queue.PriorityQueue()
        self._counting = threading.Lock()
        self._thread = threading.Thread(target=self._send_all, name="announcements", daemon=True)

    def start(self) -> None:
        """Start to send."""
        self._thread.start()

    def stop(self, seconds: float = 2.0) -> None:
        """Send what is due by now, and stop."""
        self._put(time.monotonic(), None)
        self._thread.join(seconds)

    def announce(self, detail_type: str, resources: list[str], detail: Params, source: str = "aws.omics") -> None:
        """Send an event soon; see `Service.announce`."""
        now = time.monotonic()
        for seconds in self._disorder(detail_type):
            self._put(now + seconds, (detail_type, resources, detail, source))

    def _put(self, when: float, event: Event | None) -> None:
        with self._counting:
            self._number += 1
            self._due.put(_Due(when, self._number, event))

    def _send_all(self) -> None:
        while True:
            first = self._due.get()
            wait = first.when - time.monotonic()
            if wait > 0:
                # Something that is due earlier may come meanwhile.
                self._due.put(first)
                time.sleep(min(wait, 0.05))
                continue
            batch = [first]
            while len(batch) < BATCH and batch[-1].event is not None and self._next_is_due():
                batch.append(self._due.get())
            self._send([due.event for due in batch if due.event is not None])
            if batch[-1].event is None:
                return

    def _next_is_due(self) -> bool:
        return not self._due.empty() and self._due.queue[0].when <= time.monotonic()

    def _send(self, events: list[Event]) -> None:
        if not events:
            return
        entries = [
            {"Source": source, "DetailType": kind, "Resources": resources, "Detail": json.dumps(detail)}
            for kind, resources, detail, source in events
        ]
        body = json.dumps({"Entries": entries}).encode()
        try:
            with ask(self._url, body, self._headers) as answer:
                answer.read()
        except OSError as error:
            logger.warning("%d events were lost: %s", len(events), error)
