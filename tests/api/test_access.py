"""Who may come in, and who may not: 401 without a live token, 403 without the scope, and nothing learnt by guessing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from doorway import STUDY, Doorway
from fastapi.routing import APIRoute

from labrelay.api.reading import readers
from labrelay.model.errors import NotFound, UsageError
from labrelay.records import audit, tokens
from labrelay.records.schema import AccessTokenRow
from labrelay.steps.home import Home

OPEN = {"/api/health", "/api/hooks/{source}"}  # a hook brings a signature instead
READING = ("/runs", "/results", "/search?q=x", "/lineage/x", "/runs/run_0123456789abcdef", "/messages/msg_1")


def routes(door: Doorway) -> list[APIRoute]:
    return [route for route in door.app.routes if isinstance(route, APIRoute)]


def test_every_route_is_closed_unless_it_is_meant_to_be_open(door: Doorway) -> None:
    found = {
        (method, path)
        for path, operations in door.app.openapi()["paths"].items()
        for method, operation in operations.items()
        if not operation.get("security")
    }
    assert {path for _method, path in found} == OPEN
    for path, operations in door.app.openapi()["paths"].items():
        for method in operations:
            if path not in OPEN:
                answer = door.client.request(method, path.replace("{id}", "msg_1"))
                assert answer.status_code == 401, path
                assert answer.headers["www-authenticate"] == "Bearer"
    assert readers.routes


@pytest.mark.parametrize("path", READING[:-1])
def test_reading_needs_the_scope_read(door: Doorway, path: str) -> None:
    assert door.get(path, "announcer").status_code == 403
    assert door.get(path, "reader").status_code in (200, 404)


def test_telling_needs_its_own_scope(door: Doorway) -> None:
    assert door.post("/experiments", STUDY, name="reader").status_code == 403
    assert door.post("/experiments", STUDY, name="teller").status_code == 403
    assert door.post("/events", {"kind": "x"}, name="announcer").status_code == 403
    assert door.rows() == 0


def test_a_token_sees_its_own_messages_and_a_reader_all(door: Doorway) -> None:
    id = door.post("/experiments", STUDY, name="announcer").json()["id"]
    assert door.get(f"/messages/{id}", "announcer").status_code == 200
    assert door.get(f"/messages/{id}", "reader").status_code == 200
    assert door.get(f"/messages/{id}", "teller").status_code == 404
    assert door.get("/messages/msg_999", "reader").status_code == 404
    assert door.get("/messages/msg_99999999999999999999", "reader").status_code == 422


def test_a_revoked_or_expired_token_opens_nothing(door: Doorway) -> None:
    assert door.get("/runs", "reader").status_code == 200
    with door.home.records.write() as session:
        tokens.revoke(session, "reader")
        gone = tokens.add(session, "gone", ["read"], datetime.now(UTC) - timedelta(seconds=1))
    door.secrets["gone"] = gone.secret
    assert door.get("/runs", "reader").status_code == 401
    assert door.get("/runs", "gone").status_code == 401


def test_no_byte_of_a_token_may_differ(door: Doorway) -> None:
    secret = door.secrets["reader"]
    for place, sign in enumerate(secret):
        other = chr(ord(sign) ^ 1)
        door.secrets["reader"] = f"{secret[:place]}{other}{secret[place + 1 :]}"
        assert door.get("/runs", "reader").status_code in (401, 422), place


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Basic abc", "bearer lrt_0_1", "Bearer " + "é" * 40, "Bearer " + "x" * 9000]
)
def test_what_is_no_token_is_401(door: Doorway, given: str) -> None:
    answer = door.client.get("/api/runs", headers={"Authorization": given.encode()})
    assert answer.status_code == 401


def test_unknown_tokens_cost_the_same_comparison(door: Doorway, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []

    def spy(left: str, right: str) -> bool:
        compared.append((len(left), len(right)))
        return left == right

    monkeypatch.setattr(tokens, "compare_digest", spy)
    with door.home.records.read() as session:
        assert tokens.holder_of(session, door.secrets["reader"]) is not None
        assert tokens.holder_of(session, "lrt_" + "0" * 16 + "_" + "x" * 43) is None
        assert tokens.holder_of(session, "nonsense") is None
    assert compared == [(64, 64)] * 3


def test_only_the_hash_of_a_secret_is_kept_and_who_made_it_is_on_record(file_door: Doorway) -> None:
    door = file_door
    secret = door.secrets["reader"]
    home: Home = door.home
    for file in home.path.parent.glob("records.sqlite*"):
        assert secret.rpartition("_")[2].encode() not in file.read_bytes()
    with home.records.read() as session:
        row = session.query(AccessTokenRow).filter_by(name="reader").one()
        assert len(row.hash) == 64
        assert row.created_by.startswith("os:")
        assert list(audit.broken_links(session)) == []


def test_a_name_is_given_once_and_a_token_needs_a_scope(door: Doorway) -> None:
    with door.home.records.write() as session:
        tokens.revoke(session, "reader")
    with pytest.raises(UsageError, match="choose another name"), door.home.records.write() as session:
        tokens.add(session, "reader", ["read"])
    with pytest.raises(UsageError, match="needs scopes"), door.home.records.write() as session:
        tokens.add(session, "idle", [])
    with pytest.raises(UsageError, match="cannot be called"), door.home.records.write() as session:
        tokens.add(session, "a b", ["read"])
    with pytest.raises(NotFound, match="no token nobody"), door.home.records.write() as session:
        tokens.revoke(session, "nobody")
