"""Signed webhooks: each scheme proves, on the raw bytes, who sent a message, when, and which message it is.

Nothing of a body is parsed before its signature is right. What tells two messages apart has to be signed too, or
somebody who overheard one could send it again under another id.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from labrelay.model.errors import Denied

if TYPE_CHECKING:
    from labrelay.records.eln.benchling_keys import AppKeys

WINDOW_SECONDS = 300
_ID = re.compile(r"[\x21-\x7e]{1,200}\Z")
_TIME = re.compile(r"[0-9]{1,12}\Z")


class Signed(NamedTuple):
    """A request as it came: headers by lower-case name, and the bytes."""

    headers: Mapping[str, str]
    body: bytes


Scheme = Callable[[Signed, Sequence[bytes], float], str]
"""Takes the request, the live secrets and the time in seconds; returns the message's id, or raises `Denied`,
whose sentence is for the log: the sender hears less."""


def sign(secret: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the header `Labrelay-Signature` for a message: HMAC-SHA256 over `id.timestamp.body`, hexadecimal."""
    return "v1=" + _mac(secret, f"{message_id}.{timestamp}.".encode() + body)


def labrelay(signed: Signed, secrets: Sequence[bytes], moment: float) -> str:
    """Verify `Labrelay-Id`, `Labrelay-Timestamp` (seconds) and `Labrelay-Signature` (`v1=HEX`, several with commas)."""
    message_id = signed.headers.get("labrelay-id", "")
    timestamp = signed.headers.get("labrelay-timestamp", "")
    if not _ID.match(message_id) or not _TIME.match(timestamp):
        raise Denied("the id or the time of the message is missing")
    text = f"{message_id}.{timestamp}.".encode() + signed.body
    given = signed.headers.get("labrelay-signature", "").replace(" ", "").split(",")
    _refuse_unsigned(text, [each.removeprefix("v1=") for each in given if each.startswith("v1=")], secrets)
    if abs(moment - int(timestamp)) > WINDOW_SECONDS:
        raise Denied("the message is older or newer than five minutes")
    return message_id


def github(signed: Signed, secrets: Sequence[bytes], _moment: float) -> str:
    """Verify `X-Hub-Signature-256` (`sha256=HEX`), as GitHub and those who do as it does sign.

    Neither a time nor an id is signed there, so the message is known by its content: the same again is no new one,
    whenever it comes.
    """
    given = signed.headers.get("x-hub-signature-256", "")
    if not given.startswith("sha256="):
        raise Denied("the signature is missing")
    _refuse_unsigned(signed.body, [given.removeprefix("sha256=")], secrets)
    return "sha256:" + hashlib.sha256(signed.body).hexdigest()


def benchling(signed: Signed, apps: Sequence[bytes], moment: float) -> str:
    """Verify `webhook-id`, `webhook-timestamp` and `webhook-signature` by the keys that Benchling publishes for an app.

    Raises:
        Undeliverable: Benchling does not give the keys; the same message may be sent again.
    """
    return _keys_of(apps[0].decode()).verify(signed.body, signed.headers, datetime.fromtimestamp(moment, UTC))


@cache
def _keys_of(app: str) -> AppKeys:
    from labrelay.records.eln.benchling_keys import AppKeys  # its cryptography is for those who have Benchling

    return AppKeys(app)


def _refuse_unsigned(text: bytes, given: Sequence[str], secrets: Sequence[bytes]) -> None:
    right = False
    for secret in secrets:
        wanted = _mac(secret, text).encode()
        for each in given[:4]:
            right |= hmac.compare_digest(wanted, each.encode("utf-8", "surrogatepass"))
    if not right:
        raise Denied("no signature is right")


def _mac(secret: bytes, text: bytes) -> str:
    return hmac.new(secret, text, hashlib.sha256).hexdigest()


# A further scheme is one function and one line here; what is done with its messages, one in `steps/messages.py`.
SCHEMES: dict[str, Scheme] = {"labrelay": labrelay, "github": github, "benchling": benchling}
