"""Webhooks: what was not signed by the source, within five minutes, byte for byte, is not taken."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import time

import httpx
import pytest
from doorway import NEXT_SECRET, SECRET, STUDY, Doorway, signed_headers

from labrelay.api.app import make_app
from labrelay.model.errors import UsageError
from labrelay.records import inbox
from labrelay.records.inbox import InboxMessage
from labrelay.records.schema import InboxRow
from labrelay.steps.collect import collect
from labrelay.steps.doctor import _settings
from labrelay.steps.messages import HANDLERS
from labrelay.steps.settings import load_settings

BODY = json.dumps({"kind": "experiment", "data": STUDY}).encode()
HEADERS = ("Labrelay-Id", "Labrelay-Timestamp", "Labrelay-Signature")


def test_no_byte_of_body_or_headers_may_differ(door: Doorway) -> None:
    right = signed_headers(BODY, "m-1")
    for place in range(len(BODY)):
        content = BODY[:place] + bytes([BODY[place] ^ 1]) + BODY[place + 1 :]
        assert door.client.post("/api/hooks/lims", content=content, headers=right).status_code == 401, place
    for name in HEADERS:
        for place, sign in enumerate(right[name]):
            for other in {chr(ord(sign) ^ 1), sign.swapcase()} - {sign}:
                changed = f"{right[name][:place]}{other}{right[name][place + 1 :]}"
                answer = door.client.post("/api/hooks/lims", content=BODY, headers={**right, name: changed})
                assert answer.status_code == 401, (name, place, other)
    assert door.rows() == 0
    assert door.client.post("/api/hooks/lims", content=BODY, headers=right).status_code == 202


@pytest.mark.parametrize("name", HEADERS)
def test_nothing_of_the_signature_may_be_missing(door: Doorway, name: str) -> None:
    headers = signed_headers(BODY, "m-1")
    del headers[name]
    assert door.client.post("/api/hooks/lims", content=BODY, headers=headers).status_code == 401


@pytest.mark.parametrize(("seconds", "status"), [(-290, 202), (290, 202), (-310, 401), (310, 401), (-90_000, 401)])
def test_a_message_is_good_for_five_minutes(door: Doorway, seconds: int, status: int) -> None:
    assert door.hook({"kind": "x"}, at=int(time.time()) + seconds).status_code == status


def test_two_secrets_are_live_so_that_one_can_be_changed(door: Doorway) -> None:
    assert door.hook({"kind": "x"}, "m-1", secret=NEXT_SECRET).status_code == 202
    assert door.hook({"kind": "x"}, "m-2", secret=SECRET).status_code == 202
    assert door.hook({"kind": "x"}, "m-3", secret="x" * 32).status_code == 401
    one, other = (signed_headers(BODY, "m-4", 1, each)["Labrelay-Signature"] for each in ("x" * 32, SECRET))
    both = signed_headers(BODY, "m-4")["Labrelay-Signature"]
    assert one != other
    answer = door.hook(BODY, "m-4", headers={"Labrelay-Signature": f"{one}, {both}"})
    assert answer.status_code == 202


def test_a_replay_is_the_same_message_and_another_under_its_id_a_conflict(door: Doorway) -> None:
    first, again = door.hook({"kind": "x"}), door.hook({"kind": "x"}, at=int(time.time()) - 20)
    assert (again.status_code, again.json()["id"], again.json()["new"]) == (202, first.json()["id"], False)
    assert door.hook({"kind": "y"}).status_code == 409
    assert door.rows() == 1


def test_an_unknown_source_is_404_and_a_signature_of_another_source_nothing_worth(door: Doorway) -> None:
    headers = signed_headers(BODY, "m-1")
    assert door.client.post("/api/hooks/nobody", content=BODY, headers=headers).status_code == 404
    assert door.client.post("/api/hooks/forge", content=BODY, headers=headers).status_code == 401


def test_the_scheme_of_github_knows_a_message_by_its_content(door: Doorway) -> None:
    signature = "sha256=" + hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-Hub-Signature-256": signature}
    first = door.client.post("/api/hooks/forge", content=BODY, headers=headers)
    again = door.client.post("/api/hooks/forge", content=BODY, headers={**headers, "X-GitHub-Delivery": "other"})
    assert (first.status_code, again.json()["id"]) == (202, first.json()["id"])
    wrong = {**headers, "X-Hub-Signature-256": signature[:-1] + "!"}
    assert door.client.post("/api/hooks/forge", content=BODY, headers=wrong).status_code == 401
    assert door.client.post("/api/hooks/forge", content=BODY + b" ", headers=headers).status_code == 401


def test_the_scheme_of_github_announces_and_tells_as_ours_does(door: Doorway) -> None:
    def send(value: object) -> httpx.Response:
        body = json.dumps(value).encode()
        signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": signature}
        return door.client.post("/api/hooks/forge", content=body, headers=headers)

    announced, odd = send({"kind": "experiment", "data": STUDY}), send({"kind": "push"})
    assert send({"ref": "refs/heads/main"}).status_code == 422
    collect(door.home)
    assert "2 samples added" in door.outcome(announced)["outcome"]
    assert "messages of the kind push" in door.outcome(odd)["error"]


def test_a_webhook_of_a_scheme_with_whose_messages_nothing_is_done_is_refused_when_the_door_opens(
    door: Doorway, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("experiment", "run_folder_complete"):
        monkeypatch.delitem(HANDLERS, ("github", kind))
    with pytest.raises(UsageError, match="the webhook forge has the scheme github, with whose messages nothing is"):
        make_app(door.home)
    old = InboxMessage(source="hook:forge", message_id="1", payload={"scheme": "github", "kind": None, "data": {}})
    with door.home.records.write() as session:
        number = inbox.post(session, old).number
    collect(door.home)
    with door.home.records.read() as session:
        assert "messages of the scheme github here" in str(session.get_one(InboxRow, number).error)


def test_a_body_is_not_parsed_before_its_signature_is_right(door: Doorway) -> None:
    bomb = b"[" * 100_000
    assert door.client.post("/api/hooks/lims", content=bomb, headers=signed_headers(b"", "m")).status_code == 401
    assert door.client.post("/api/hooks/lims", content=bomb, headers=signed_headers(bomb, "m")).status_code == 400


def test_no_secret_and_nothing_of_a_body_is_logged_or_answered(
    door: Doorway, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    canary = {"kind": "experiment", "data": {"experiment": "CANARY-PATIENT", "samples": [{"name": ""}]}}
    answers = [
        door.hook(canary),
        door.hook(canary, secret="x" * 32),
        door.post("/experiments", canary["data"]),
        door.post("/experiments", {"CANARY-PATIENT": 1}),
        door.get("/runs", "reader", state="CANARY-PATIENT"),
    ]
    monkeypatch.setattr("labrelay.records.inbox.post", lambda *_: 1 / 0)
    answers.append(door.post("/experiments", {"experiment": "CANARY-PATIENT"}))
    assert [answer.status_code for answer in answers] == [202, 401, 422, 422, 422, 500]
    logged = "\n".join(record.getMessage() for record in caplog.records if not record.name.startswith("http"))
    assert "ZeroDivisionError" in logged
    told = logged + "".join(answer.text for answer in answers)
    secrets = [SECRET, NEXT_SECRET, *door.secrets.values(), *(s.rpartition("_")[2] for s in door.secrets.values())]
    assert not [secret for secret in secrets if secret in told]
    assert "CANARY" not in logged
    assert "CANARY" not in "".join(answer.text for answer in answers if "CANARY" not in str(answer.request.url))
    assert "Traceback" not in "".join(answer.text for answer in answers)


def test_secrets_may_come_in_the_environment_and_are_never_shown(
    door: Doorway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABRELAY_HOOKS", json.dumps({"notebook": {"secrets": ["e" * 32]}}))
    settings = load_settings(door.home.path)
    assert settings.hooks["notebook"].secrets[0].get_secret_value() == "e" * 32
    assert "lims" in settings.hooks  # beside those of the file
    shown = repr(settings) + settings.model_dump_json() + str(_settings(settings, door.home.path))
    assert not [secret for secret in (SECRET, NEXT_SECRET, "e" * 32) if secret in shown]
