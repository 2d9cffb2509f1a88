"""Posting JSON to an address that the settings name: a webhook, a backend for lineage."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from labrelay.records.delivery import Undeliverable, judge

TIMEOUT = 10.0  # seconds for each of connect, write and read


def post_json(url: str, body: Any, who: str, setting: str, headers: Mapping[str, str] | None = None) -> None:
    """Post something as JSON; redirects are not followed, because they would carry it to a host that nobody named.

    Args:
        url: A secret: it stands in no error and no log.
        body: What.
        who: What answers there, for sentences.
        setting: Which setting names it.
        headers: Go along; stand in no error.

    Raises:
        Undeliverable: It was not taken; `retryable` after 408, 425, 429, 5xx and when nobody answered.
    """
    import httpx  # most deliveries post nothing

    at = f"{who} at {host_of(url, setting)}"
    try:
        with (
            httpx.Client(timeout=TIMEOUT, follow_redirects=False, verify=trusted()) as client,
            client.stream("POST", url, json=body, headers=dict(headers or {})) as response,
        ):
            status, answered = response.status_code, response.headers
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Undeliverable(f"{at} did not answer ({type(error).__name__})", retry=True, down=True) from None
    if not 200 <= status < 300:
        raise judge(status, answered, at, setting)


def host_of(url: str, setting: str) -> str:
    """Return the host of an address.

    Raises:
        Undeliverable: It is none.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise Undeliverable(f"{setting} is no http:// or https:// address: mend the setting", retry=False)
    return parts.hostname


@cache
def trusted() -> ssl.SSLContext:
    """Return whose certificates are believed; reading them takes longer than telling a message."""
    import httpx

    return httpx.create_ssl_context()
