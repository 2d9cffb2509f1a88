"""Webhooks of Benchling: signed ones are taken, and no byte of one can be changed."""

from __future__ import annotations

import base64
import json
import string
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import pytest
from benchling_sdk.apps.helpers.webhook_helpers import WebhookVerificationError
from benchling_sdk.apps.helpers.webhook_helpers import verify as verify_by_sdk
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from jwcrypto.jwk import JWKSet
from listening import listening

from labrelay.model.errors import Denied, RefusedInput
from labrelay.records.delivery import Undeliverable
from labrelay.records.eln.benchling_keys import LARGEST, AppKeys, fetched
from labrelay.records.eln.benchling_webhook import MOST_SIGNATURES, keys_url, read_keys, verify

NOW = datetime.now(UTC).replace(microsecond=0)  # the client of Benchling has no other clock
BODY = '{"message": {"type": "v2.entity.registered", "name": "Probe α"}}'.encode()


class StoppedClock(datetime):
    """The time at which the messages of these tests are signed, however long the tests before them take."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return NOW.astimezone(tz)


@pytest.fixture(autouse=True)
def _clock_of_benchlings_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchling_sdk.apps.helpers.webhook_helpers.datetime", StoppedClock)


class Signer:
    """A key of an app, with which Benchling would sign."""

    def __init__(self) -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())

    def jwk(self) -> dict[str, str]:
        numbers = self.private.public_key().public_numbers()
        x, y = (base64.urlsafe_b64encode(n.to_bytes(32, "big")).decode().rstrip("=") for n in (numbers.x, numbers.y))
        return {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "k", "use": "sig", "alg": "ES256"}

    def signature(self, body: bytes = BODY, message: str = "wh_MsgX1", at: datetime = NOW) -> str:
        signed = f"{message}.{at.timestamp():.0f}.".encode() + body
        found = b"..."
        while len(found) % 3 == 0:  # its Base64 has spare bits, which must not be free to be changed
            found = self.private.sign(signed, ec.ECDSA(SHA256()))
        return "v1der," + base64.b64encode(found).decode()

    def headers(self, body: bytes = BODY, message: str = "wh_MsgX1", at: datetime = NOW) -> dict[str, str]:
        stamp = f"{at.timestamp():.0f}"
        return {
            "Webhook-Id": message,
            "Webhook-Timestamp": stamp,
            "Webhook-Signature": self.signature(body, message, at),
        }


def key_set(*keys: Mapping[str, Any]) -> str:
    return json.dumps({"keys": keys})


def sdk_takes(body: bytes, headers: dict[str, str], *signers: Signer) -> bool:
    keys = JWKSet.from_json(key_set(*(signer.jwk() for signer in signers)))
    try:
        verify_by_sdk("appdef_1", body.decode(), headers, jwk_function=lambda app: keys)
    except WebhookVerificationError:
        return False
    return True


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer()


@pytest.fixture(scope="module")
def other() -> Signer:
    return Signer()


def test_a_signed_webhook_is_taken_by_us_as_by_benchlings_own_client(signer: Signer) -> None:
    assert verify(BODY, signer.headers(), read_keys(key_set(signer.jwk())), NOW) == "wh_MsgX1"
    assert sdk_takes(BODY, signer.headers(), signer)


def test_no_byte_of_the_body_can_be_changed(signer: Signer) -> None:
    keys, headers = read_keys(key_set(signer.jwk())), signer.headers()
    for position in range(len(BODY)):
        for bit in (0x01, 0x20, 0x80):
            changed = bytes([*BODY[:position], BODY[position] ^ bit, *BODY[position + 1 :]])
            with pytest.raises(Denied):
                verify(changed, headers, keys, NOW)


@pytest.mark.parametrize("changed", [BODY + b"\n", BODY[:-1], b"", b"\xef\xbb\xbf" + BODY, BODY.replace(b": ", b":")])
def test_nothing_can_be_added_left_out_or_spelled_anew(signer: Signer, changed: bytes) -> None:
    with pytest.raises(Denied, match="none of the app's keys"):
        verify(changed, signer.headers(), read_keys(key_set(signer.jwk())), NOW)


@pytest.mark.parametrize("name", ["Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"])
def test_no_sign_of_a_header_can_be_changed(signer: Signer, name: str) -> None:
    keys, headers = read_keys(key_set(signer.jwk())), signer.headers()
    value = headers[name]
    for position, sign in enumerate(value):
        for other_sign in {chr(ord(sign) ^ 1), chr(ord(sign) ^ 2), "A", "1", " ", ".", "=", "é"} - {sign}:
            with pytest.raises(Denied):
                verify(BODY, headers | {name: value[:position] + other_sign + value[position + 1 :]}, keys, NOW)


def test_the_spare_bits_of_base64_are_not_free_to_be_changed(signer: Signer) -> None:
    keys, headers = read_keys(key_set(signer.jwk())), signer.headers()
    value = headers["Webhook-Signature"]
    last = len(value.rstrip("=")) - 1
    for sign in set(string.ascii_letters + string.digits + "+/") - {value[last]}:
        with pytest.raises(Denied):
            verify(BODY, headers | {"Webhook-Signature": value[:last] + sign + value[last + 1 :]}, keys, NOW)


@pytest.mark.parametrize("name", ["Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"])
def test_no_header_can_be_left_out_or_empty(signer: Signer, name: str) -> None:
    keys, headers = read_keys(key_set(signer.jwk())), signer.headers()
    with pytest.raises(Denied, match=name.lower()):
        verify(BODY, {n: v for n, v in headers.items() if n != name}, keys, NOW)
    with pytest.raises(Denied):
        verify(BODY, headers | {name: ""}, keys, NOW)


def test_what_is_signed_cannot_be_parted_at_another_full_stop(signer: Signer) -> None:
    """`1.2.3` signed as id 1, time 2 and body 3 must not be id 1.2 and so on: the bytes are the same."""
    stamp = f"{NOW.timestamp():.0f}"
    body = f"{stamp}.rest".encode()
    headers = signer.headers(body)
    moved = headers | {"Webhook-Id": f"wh_MsgX1.{stamp}"}
    with pytest.raises(Denied, match="no id"):
        verify(b"rest", moved, read_keys(key_set(signer.jwk())), NOW)
    assert sdk_takes(b"rest", moved, signer)  # which is why we are stricter


@pytest.mark.parametrize(("apart", "taken"), [(-301, False), (-300, True), (0, True), (300, True), (301, False)])
def test_five_minutes_either_way(signer: Signer, apart: int, taken: bool) -> None:
    headers, keys = signer.headers(at=NOW + timedelta(seconds=apart)), read_keys(key_set(signer.jwk()))
    if taken:
        verify(BODY, headers, keys, NOW)
    else:
        with pytest.raises(Denied, match=r"301 s too (old|new)"):
            verify(BODY, headers, keys, NOW)


@pytest.mark.parametrize("stamp", ["{}.0", " {}", "{}\n", "+{}", "0{}", "1e9", "nan", "inf", "-{}", "²", "9" * 400])
def test_a_time_has_one_spelling(signer: Signer, stamp: str) -> None:
    headers = signer.headers() | {"Webhook-Timestamp": stamp.format(int(NOW.timestamp()))}
    with pytest.raises(Denied, match=r"no number of seconds"):
        verify(BODY, headers, read_keys(key_set(signer.jwk())), NOW)


def test_any_of_several_keys_and_any_of_several_signatures_will_do(signer: Signer, other: Signer) -> None:
    keys = read_keys(key_set(other.jwk(), signer.jwk()))
    verify(BODY, signer.headers(), keys, NOW)
    both = signer.headers() | {"Webhook-Signature": f"v2xyz,abc {other.signature()} {signer.signature()}"}
    verify(BODY, both, read_keys(key_set(signer.jwk())), NOW)


def test_a_key_that_the_app_does_not_have_signs_nothing(signer: Signer, other: Signer) -> None:
    for keys in (read_keys(key_set(other.jwk())), ()):
        with pytest.raises(Denied, match="none of the app's keys"):
            verify(BODY, signer.headers(), keys, NOW)
    assert not sdk_takes(BODY, signer.headers(), other)


@pytest.mark.parametrize("scheme", ["v1", "v1DER", "derv1", "v2der", "der"])
def test_a_signature_of_another_scheme_is_none(signer: Signer, scheme: str) -> None:
    headers = signer.headers() | {"Webhook-Signature": signer.signature().replace("v1der", scheme)}
    with pytest.raises(Denied, match="none of the app's keys"):
        verify(BODY, headers, read_keys(key_set(signer.jwk())), NOW)


def test_thousands_of_signatures_are_not_all_tried(signer: Signer) -> None:
    headers = signer.headers() | {"Webhook-Signature": "x " * MOST_SIGNATURES + signer.signature()}
    with pytest.raises(Denied):
        verify(BODY, headers, read_keys(key_set(signer.jwk())), NOW)


def test_keys_of_another_kind_are_left_out(signer: Signer) -> None:
    rsa = {"kty": "RSA", "n": "AQAB", "e": "AQAB"}
    assert len(read_keys(key_set(rsa, signer.jwk(), signer.jwk() | {"crv": "P-384"}))) == 1


@pytest.mark.parametrize(
    "text",
    ["", "<html>", "[]", "{}", '{"keys": []}', '{"keys": [{"kty": "RSA"}]}', '{"keys": [1]}']
    + [key_set({"kty": "EC", "crv": "P-256", "x": x, "y": "AQ"}) for x in ("AQ", "*", "é", 1, None)],
)
def test_what_is_no_key_set_is_refused(text: str) -> None:
    with pytest.raises(RefusedInput, match="keys of Benchling's webhooks"):
        read_keys(text)


def test_the_address_of_the_keys_is_that_of_benchlings_client() -> None:
    from benchling_sdk.apps.helpers import webhook_helpers

    assert keys_url("appdef_1") == webhook_helpers._production_webhook_jwks("appdef_1")


class Published:
    """What Benchling publishes, and how often it was asked."""

    def __init__(self, *signers: Signer) -> None:
        self.signers, self.asked, self.down = signers, 0, False
        self.now = 1000.0

    def fetch(self, url: str) -> bytes:
        self.asked += 1
        if self.down:
            raise Undeliverable("no line", retry=True)
        return key_set(*(signer.jwk() for signer in self.signers)).encode()

    def app(self) -> AppKeys:
        return AppKeys("appdef_1", self.fetch, lambda: self.now)


def test_the_keys_are_fetched_once_an_hour(signer: Signer) -> None:
    published = Published(signer)
    app = published.app()
    for published.now in (0.0, 1000.0, 3599.0, 3600.0):
        assert app.verify(BODY, signer.headers(), NOW) == "wh_MsgX1"
    assert published.asked == 2


def test_a_new_key_is_found_by_its_first_signature(signer: Signer, other: Signer) -> None:
    published = Published(signer)
    app = published.app()
    app.verify(BODY, signer.headers(), NOW)
    published.signers, published.now = (signer, other), 1060.0
    app.verify(BODY, other.headers(), NOW)
    assert published.asked == 2


def test_forgers_cannot_make_us_ask_more_than_once_a_minute(signer: Signer, other: Signer) -> None:
    published = Published(signer)
    app = published.app()
    for published.now in range(1000, 1120):
        with pytest.raises(Denied):
            app.verify(BODY, other.headers(), NOW)
    assert published.asked == 2


def test_kept_keys_serve_six_hours_while_benchling_is_away(signer: Signer) -> None:
    published = Published(signer)
    app = published.app()
    app.verify(BODY, signer.headers(), NOW)
    published.down, published.now = True, 1000.0 + 6 * 3600
    app.verify(BODY, signer.headers(), NOW)
    published.now += 61
    with pytest.raises(Undeliverable) as refused:
        app.verify(BODY, signer.headers(), NOW)
    assert refused.value.retryable
    with pytest.raises(Undeliverable):
        app.verify(BODY, signer.headers(), NOW)
    assert published.asked == 3


def test_keys_come_from_an_address_and_nothing_large_is_taken_for_them(signer: Signer) -> None:
    keys = key_set(signer.jwk()).encode()
    answers = {"/keys": (200, keys), "/large": (200, b" " * (LARGEST + 1)), "/gone": (404, keys), "/away": (302, keys)}

    async def publish(scope: Any, receive: Any, send: Any) -> None:
        status, content = answers[scope["path"]]
        headers = [(b"location", b"/keys")] if status == 302 else []
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    with listening(publish) as url:
        assert fetched(f"{url}/keys") == keys
        for path in ("/large", "/gone", "/away"):
            with pytest.raises(Undeliverable):
                fetched(url + path)
    with pytest.raises(Undeliverable):
        fetched(f"{url}/keys")
