"""Is this webhook from Benchling? ECDSA P-256 over `id.timestamp.body` as it came, by a key of the app's key set.

Pure: whoever answers the door passes the raw bytes, the headers, the keys and the time. Stricter than Benchling's own
client where that is loose: numbers, Base64 and the id have one spelling only, so that no byte can be changed, or moved
from one part to the next, in a message that is taken.

Follows https://docs.benchling.com/docs/webhook-verification.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from labrelay.model.errors import Denied, RefusedInput
from labrelay.model.problem import Problem

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

TOLERANCE = 300  # seconds that the sender's clock and ours may be apart
MOST_SIGNATURES = 10  # one a key while keys are changed; more only cost time
_ID = re.compile(r"[\x21-\x2d\x2f-\x7e]{1,200}")  # no full stop: it parts what is signed
_SECONDS = re.compile(r"[1-9][0-9]{0,11}")
_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")

Key = Mapping[str, str]
"""A public key as a JSON web key (RFC 7517): `kty`, `crv`, `x`, `y`."""


def verify(body: bytes, headers: Mapping[str, str], keys: Sequence[Key], now: datetime) -> str:
    """Return the message's id, the same each time it is sent again, if one of the keys signed it just now.

    Args:
        body: The request's body as it came: not decoded, not parsed.
        headers: The request's headers; the case of their names does not matter.
        keys: The app's keys, as `read_keys` gives them; while Benchling changes them there are several.
        now: With its time zone; the message may be five minutes older or newer.

    Raises:
        Denied: It is not from Benchling, not of now, or not as it was sent; the sentence is for our log only.
    """
    given = {name.lower(): value for name, value in headers.items()}
    missing = [name for name in _HEADERS if name not in given]
    if missing:
        raise Denied(f"the webhook has no header {', '.join(missing)}: it is not from Benchling")
    message, moment, signatures = (given[name] for name in _HEADERS)
    if not _ID.fullmatch(message):
        raise Denied("the webhook's id is no id of Benchling's")
    if not _SECONDS.fullmatch(moment):
        raise Denied("the webhook's time is no number of seconds")
    apart = int(moment) - now.timestamp()
    if abs(apart) > TOLERANCE:
        way = "new" if apart > 0 else "old"
        raise Denied(f"the webhook is {abs(apart):.0f} s too {way}: it was sent before, or a clock is wrong")
    signed = f"{message}.{moment}.".encode() + body
    if not _any_signed(signed, _signatures(signatures), [_public_key(key) for key in keys]):
        raise Denied("the webhook's signature is by none of the app's keys")
    return message


def read_keys(text: str | bytes) -> tuple[Key, ...]:
    """Return the keys of a key set (RFC 7517) that can sign webhooks; keys of other kinds are left out.

    Raises:
        RefusedInput: It is no key set, or has no such key.
    """
    try:
        entries = json.loads(text)["keys"]
        usable = tuple(key for key in entries if (key["kty"], key.get("crv")) == ("EC", "P-256"))
        for key in usable:
            _public_key(key)
    except (ValueError, KeyError, TypeError, AttributeError, Denied):
        raise _no_key_set("it is no JSON web key set") from None
    if not usable:
        raise _no_key_set("it has no key of the kind EC P-256")
    return tuple({name: str(key[name]) for name in ("kty", "crv", "x", "y")} for key in usable)


def keys_url(app_definition_id: str) -> str:
    """Return where Benchling publishes the keys of an app; they change often and are asked for every few hours."""
    return f"https://apps.benchling.com/api/v1/apps/{app_definition_id}/jwks"


def _no_key_set(why: str) -> RefusedInput:
    return RefusedInput("the keys of Benchling's webhooks", [Problem(code="NOT_KEYS", message=why)])


def _signatures(header: str) -> list[bytes]:
    """Return the signatures of the one scheme that is used, `v1der`; later schemes may stand beside it."""
    entries = [entry.partition(",") for entry in header.split(" ")[:MOST_SIGNATURES]]
    return [_decode(value) for scheme, _, value in entries if scheme == "v1der"]


def _any_signed(signed: bytes, signatures: Sequence[bytes], keys: Sequence[EllipticCurvePublicKey]) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    for key in keys:
        for signature in signatures:
            try:
                key.verify(signature, signed, ECDSA(SHA256()))
            except InvalidSignature:
                continue
            return True
    return False


def _public_key(key: Key) -> EllipticCurvePublicKey:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicNumbers

    x, y = (int.from_bytes(_decode(key[name], urlsafe=True), "big") for name in ("x", "y"))
    return EllipticCurvePublicNumbers(x, y, SECP256R1()).public_key()


def _decode(text: str, *, urlsafe: bool = False) -> bytes:
    """Decode Base64 of one spelling: the last sign's spare bits are 0, so that a changed sign is another value."""
    padded = text + "=" * (-len(text) % 4) if urlsafe else text
    altchars = b"-_" if urlsafe else None
    try:
        found = base64.b64decode(padded.encode("ascii"), altchars, validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise Denied("the webhook's signature is no Base64") from None
    if base64.b64encode(found, altchars).decode() != padded:
        raise Denied("the webhook's signature is no Base64 of one spelling")
    return found
