"""A metadata store that is busy or gone is 503 with Retry-After, and nothing is half taken."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from doorway import STUDY, Doorway
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from labrelay.records import inbox


def test_a_busy_store_is_503_and_the_same_message_is_taken_later(each_door: Doorway) -> None:
    door = each_door
    door.home.records.hurry(1)
    with door.home.records.engine.connect().execution_options(labrelay_write=True) as other, other.begin():
        answer = door.post("/experiments", STUDY)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert door.get("/runs").status_code == 200  # readers wait for nobody
    assert door.rows() == 0
    assert door.post("/experiments", STUDY).status_code == 202


@pytest.mark.parametrize("ask", [lambda d: d.get("/runs"), lambda d: d.get("/health"), lambda d: d.post("/events", {})])
def test_a_store_that_is_gone_is_503_without_its_words(
    door: Doorway, ask: Callable[[Doorway], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_args: object, **_kwargs: object) -> None:
        raise OperationalError("SELECT secret FROM x", {"p": "CANARY"}, Exception("connection refused"))

    monkeypatch.setattr(door.home.records.engine, "connect", gone)
    monkeypatch.setattr("sqlalchemy.orm.Session.connection", gone)
    monkeypatch.setattr("sqlalchemy.orm.Session.execute", gone)
    monkeypatch.setattr("sqlalchemy.orm.Session.get", gone)
    answer = ask(door)
    assert answer.status_code == 503  # type: ignore[attr-defined]
    assert "retry-after" in answer.headers  # type: ignore[attr-defined]
    assert "SELECT" not in answer.text  # type: ignore[attr-defined]


def test_what_fails_before_the_commit_leaves_nothing(door: Doorway, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(session: object, message: object) -> None:
        take(session, [message])  # type: ignore[arg-type, list-item]
        raise RuntimeError("after the insert")

    take = inbox.take
    monkeypatch.setattr(inbox, "post", broken)
    assert door.post("/experiments", STUDY).status_code == 500
    assert door.rows() == 0


def test_a_full_disk_is_503_and_nothing_is_half_taken(file_door: Doorway) -> None:
    door = file_door
    samples = [{"name": f"s{n}" * 20} for n in range(2000)]
    with door.home.records.engine.connect() as connection:  # the one connection that there is
        connection.execute(text("PRAGMA max_page_count = 1"))
    answer = door.post("/experiments", {"experiment": "large", "samples": samples})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert door.rows() == 0
