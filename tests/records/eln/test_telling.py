"""The entry of an experiment becomes what it should say, whatever people, kills and a bad line do meanwhile."""

import functools
import json
from pathlib import Path
from typing import Any

import parts as made
import pytest
from fake import FakeNotebook, Hands, killed_at
from sqlalchemy import select, update

from labrelay.model.errors import Busy
from labrelay.model.experiment import Experiment
from labrelay.records import experiments, lease
from labrelay.records.database import Database
from labrelay.records.delivery import Undeliverable
from labrelay.records.eln import book
from labrelay.records.eln.decide import Action, Written, decide
from labrelay.records.eln.telling import Told, tell
from labrelay.records.schema import LeaseRow, LinkRow
from labrelay.records.schema_notebook import ElnPartRow

EXPERIMENT = made.EXPERIMENT
POINTS = ("eln.made", "eln.linked", "eln.intended", "eln.written")


@pytest.fixture(autouse=True)
def _announced(db: Database) -> None:
    with db.write() as session:
        experiments.announce(session, EXPERIMENT, [], correct=False)


@pytest.fixture
def notebook(tmp_path: Path) -> FakeNotebook:
    return FakeNotebook(tmp_path / "notebook")


@pytest.fixture
def hands(notebook: FakeNotebook) -> Hands:
    return Hands(notebook)


def states(db: Database) -> dict[str, str]:
    with db.read() as session:
        return {row.part: row.state for row in session.scalars(select(ElnPartRow))}


def told(db: Database, notebook: FakeNotebook, *given: str) -> Told:
    return tell(db, notebook, EXPERIMENT, [made.status(*given), made.results()])


@pytest.mark.parametrize(
    ("wanted", "written", "there", "action"),
    [
        ("a", Written(), None, Action.WRITE),
        ("a", Written(wrote="a"), None, Action.WRITE),
        ("b", Written(wrote="a"), "a", Action.WRITE),
        ("c", Written(wrote="a", sending="b"), "b", Action.WRITE),
        ("a", Written(), "a", Action.NOTE),
        ("b", Written(wrote="a"), "x", Action.CONFLICT),
        ("a", Written(), "x", Action.CONFLICT),
        (None, Written(), "x", Action.NOTHING),
        ("a", Written(wrote="a", theirs=True), None, Action.NOTHING),
    ],
)
def test_the_comparison_decides(wanted: str | None, written: Written, there: str | None, action: Action) -> None:
    assert decide(wanted, written, there) is action


def test_the_first_telling_makes_one_entry_and_links_it(db: Database, notebook: FakeNotebook, hands: Hands) -> None:
    outcome = told(db, notebook, "received")
    assert outcome.written == ["status", "results"]
    assert [(e["identifier"], e["title"]) for e in hands.entries().values()] == [(EXPERIMENT.id, EXPERIMENT.title)]
    with db.read() as session:
        link = session.scalars(select(LinkRow)).one()
    assert (link.entity_id, link.system, link.url) == (EXPERIMENT.id, "fake", "https://notebook.test/entries/1")


def test_telling_the_same_again_writes_nothing(db: Database, notebook: FakeNotebook, hands: Hands) -> None:
    told(db, notebook, "received")
    assert told(db, notebook, "received").written == []
    assert hands.writes() == ["status", "results"]


def test_only_what_has_changed_is_written(db: Database, notebook: FakeNotebook, hands: Hands) -> None:
    told(db, notebook, "received")
    assert told(db, notebook, "running").written == ["status"]


def test_a_persons_edit_stays_and_is_news_once(db: Database, notebook: FakeNotebook, hands: Hands) -> None:
    told(db, notebook, "received")
    hands.edit("1", "status")
    outcome = told(db, notebook, "running")
    assert (outcome.written, outcome.conflicts, outcome.news) == ([], ["status"], ["status"])
    assert hands.entries()["1"]["parts"]["status"] == "what a person wrote"
    with db.read() as session:
        [line] = book.open_questions(session)
    assert (line.part, line.state, line.text) == ("status", "conflict", "what a person wrote")
    again = told(db, notebook, "done")
    assert (again.conflicts, again.news) == (["status"], [])


def test_a_person_who_takes_the_edit_back_ends_the_conflict(db: Database, notebook: FakeNotebook, hands: Hands) -> None:
    told(db, notebook, "received")
    ours = hands.entries()["1"]["parts"]["status"]
    hands.edit("1", "status")
    told(db, notebook, "running")
    with notebook.state() as state:
        state["entries"]["1"]["parts"]["status"] = ours
    assert told(db, notebook, "running").written == ["status"]
    assert states(db)["status"] == "ok"


def test_a_part_that_was_taken_away_is_made_again(db: Database, notebook: FakeNotebook, hands: Hands) -> None:
    told(db, notebook, "received")
    hands.remove("1", "results")
    assert told(db, notebook, "received").written == ["results"]


