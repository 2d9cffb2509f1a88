"""The keys of a Benchling app, as Benchling publishes them: fetched hourly, used for six hours while it is not there.

`AppKeys.verify` is what answers the door. A signature that fits no kept key may be by one that is new, so it has the
keys fetched once more, but at most once a minute, whoever sends what.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import httpx

from labrelay.model.errors import Denied, RefusedInput
from labrelay.records.delivery import Undeliverable
from labrelay.records.eln.benchling_webhook import Key, keys_url, read_keys, verify
from labrelay.records.eln.rest import read_up_to

FRESH = 3600.0  # seconds; Benchling asks for six hours at most
USABLE = 6 * 3600.0  # while Benchling cannot be asked
NOT_SOONER = 60.0
LARGEST = 1 << 20  # bytes of a key set
SECONDS = 10.0  # somebody waits at the door
Fetch = Callable[[str], bytes]


class AppKeys:
    """The keys of one app; one object a process, for all its threads.

    Args:
        app_definition_id: `appdef_…`, the app's id that is the same in all tenants.
        fetch: Returns what stands at an address.
        clock: Seconds that only grow.
    """

    def __init__(
        self, app_definition_id: str, fetch: Fetch | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url, self._fetch, self._clock = keys_url(app_definition_id), fetch or fetched, clock
        self._lock = threading.Lock()
        self._keys: Sequence[Key] = ()
        self._fetched_at: float | None = None
        self._asked_at: float | None = None

    def verify(self, body: bytes, headers: Mapping[str, str], now: datetime) -> str:
        """Return the id of a webhook that the app's keys signed; see `benchling_webhook.verify`.

        Raises:
            Denied: It is not from Benchling, not of now, or not as it was sent.
            Undeliverable: There are no keys to tell by, because Benchling did not give them: it may be sent again.
        """
        keys = self._current(FRESH)
        try:
            return verify(body, headers, keys, now)
        except Denied:
            newer = self._current(NOT_SOONER)
            if newer == keys:
                raise
        return verify(body, headers, newer, now)

    def _current(self, most_seconds: float) -> Sequence[Key]:
        """Return the keys, fetched at most so long ago if Benchling gives them."""
        with self._lock:
            moment = self._clock()
            too_soon = self._asked_at is not None and moment - self._asked_at < NOT_SOONER
            if not too_soon and (self._fetched_at is None or moment - self._fetched_at >= most_seconds):
                self._asked_at = moment
                self._renew(moment)
            if self._fetched_at is None or moment - self._fetched_at > USABLE:
                raise Undeliverable("Benchling does not give the keys of our app: eln_options, or the line", retry=True)
            return self._keys

    def _renew(self, moment: float) -> None:
        try:
            self._keys = read_keys(self._fetch(self._url))
        except (Undeliverable, RefusedInput):
            return  # what is kept is used as long as it may be
        self._fetched_at = moment


def fetched(url: str) -> bytes:
    """Return what stands at an address; redirects are not followed.

    Raises:
        Undeliverable: Nobody answered, or not with 200, or with more than a key set has.
    """
    try:
        with httpx.Client(timeout=SECONDS) as client, client.stream("GET", url) as response:
            content = read_up_to(response, LARGEST, SECONDS)
            if response.status_code == 200 and len(content) <= LARGEST:
                return content
            said = f"answered {response.status_code}"
    except httpx.HTTPError as error:
        said = f"did not answer ({type(error).__name__})"
    raise Undeliverable(f"Benchling {said} when asked for the app's keys", retry=True)
