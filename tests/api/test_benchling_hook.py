"""Webhooks of Benchling at the door: signed by the app's published keys, and a reason to ask the notebook once."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from doorway import Doorway
from pydantic import ValidationError

from labrelay.api import signatures
from labrelay.records.delivery import Undeliverable
from labrelay.records.eln import benchling_keys
from labrelay.steps import messages
from labrelay.steps.eln_news import Pulled
from labrelay.steps.settings import Hook

BODY = json.dumps({"message": {"type": "v2.entity.registered"}}).encode()


class App:
    """Benchling's side: a key, the address where it is published, and signatures by it."""

    def __init__(self) -> None:
        self.private, self.asked, self.down = ec.generate_private_key(ec.SECP256R1()), 0, False

    def fetched(self, _url: str) -> bytes:
        self.asked += 1
        if self.down:
            raise Undeliverable("Benchling did not answer", retry=True)
        numbers = self.private.public_key().public_numbers()
        x, y = (base64.urlsafe_b64encode(n.to_bytes(32, "big")).decode().rstrip("=") for n in (numbers.x, numbers.y))
        return json.dumps({"keys": [{"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "k"}]}).encode()

    def headers(self, message: str, body: bytes = BODY) -> dict[str, str]:
        stamp = str(int(time.time()))
        found = self.private.sign(f"{message}.{stamp}.".encode() + body, ec.ECDSA(SHA256()))
        signature = "v1der," + base64.b64encode(found).decode()
        named = {"webhook-id": message, "webhook-timestamp": stamp, "webhook-signature": signature}
        return {**named, "Content-Type": "application/json"}


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    made = App()
    monkeypatch.setattr(benchling_keys, "fetched", made.fetched)
    signatures._keys_of.cache_clear()
    yield made
    signatures._keys_of.cache_clear()


def send(door: Doorway, headers: dict[str, str], body: bytes = BODY) -> int:
    return door.client.post("/api/hooks/bench", content=body, headers=headers).status_code


def test_what_the_app_has_signed_is_taken_once_and_nothing_else(door: Doorway, app: App) -> None:
    headers = app.headers("wh_1")
    assert send(door, headers) == 202
    assert send(door, headers) == 202
    assert send(door, headers, BODY.replace(b"registered", b"archivedxx")) == 401
    assert send(door, {**headers, "webhook-id": "wh_2"}) == 401
    assert send(door, App().headers("wh_3")) == 401
    assert (door.rows(), app.asked) == (1, 1)


def test_without_keys_it_may_be_sent_again(door: Doorway, app: App) -> None:
    app.down = True
    assert send(door, app.headers("wh_1")) == 503
    assert door.rows() == 0


def test_one_look_at_the_notebook_answers_all_that_wait(
    door: Doorway, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Path] = []
    monkeypatch.setattr(messages, "pull", lambda home: (looks.append(home.path), Pulled(heard=2))[1])
    ids = [door.client.post("/api/hooks/bench", content=BODY, headers=app.headers(f"wh_{n}")) for n in range(3)]
    messages.work_off(door.home)
    assert len(looks) == 1
    assert {door.outcome(each)["outcome"] for each in ids} == {"2 entries heard, 0 waiting"}


def test_a_notebook_that_is_down_leaves_the_message_waiting_and_no_notebook_refuses_it(
    door: Doorway, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = door.client.post("/api/hooks/bench", content=BODY, headers=app.headers("wh_1"))

    def down(_home: object) -> Pulled:
        raise Undeliverable("Benchling did not answer", retry=True)

    with monkeypatch.context() as patched:
        patched.setattr(messages, "pull", down)
        assert messages.work_off(door.home).waiting == 1
    assert door.outcome(taken)["state"] == "waiting"
    messages.work_off(door.home)
    assert "labrelay.toml" in door.outcome(taken)["error"]


@pytest.mark.parametrize(
    "given",
    [
        {"scheme": "benchling"},
        {"scheme": "benchling", "app": "appdef_1", "secrets": ["x" * 32]},
        {"scheme": "benchling", "app": "https://elsewhere.example"},
        {"scheme": "labrelay", "app": "appdef_1", "secrets": ["x" * 32]},
        {"scheme": "github"},
    ],
)
def test_a_hook_has_an_app_or_secrets(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Hook.model_validate(given)