def test_an_edit_at_the_worst_moment_is_not_overwritten(db: Database, notebook: FakeNotebook, hands: Hands) -> None:
    told(db, notebook, "received")
    notebook.between = lambda: hands.edit("1", "status")
    outcome = told(db, notebook, "running")
    assert outcome.conflicts == ["status"]
    assert hands.entries()["1"]["parts"]["status"] == "what a person wrote"


@pytest.mark.parametrize("how", ["deleted", "locked"])
def test_a_closed_entry_is_said_in_one_sentence_and_not_tried_again(
    db: Database, notebook: FakeNotebook, hands: Hands, how: str
) -> None:
    told(db, notebook, "received")
    hands.close("1", how)
    with pytest.raises(Undeliverable, match=f"the entry of tiny-study in Fake notebook {'was|refuses'}") as refused:
        told(db, notebook, "running")
    assert not refused.value.retryable
    assert states(db)["entry"] == how
    hands.close("1", "open")
    assert told(db, notebook, "running").written == ["status"]
    assert states(db)["entry"] == "ok"


def test_a_part_that_is_refused_for_good_does_not_hold_up_the_others(
    db: Database, notebook: FakeNotebook, hands: Hands
) -> None:
    notebook.answers["write"] = [Undeliverable("too large", retry=False)]
    with pytest.raises(Undeliverable, match="too large"):
        told(db, notebook, "received")
    assert hands.writes() == ["results"]


def test_an_answer_that_may_come_later_stops_at_once(db: Database, notebook: FakeNotebook, hands: Hands) -> None:
    notebook.answers["write"] = [None, Undeliverable("busy", retry=True, retry_after=7)]
    with pytest.raises(Undeliverable) as stopped:
        told(db, notebook, "received")
    assert (stopped.value.retryable, stopped.value.retry_after) == (True, 7)
    assert told(db, notebook, "received").written == ["results"]
    assert hands.writes() == ["status", "results"]


def lose_lease(db: Database) -> None:
    """What sixty seconds of sleep do."""
    with db.write() as session:
        session.execute(update(LeaseRow).values(until="2000-01-01"))


@pytest.mark.parametrize("asleep", ["read", "write", "digest"])
def test_a_worker_that_slept_past_its_lease_writes_nothing_more(
    db: Database, notebook: FakeNotebook, hands: Hands, asleep: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(db, notebook, "received")
    slow, newer = FakeNotebook(notebook.file.parent), FakeNotebook(notebook.file.parent)
    real, slept = getattr(slow, asleep), []

    def sleeps(*given: Any) -> Any:
        answer = None if asleep == "write" else real(*given)
        if not slept:
            slept.append(lose_lease(db))
            told(db, newer, "received", "done")
        return real(*given) if asleep == "write" else answer

    monkeypatch.setattr(slow, asleep, sleeps)
    with pytest.raises(Busy, match="taken over by another worker"):
        told(db, slow, "received", "running")
    assert [line["state"] for line in json.loads(hands.entries()["1"]["parts"]["status"])["lines"]] == [
        "received",
        "done",
    ]
    assert states(db)["status"] == "ok"
    assert told(db, newer, "received", "done", "more").conflicts == []


def test_a_worker_that_slept_before_it_made_the_entry_makes_none(
    db: Database, notebook: FakeNotebook, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleeps(_identifier: str) -> None:
        lose_lease(db)
        lease.acquire(db, "the entry of tiny-study in Fake notebook")

    monkeypatch.setattr(notebook, "find", sleeps)
    with pytest.raises(Busy, match="taken over"):
        told(db, notebook, "received")
    assert hands.entries() == {}


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("later", ["received", "running"])
def test_a_kill_anywhere_and_a_repeat_make_one_entry_without_a_false_conflict(
    db: Database, notebook: FakeNotebook, hands: Hands, point: str, later: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.close()
    killed_at(point, lambda: told(Database(db.url), notebook, "received"))
    outcome = told(db, notebook, later)
    assert outcome.conflicts == []
    assert [e["identifier"] for e in hands.entries().values()] == [EXPERIMENT.id]
    wanted = {part.name: part.model_dump_json(exclude={"path"}) for part in (made.status(later), made.results())}
    assert hands.entries()["1"]["parts"] == wanted
    assert hands.writes().count("results") == 1


def test_two_kills_in_a_row_do_not_turn_our_own_writing_into_a_persons(
    db: Database, notebook: FakeNotebook, hands: Hands
) -> None:
    for state, point in (("received", "eln.written"), ("running", "eln.intended")):
        db.close()
        killed_at(point, functools.partial(told, Database(db.url), notebook, state))
    assert told(db, notebook, "done").conflicts == []


def test_an_experiment_without_a_title_has_its_name(db: Database, notebook: FakeNotebook, hands: Hands) -> None:
    plain = Experiment(name="plain")
    with db.write() as session:
        experiments.announce(session, plain, [], correct=False)
    tell(db, notebook, plain, [made.status("received")])
    assert hands.entries()["1"]["title"] == "plain"
