"""Speaking JSON over HTTP with a notebook: what each kind of answer means, in a sentence, and whether to try again."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from labrelay.model.names import printable
from labrelay.records.delivery import DOWN, LATER, Undeliverable, wait_seconds

TIMEOUT = 30.0  # seconds for each of connect, write and read
LARGEST_ANSWER = 32 << 20  # bytes


@dataclass(frozen=True)
class Answer:
    """An answer that the caller knows what to do with.

    Attributes:
        status: Of HTTP.
        body: The parsed JSON, None for no content.
        location: Where the thing is that was made; empty when that is not said.
    """

    status: int
    body: Any
    location: str = ""


class Rest:
    """A notebook's REST API at one address, with one account.

    Args:
        title: What people call the notebook, for sentences.
        url: Where its API begins.
        headers: What carries the token; stands in no error.
    """

    def __init__(self, title: str, url: str, headers: Mapping[str, str]) -> None:
        self.title, self.host = title, urlsplit(url).hostname or url
        # Redirects are not followed: they would carry the token to a host that nobody named.
        self._client = httpx.Client(base_url=url, headers=dict(headers), timeout=TIMEOUT, follow_redirects=False)

    def ask(self, method: str, path: str, *, known: Collection[int] = (), **more: Any) -> Answer:
        """Send one request.

        Args:
            method: `GET`, `POST` …
            path: Below the API's address.
            known: Statuses outside 2xx that the caller handles itself.
            more: What `httpx.Client.request` takes: params, json, content, headers.

        Raises:
            Undeliverable: Nobody answered, or not what was asked for.
        """
        try:
            response = self._client.request(method, path, **more)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise Undeliverable(f"eln_url is no address of {self.title}: mend the setting", retry=False) from None
        except httpx.HTTPError as error:
            said = f"{self.title} at {self.host} did not answer ({type(error).__name__}); it is tried again"
            raise Undeliverable(said, retry=True, down=True) from None
        if response.is_success or response.status_code in known:
            location = response.headers.get("location", "")
            return Answer(response.status_code, self._body(response), location)
        raise refused(self.title, self.host, response.status_code, response.headers, detail_of(response.content))

    def fetch(self, path: str, largest: int = 5 << 20) -> bytes:
        """Return the bytes of a file.

        Raises:
            Undeliverable: Nobody answered, or it is larger than a notebook's file of ours should be.
        """
        try:
            with self._client.stream("GET", path) as response:
                if not response.is_success:
                    raise refused(self.title, self.host, response.status_code, response.headers)
                content = bytearray()
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > largest:
                        raise Undeliverable(f"a file in {self.title} has more than {largest} bytes", retry=False)
        except httpx.HTTPError as error:
            said = f"{self.title} at {self.host} did not answer ({type(error).__name__}); it is tried again"
            raise Undeliverable(said, retry=True, down=True) from None
        return bytes(content)

    def _body(self, response: httpx.Response) -> Any:
        if not response.content:
            return None
        try:
            if len(response.content) > LARGEST_ANSWER:
                raise ValueError
            return json.loads(response.content)
        except (ValueError, RecursionError):
            raise Undeliverable(
                f"{self.title} at {self.host} answered {response.status_code} with something else than JSON, "
                "as a proxy or a login page does: check eln_url; it is tried again",
                retry=True,
            ) from None

    def close(self) -> None:
        """Close connections."""
        self._client.close()


def refused(title: str, host: str, status: int, headers: Mapping[str, str], detail: str = "") -> Undeliverable:
    """Return what an answer outside 2xx means."""
    said = f": {detail}" if detail else ""
    if status == 401:
        text = f"{title} at {host} does not take the token{said}: put a new one into eln_token"
        return Undeliverable(text, retry=False)
    if status == 403:
        return Undeliverable(f"{title} at {host} denies our account the right{said}: grant it there", retry=False)
    if status in LATER or status >= 500:
        text = f"{title} at {host} answered {status}{said}; it is tried again"
        wait = wait_seconds(headers.get("retry-after"))
        return Undeliverable(text, retry=True, retry_after=wait, down=status in DOWN)
    if 300 <= status < 400:
        return Undeliverable(f"{title} at {host} sends us elsewhere ({status}): check eln_url", retry=False)
    return Undeliverable(f"{title} at {host} answered {status}{said}", retry=False)


def detail_of(content: bytes) -> str:
    """Return what a JSON error says in its usual fields, shortened; nothing of what is no JSON."""
    try:
        body = json.loads(content[:100_000])
    except (ValueError, RecursionError):
        return ""
    if not isinstance(body, dict):
        return ""
    for field in ("description", "message", "detail", "error"):
        value = body.get(field)
        if isinstance(value, dict):
            value = value.get("message")
        if isinstance(value, str) and value.strip():
            more = body.get("errors")
            return printable(f"{value.strip()}{f' {json.dumps(more)}' if more else ''}".rstrip("."), 300)
    return ""
