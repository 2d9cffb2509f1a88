"""What may ask the emulator: clients that sign their requests, never a web page that a user happens to look at.

The emulator runs workflows, so that whoever can ask it can run commands. It listens to this machine alone, but a
browser is on this machine too: a page may send requests to any address without reading the answers, or have its own
name point here (DNS rebinding). Signatures are looked for, not verified: there are no secrets to verify them with.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request as Asked
from starlette.responses import JSONResponse

OWN_PATHS = "/_labrelay/"  # reading below it changes nothing
HOST = re.compile(r"\[?([^\[\]]*?)\]?(:[0-9]*)?")
SIGNED = re.compile(r"AWS4-HMAC-SHA256 +Credential=")
DENIED = "AccessDeniedException"
PRESIGNED = {"X-Amz-Credential", "AWSAccessKeyId"}  # of an address by signature version 4, and 2 (S3 alone)
NEAR = ("same-origin", "none")  # what a browser says of a request that no other site caused

App = Callable[[Any, Any, Any], Awaitable[None]]


class Guard:
    """An ASGI application that lets through what may ask.

    Args:
        app: What answers it.
        host: The address that the emulator listens on. Where it is no loopback address, other machines have names for
            it that are not known here, and any `Host` is taken.
    """

    def __init__(self, app: App, host: str) -> None:
        self._app, self._any_host = app, not is_loopback(host)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, or answer it with 403."""
        why = None if scope["type"] != "http" else self._objection(Asked(scope))
        if why is None:
            await self._app(scope, receive, send)
            return
        body = {"__type": DENIED, "message": f"The emulator does not take this request: {why}."}
        await JSONResponse(body, 403, {"x-amzn-errortype": DENIED})(scope, receive, send)

    def _objection(self, asked: Asked) -> str | None:
        host, origin = asked.headers.get("host", ""), asked.headers.get("origin")
        named = HOST.fullmatch(host.lower())
        if not self._any_host and not (named and is_loopback(named[1])):
            return "its Host is no name of this machine; use the address that the emulator printed"
        if asked.headers.get("sec-fetch-site", "none") not in NEAR or (origin and origin.partition("://")[2] != host):
            return "it comes from a web page of another site"
        signed = SIGNED.match(asked.headers.get("authorization", "")) or PRESIGNED & asked.query_params.keys()
        looks = asked.method == "GET" and asked.url.path.startswith(OWN_PATHS)
        if not signed and not looks:
            return "it is not signed; export the lines that the emulator printed, any credentials will do"
        return None


def is_loopback(host: str) -> bool:
    """Whether a host name means this machine and nothing else; `bucket.localhost` does, too."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
