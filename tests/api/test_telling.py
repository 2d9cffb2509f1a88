"""What others tell the front door is durable before it answers, taken once, and worked off by collect."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from doorway import STUDY, Doorway, signed_headers
from sqlalchemy import select
from tiny_run import TinyLab

from labrelay.cli.main import labrelay
from labrelay.model import faults
from labrelay.records import audit, inbox
from labrelay.records.database import account
from labrelay.records.inbox import InboxMessage
from labrelay.records.schema import AuditRow, DatasetRow, ExperimentRow, InboxRow, SampleRow
from labrelay.steps import messages, watch
from labrelay.steps.collect import collect
from labrelay.steps.sweep import sweep


def samples(door: Doorway) -> dict[str, tuple[str | None, int]]:
    with door.home.records.read() as session:
        return {row.name: (row.assay, row.revision) for row in session.scalars(select(SampleRow))}


def test_an_announcement_is_durable_when_it_is_answered_and_announced_by_the_next_collect(door: Doorway) -> None:
    answer = door.post("/experiments", STUDY)
    assert answer.status_code == 202
    assert answer.headers["location"] == answer.json()["url"]
    assert door.rows() == 1
    assert door.outcome(answer)["state"] == "waiting"
    assert samples(door) == {}
    assert collect(door.home).told.done == 1
    assert samples(door) == {"alpha": ("wgs", 1), "beta": (None, 1)}
    told = door.outcome(answer)
    assert told["state"] == "done"
    assert "2 samples added" in told["outcome"]


def test_who_announced_is_on_record_as_the_token(door: Doorway) -> None:
    door.post("/experiments", STUDY, name="announcer")
    collect(door.home)
    with door.home.records.read() as session:
        row = session.scalar(select(ExperimentRow))
        assert row is not None
        assert row.created_by == "token:announcer"
        actors = session.scalars(select(AuditRow.actor).where(AuditRow.action == "experiment.announced")).all()
    assert actors == [f"token:announcer ({account()})"]


def test_the_same_message_again_is_the_same_one_and_another_under_its_id_a_conflict(each_door: Doorway) -> None:
    door = each_door
    first = door.post("/experiments", STUDY)
    again = door.post("/experiments", {"samples": STUDY["samples"], "experiment": "study-7"})
    assert (again.status_code, again.json()["id"], again.json()["new"]) == (202, first.json()["id"], False)
    other = door.post("/experiments", {"experiment": "study-8"})
    assert other.status_code == 409
    assert "key-1 was used for another message" in other.json()["detail"]
    assert door.rows() == 1


def test_two_tokens_may_use_the_same_id(door: Doorway) -> None:
    first, second = door.post("/experiments", STUDY, name="announcer"), door.post("/experiments", STUDY, name="all")
    assert first.json()["id"] != second.json()["id"]
    assert door.rows() == 2


def test_samples_that_differ_refuse_the_whole_announcement_unless_it_is_a_correction(each_door: Doorway) -> None:
    door = each_door
    door.post("/experiments", STUDY, "first")
    changed = {"experiment": "study-7", "samples": [{"name": "alpha", "assay": "rna"}, {"name": "gamma"}]}
    refused = door.post("/experiments", changed, "second")
    corrected = door.post("/experiments", {**changed, "correction": "the wrong assay was picked"}, "third")
    worked = collect(door.home).told
    assert (worked.done, worked.refused) == (3, 1)
    told = door.outcome(refused)
    assert told["state"] == "refused"
    assert told["error"].startswith("1 sample was announced with other content before (alpha)")
    assert "correction" in told["error"]
    assert door.outcome(corrected)["outcome"].endswith("1 sample added, 1 sample corrected")
    assert samples(door) == {"alpha": ("rna", 2), "beta": (None, 1), "gamma": (None, 1)}


def test_another_title_owner_or_project_is_refused_unless_it_is_a_correction(each_door: Doorway) -> None:
    door = each_door
    first = {**STUDY, "title": "first", "project": "p1"}
    door.post("/experiments", first, "first")
    changed = {**STUDY, "title": "second", "project": "p2", "owner": "ann"}
    refused = door.post("/experiments", changed, "second")
    silent = door.post("/experiments", STUDY, "third")
    assert collect(door.home).told.refused == 1
    assert "3 values were announced with other content before (the experiment's title" in door.outcome(refused)["error"]
    assert door.outcome(silent)["state"] == "done"
    corrected = door.post("/experiments", {**changed, "correction": "the wrong study"}, "fourth")
    door.post("/experiments", changed, "fifth")
    assert collect(door.home).told.refused == 0
    assert door.outcome(corrected)["outcome"].endswith("its title and owner and project corrected")
    with door.home.records.read() as session:
        row = session.scalars(select(ExperimentRow)).one()
        assert (row.title, row.owner, row.project) == ("second", "ann", "p2")
        details = session.scalars(select(AuditRow.detail).where(AuditRow.action == "experiment.changed")).all()
    assert [detail["before"] for detail in details] == [{"title": "first", "owner": None, "project": "p1"}]
    assert details[0]["after"] == {"title": "second", "owner": "ann", "project": "p2"}


def test_a_message_that_nobody_understands_holds_up_no_other(door: Doorway) -> None:
    poison = [
        InboxMessage(source="token:x", message_id="1", payload={}),
        InboxMessage(source="token:x", message_id="2", payload={"scheme": "announcement", "kind": "experiment"}),
        InboxMessage(source="token:x", message_id="3", payload={"scheme": ["?"], "kind": {"a": 1}, "data": 7}),
        InboxMessage(source="hook:x", message_id="4", payload={"scheme": "gone", "kind": None, "data": {}}),
    ]
    with door.home.records.write() as session:
        inbox.take(session, poison)
    unknown = door.post("/events", {"kind": "tea_is_ready"}, "5")
    study = door.post("/experiments", STUDY, "6")
    worked = collect(door.home).told
    assert (worked.done, worked.refused, worked.waiting) == (6, 5, 0)
    assert door.outcome(study)["state"] == "done"
    assert "tea_is_ready" in door.outcome(unknown)["error"]
    assert all(door.get(f"/messages/msg_{n}").json()["error"] for n in range(1, 6))


def test_an_event_cannot_announce(door: Doorway) -> None:
    answer = door.post("/events", {"kind": "experiment", "data": STUDY}, name="teller")
    collect(door.home)
    assert door.outcome(answer)["state"] == "refused"
    assert samples(door) == {}


def test_a_run_folder_that_is_told_of_is_looked_at_as_watch_does_until_it_is_ready(
    tmp_path: Path, door: Doorway, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = TinyLab(tmp_path / "lab")
    run = lab.run.rename(door.landing / lab.run.name)
    walked: list[Path] = []
    real = watch.listed
    monkeypatch.setattr(watch, "listed", lambda folder: walked.append(folder) or real(folder))
    told = [door.post("/events", {"kind": "run_folder_complete", "data": {"folder": str(run)}}, key) for key in "abc"]
    worked = collect(door.home).told
    assert (worked.done, worked.refused, worked.waiting) == (0, 0, 3)
    assert walked == [run]
    first = door.outcome(told[0])
    assert (first["state"], first["outcome"][:9]) == ("waiting", "waiting: ")
    worked = collect(door.home).told
    assert (worked.done, worked.waiting) == (3, 0)
    assert {door.outcome(answer)["outcome"][:6] for answer in told} == {"done: "}


def test_a_folder_that_is_not_ready_within_a_day_is_waited_for_no_more(tmp_path: Path, door: Doorway) -> None:
    lab = TinyLab(tmp_path / "lab")
    run = lab.run.rename(door.landing / lab.run.name)
    (run / "RTAComplete.txt").unlink()
    event = {"kind": "run_folder_complete", "data": {"folder": str(run)}}
    old, new = door.post("/events", event, "a"), door.post("/events", event, "b")
    yesterday = (datetime.now(UTC) - timedelta(hours=25)).isoformat(timespec="microseconds")
    with door.home.records.write() as session:
        session.get_one(InboxRow, int(old.json()["id"].removeprefix("msg_"))).received_at = yesterday
    worked = collect(door.home).told
    assert (worked.done, worked.waiting) == (1, 1)
    assert (door.outcome(old)["state"], door.outcome(new)["state"]) == ("done", "waiting")
    assert door.outcome(old)["outcome"].startswith("waiting: ")


def test_a_landing_folder_in_another_has_runs_of_its_own(door: Doorway) -> None:
    run = door.landing / "runs" / "fc1"
    run.mkdir(parents=True)
    (door.landing / "other").mkdir()
    door.home.settings = door.home.settings.model_copy(update={"landing": [door.landing, run.parent]})
    assert watch._landed(door.home, run / "RunInfo.xml") == run
    assert watch._landed(door.home, door.landing / "other") == door.landing / "other"


def test_a_run_and_its_experiment_may_be_told_in_any_order(tmp_path: Path, door: Doorway) -> None:
    lab = TinyLab(tmp_path / "lab")
    run = lab.run.rename(door.landing / lab.run.name)
    event = {"kind": "run_folder_complete", "data": {"folder": str(run / "RTAComplete.txt")}}
    looked = door.post("/events", event, "a")
    collect(door.home)
    study = {"experiment": "tiny-study", "samples": [{"name": "alpha"}, {"name": "beta"}]}
    announced = door.post("/experiments", study, "c")
    collect(door.home)
    assert door.outcome(announced)["state"] == "done"
    assert door.outcome(looked)["outcome"].startswith("done: ")
    with door.home.records.read() as session:
        assert set(session.scalars(select(DatasetRow.state))) == {"assigned"}


def test_a_folder_elsewhere_is_not_looked_at(tmp_path: Path, door: Doorway) -> None:
    (door.landing / "link").symlink_to(tmp_path)
    outside = [str(tmp_path), "/etc/passwd", "relative", f"{door.landing}/../home", str(door.landing), "/no/such"]
    outside += [f"{door.landing}/link"]
    told = [
        door.post("/events", {"kind": "run_folder_complete", "data": {"folder": folder}}, f"k{number}")
        for number, folder in enumerate(outside)
    ]
    assert collect(door.home).told.refused == len(outside)
    errors = [door.outcome(answer)["error"] for answer in told]
    assert all("is no folder or file below a landing folder" in error for error in errors), errors


def test_a_path_that_can_be_none_is_refused_and_a_disk_that_does_not_answer_is_asked_again(
    door: Doorway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(code: int) -> Callable[..., Any]:
        def fail(*_: Any) -> Any:
            raise OSError(code, os.strerror(code))

        return fail

    (door.landing / "run").mkdir()
    long = door.post("/events", {"kind": "run_folder_complete", "data": {"folder": f"{door.landing}/{'x' * 300}"}}, "a")
    gone = door.post("/events", {"kind": "run_folder_complete", "data": {"folder": f"{door.landing}/run"}}, "b")
    monkeypatch.setattr(watch, "listed", failing(errno.EIO))
    worked = collect(door.home).told
    assert (worked.done, worked.refused, worked.waiting) == (1, 1, 1)
    assert "File name too long" in door.outcome(long)["error"]
    assert door.outcome(gone)["state"] == "waiting"
    monkeypatch.setattr(watch, "listed", failing(errno.EACCES))
    assert collect(door.home).told.refused == 1
    assert "Permission denied" in door.outcome(gone)["error"]
    study = door.post("/experiments", STUDY, "c")
    monkeypatch.setattr(messages, "sign_announced", failing(errno.ENAMETOOLONG))
    assert collect(door.home).told.refused == 1
    assert "File name too long" in door.outcome(study)["error"]


def test_the_sweep_works_off_messages_too(door: Doorway) -> None:
    door.post("/experiments", STUDY)
    swept = sweep(door.home)
    assert swept.told == 1
    assert "told 1" in swept.sentence


def test_signed_webhooks_announce(door: Doorway) -> None:
    answer = door.hook({"kind": "experiment", "data": STUDY})
    assert answer.status_code == 202, answer.text
    collect(door.home)
    assert set(samples(door)) == {"alpha", "beta"}
    assert door.outcome(answer)["source"] == "hook:lims"


def test_a_storm_of_replays_makes_one_row_a_message(each_door: Doorway) -> None:
    door = each_door
    bodies = [json.dumps({"kind": "experiment", "data": {"experiment": f"e{n}"}}).encode() for n in range(200)]
    storm = [(n, body) for n, body in enumerate(bodies)] * 5
    random.Random(7).shuffle(storm)

    def send(message: tuple[int, bytes]) -> tuple[int, int, str]:
        number, body = message
        answer = door.client.post("/api/hooks/lims", content=body, headers=signed_headers(body, f"m{number}"))
        return answer.status_code, number, answer.json()["id"]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, storm))
    assert {status for status, _number, _id in answers} == {202}
    assert len({(number, id) for _status, number, id in answers}) == 200
    assert door.rows() == 200


def test_status_says_how_many_messages_wait(door: Doorway) -> None:
    for number in range(2):
        door.post("/experiments", {"experiment": f"e{number}"}, f"k{number}")
    done = CliRunner().invoke(labrelay, ["--home", str(door.home.path), "status"])
    assert "2 messages of lab software waiting: labrelay sweep" in done.output
    collect(door.home)
    done = CliRunner().invoke(labrelay, ["--home", str(door.home.path), "status"])
    assert "nothing needs you" in done.output


@pytest.mark.parametrize("action", ["enospc", "eio"])
def test_a_disk_that_is_full_leaves_messages_waiting(
    door: Doorway, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [door.post("/experiments", {"experiment": f"e{number}"}, f"k{number}") for number in range(3)]
    monkeypatch.setattr(faults, "_passed", {})
    monkeypatch.setenv("LABRELAY_FAULT", f"records.commit:2:{action}")
    worked = collect(door.home).told
    assert (worked.done, worked.refused, worked.waiting) == (2, 0, 1)
    assert [door.outcome(answer)["state"] for answer in answers] == ["done", "waiting", "done"]
    monkeypatch.delenv("LABRELAY_FAULT")
    assert collect(door.home).told.done == 1
    assert door.outcome(answers[1])["state"] == "done"


@pytest.mark.parametrize("point", ["records.commit:2", "messages.announced:2", "messages.finished:1"])
def test_a_collect_that_is_killed_announces_nothing_twice(door: Doorway, point: str) -> None:
    answers = [door.post("/experiments", {**STUDY, "experiment": f"e{number}"}, f"k{number}") for number in range(3)]
    unknown = door.post("/events", {"kind": "tea_is_ready"}, "tea")
    killed = os.fork()
    if killed == 0:
        door.home.records.engine.dispose(close=False)
        os.environ["LABRELAY_FAULT"] = f"{point}:kill"
        faults._passed.clear()
        with suppress(BaseException):
            collect(door.home)
        os._exit(0)
    assert os.waitpid(killed, 0)[1] == signal.SIGKILL
    collect(door.home)
    assert [door.outcome(answer)["state"] for answer in (*answers, unknown)] == ["done", "done", "done", "refused"]
    with door.home.records.read() as session:
        announced = session.scalars(select(AuditRow.action).where(AuditRow.action.like("%announced"))).all()
        assert list(audit.broken_links(session)) == []
    assert sorted(announced) == ["experiment.announced"] * 3 + ["sample.announced"] * 6
