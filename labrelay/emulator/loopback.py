"""Questions to programs on this machine, which never go through a proxy that the environment names."""

from __future__ import annotations

import http.client
import urllib.request

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(
    url: str, body: bytes | None = None, headers: dict[str, str] | None = None, method: str | None = None
) -> http.client.HTTPResponse:
    """Send a request and return the answer, to be closed by the caller.

    Raises:
        urllib.error.HTTPError: The status says no.
        OSError: Nobody answers.
    """
    request = urllib.request.Request(url, body, headers or {}, method=method)  # noqa: S310 (our own addresses)
    answer: http.client.HTTPResponse = _OPENER.open(request, timeout=30)
    return answer
