"""Speaking JSON over HTTP with a notebook: what each kind of answer means, in a sentence, and whether to try again."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any
from urllib.parse import urlsplit

import httpx

from labrelay.model.names import printable
from labrelay.records.delivery import DOWN, LATER, Undeliverable, wait_seconds
from labrelay.records.posting import trusted

TIMEOUT = 30.0  # seconds for each of connect, write and read
LARGEST_ANSWER = 32 << 20  # bytes
ANSWER_SECONDS = 60.0  # for an answer's body in all, however its bytes trickle
# What JSON has to look like: an object with at least these keys, a list of such things, or a type.
Shape = Mapping[str, Any] | list[Any] | type | UnionType


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


class TooLarge(Undeliverable):
    """A file has more bytes than we take; it was not read further."""


class Rest:
    """A notebook's REST API at one address, with one account.

    Args:
        title: What people call the notebook, for sentences.
        url: Where its API begins.
        headers: What carries the token; stands in no error.
    """

    def __init__(self, title: str, url: str, headers: Mapping[str, str]) -> None:
        self.title, self.host = title, urlsplit(url).netloc.rpartition("@")[2] or url
        # Redirects are not followed: they would carry the token to a host that nobody named.
        self._client = httpx.Client(
            base_url=url, headers=dict(headers), timeout=TIMEOUT, follow_redirects=False, verify=trusted()
        )

    def ask(self, method: str, path: str, *, known: Collection[int] = (), shape: Shape = object, **more: Any) -> Answer:
        """Send one request.

        Args:
            method: `GET`, `POST` …
            path: Below the API's address.
            known: Statuses outside 2xx that the caller handles itself.
            shape: Of the body of a 2xx; the caller uses nothing that it does not name.
            more: What `httpx.Client.request` takes: params, json, content, headers.

        Raises:
            Undeliverable: Nobody answered, or not what was asked for.
        """
        response, content = self._sent(method, path, LARGEST_ANSWER, **more)
        if response.is_success or response.status_code in known:
            body = self._body(response.status_code, content)
            if response.is_success and not fits(body, shape):
                raise self._no_answer(response.status_code, "something else than its API says")
            return Answer(response.status_code, body, response.headers.get("location", ""))
        raise refused(self.title, self.host, response.status_code, response.headers, detail_of(content))

    def fetch(self, path: str, largest: int = 5 << 20) -> bytes:
        """Return the bytes of a file.

        Raises:
            TooLarge: It is larger than a notebook's file of ours should be.
            Undeliverable: Nobody answered, or with a refusal.
        """
        response, content = self._sent("GET", path, largest)
        if not response.is_success:
            raise refused(self.title, self.host, response.status_code, response.headers)
        if len(content) > largest:
            raise TooLarge(f"a file in {self.title} has more than {largest} bytes", retry=False)
        return content

    def _sent(self, method: str, path: str, largest: int, **more: Any) -> tuple[httpx.Response, bytes]:
        """Send a request and return its answer with what was read of its body; see `read_up_to`."""
        try:
            with self._client.stream(method, path, **more) as response:
                return response, read_up_to(response, largest, ANSWER_SECONDS)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise Undeliverable(f"eln_url is no address of {self.title}: mend the setting", retry=False) from None
        except httpx.LocalProtocolError:
            said = f"what is asked of {self.title} cannot be sent, by a sign that HTTP refuses: check eln_token"
            raise Undeliverable(said, retry=False) from None
        except httpx.HTTPError as error:
            said = f"{self.title} at {self.host} did not answer ({type(error).__name__}): is it up, and eln_url right?"
            raise Undeliverable(said, retry=True, down=True) from None

    def _body(self, status: int, content: bytes) -> Any:
        if len(content) > LARGEST_ANSWER:
            raise self._no_answer(status, f"more than {LARGEST_ANSWER} bytes")
        try:
            return json.loads(content) if content else None
        except (ValueError, RecursionError):
            raise self._no_answer(status, "something else than JSON") from None

    def _no_answer(self, status: int, what: str) -> Undeliverable:
        said = f"{self.title} at {self.host} answered {status} with {what}, as a proxy or a login page does"
        return Undeliverable(f"{said}: check eln_url", retry=True)

    def close(self) -> None:
        """Close connections."""
        self._client.close()


def read_up_to(response: httpx.Response, largest: int, seconds: float) -> bytes:
    """Return the body of a streamed answer; of a larger one its beginning, which is longer than `largest`.

    Raises:
        httpx.HTTPError: It broke off, or it took more than these seconds.
    """
    content, began = bytearray(), time.monotonic()
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) > largest:
            break
        if time.monotonic() - began > seconds:
            raise httpx.ReadTimeout(f"an answer took more than {seconds:g} s", request=response.request)
    return bytes(content)


def fits(body: Any, shape: Shape) -> bool:
    """Return whether parsed JSON has a shape; an object may have more keys."""
    if isinstance(shape, Mapping):
        return isinstance(body, dict) and all(key in body and fits(body[key], inner) for key, inner in shape.items())
    if isinstance(shape, list):
        return isinstance(body, list) and all(fits(each, shape[0]) for each in body)
    return isinstance(body, shape)


def refused(title: str, host: str, status: int, headers: Mapping[str, str], detail: str = "") -> Undeliverable:
    """Return what an answer outside 2xx means."""
    said = f": {detail}" if detail else ""
    if status == 401:
        text = f"{title} at {host} does not take the token{said}: put a new one into eln_token"
        return Undeliverable(text, retry=False)
    if status == 403:
        return Undeliverable(f"{title} at {host} denies our account the right{said}: grant it there", retry=False)
    if status in LATER or status >= 500:
        text = f"{title} at {host} answered {status}{said}: wait for it, or ask who runs it"
        wait = wait_seconds(headers.get("retry-after"))
        return Undeliverable(text, retry=True, retry_after=wait, down=status in DOWN)
    if 300 <= status < 400:
        return Undeliverable(f"{title} at {host} sends us elsewhere ({status}): check eln_url", retry=False)
    text = f"{title} at {host} answered {status}{said}: `labrelay eln check` says whether our account is well"
    return Undeliverable(text, retry=False)


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
